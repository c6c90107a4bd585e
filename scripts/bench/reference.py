#!/usr/bin/env python3
"""The consumer that the router is compared with: it polls a stream and hands every page to the function that tutorials of Kinesis
and Lambda show, which decodes each record and puts it into a table: one request per record.

  reference.py STREAM TABLE COUNT     ends after COUNT records; prints them and the seconds from the first page to the last put"""
import base64
import json
import sys
import time

import boto3

stream, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
kinesis, table = boto3.client("kinesis"), boto3.resource("dynamodb").Table(name)


def lambda_handler(event, context):
    for record in event["Records"]:
        request = json.loads(base64.b64decode(record["kinesis"]["data"]))
        table.put_item(Item={"pk": f"path#{request['path']}", "sk": request["timestamp"], **request})
    return {"status": "ok"}


def start(shard):
    begin = {"StreamName": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    return kinesis.get_shard_iterator(**begin)["ShardIterator"]


iterators = [start(shard) for shard in kinesis.list_shards(StreamName=stream)["Shards"]]
done, began = 0, time.monotonic()
while done < count:
    for place, iterator in enumerate(iterators):
        page = kinesis.get_records(ShardIterator=iterator, Limit=1000)
        iterators[place] = page["NextShardIterator"]
        records = [{"kinesis": {"data": base64.b64encode(each["Data"])}} for each in page["Records"]]
        lambda_handler({"Records": records}, None)
        done += len(records)
print(done, time.monotonic() - began)
