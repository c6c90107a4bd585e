#!/usr/bin/env python3
"""The AWS side of the examples: creates what a configuration names, and reads and writes it as `esclusa` does in the embedded
engine. It reads $ESCLUSA_CONFIG; credentials, region and AWS_ENDPOINT_URL_… come from the environment.

  aws.py create                                   streams, tables, queues, topics and buckets that are not there
  aws.py send SOURCE FILE [--key FIELD] [--raw]   JSON lines into a stream or a queue
  aws.py begun SOURCE                             waits until a route has begun to read a stream at LATEST
  aws.py split SOURCE                             splits the open shards of a stream
  aws.py scan TABLE                               items as JSON lines
  aws.py download OBJECTS DIRECTORY
  aws.py texts NUMBER                             text messages to a number, as MiniStack has received them"""
import argparse
import contextlib
import decimal
import functools
import json
import os
import pathlib
import re
import time
import tomllib
import urllib.request

import boto3

REGION = os.environ.get("AWS_REGION", "us-east-1")


def interpolated(value):
    """The value with ${VAR} and ${VAR:-default} in its texts replaced."""
    if isinstance(value, dict):
        return {name: interpolated(each) for name, each in value.items()}
    if isinstance(value, list):
        return list(map(interpolated, value))
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda m: os.environ.get(m[1]) or m[2] or "", value)
    return value


CONFIG = interpolated(tomllib.loads(pathlib.Path(os.environ["ESCLUSA_CONFIG"]).read_text(encoding="utf-8")))


@functools.cache
def client(service):
    return boto3.client(service, region_name=REGION)


def named(kind, key, *sections):
    """The names of everything of a kind, each once."""
    found = [(name, each) for section in sections for name, each in CONFIG.get(section, {}).items() if each["kind"] == kind]
    return sorted({each.get(key, name) for name, each in found})


def create():
    kinesis = client("kinesis")
    for stream in named("kinesis", "stream", "source", "output"):
        with contextlib.suppress(kinesis.exceptions.ResourceInUseException):
            kinesis.create_stream(StreamName=stream, ShardCount=1)
        kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
    for name, table in CONFIG.get("table", {}).items():
        create_table({"name": name, **table})
    queues = {queue: create_queue(queue) for queue in named("sqs", "queue", "source", "output")}
    for topic in named("sns", "topic_arn", "output"):
        if topic.startswith("arn:"):
            subscribe(topic, queues)
    for bucket in named("s3", "bucket", "objects", "output"):
        client("s3").create_bucket(Bucket=bucket)
    for address in named("ses", "from", "output"):
        client("sesv2").create_email_identity(EmailIdentity=address)


def create_table(table):
    key = lambda of: [
        {"AttributeName": of[part], "KeyType": kind}
        for part, kind in [("partition_key", "HASH"), ("sort_key", "RANGE")] if part in of
    ]
    indexes = table.get("indexes", {})
    attributes = {part["AttributeName"] for of in [table, *indexes.values()] for part in key(of)}
    options = {}
    if indexes:
        options["GlobalSecondaryIndexes"] = [
            {"IndexName": name, "KeySchema": key(index), "Projection": {"ProjectionType": "ALL"}}
            for name, index in indexes.items()
        ]
    if table.get("changes"):
        options["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    dynamodb = client("dynamodb")
    with contextlib.suppress(dynamodb.exceptions.ResourceInUseException):
        dynamodb.create_table(
            TableName=table["name"], KeySchema=key(table), BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in sorted(attributes)], **options,
        )
    dynamodb.get_waiter("table_exists").wait(TableName=table["name"], WaiterConfig={"Delay": 1})


def create_queue(name):
    attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    return client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def subscribe(topic, queues):
    """Each queue that only a source names gets the messages whose topic is the source's name."""
    sns, sqs = client("sns"), client("sqs")
    arn = sns.create_topic(Name=topic.rpartition(":")[2])["TopicArn"]
    assert arn == topic, f"the topic is {arn}; the configuration says {topic}"
    fed = {each.get("queue", name) for name, each in CONFIG["output"].items()}
    for name, source in CONFIG["source"].items():
        if source["kind"] != "sqs" or source["queue"] in fed:
            continue
        queue = sqs.get_queue_attributes(QueueUrl=queues[source["queue"]], AttributeNames=["QueueArn"])
        filtered = {"FilterPolicy": json.dumps({"topic": [name]}), "FilterPolicyScope": "MessageBody"}
        attributes = {"RawMessageDelivery": "true", **filtered}
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue["Attributes"]["QueueArn"], Attributes=attributes)


def send(name, file, key, raw):
    text = pathlib.Path(file).read_text(encoding="utf-8")
    lines = [text] if raw else [line for line in text.splitlines() if line.strip()]
    source, keys = CONFIG["source"][name], [str(json.loads(line)[key]) if key else "-" for line in lines]
    if source["kind"] == "sqs":
        url = client("sqs").get_queue_url(QueueName=source["queue"])["QueueUrl"]
        for at in range(0, len(lines), 10):
            entries = [{"Id": str(n), "MessageBody": line} for n, line in enumerate(lines[at : at + 10])]
            answer = client("sqs").send_message_batch(QueueUrl=url, Entries=entries)
            assert not answer.get("Failed"), answer
        return
    records = [{"Data": line.encode(), "PartitionKey": key} for line, key in zip(lines, keys)]
    for at in range(0, len(records), 500):
        answer = client("kinesis").put_records(StreamName=source["stream"], Records=records[at : at + 500])
        assert answer["FailedRecordCount"] == 0, answer
        # PutRecords promises no order.
        placed = sorted((each["ShardId"], at) for at, each in enumerate(answer["Records"]))
        numbers = [(shard, int(answer["Records"][at]["SequenceNumber"])) for shard, at in placed]
        assert numbers == sorted(numbers), "the records are not in the order in which they were sent"


def begun(name):
    """Waits until a route has begun to read a stream at LATEST: it does not get earlier events."""
    table = boto3.resource("dynamodb", region_name=REGION).Table(CONFIG["source"][name]["lease_table"])
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(table.meta.client.exceptions.ResourceNotFoundException):
            if any("startTimestamp" in lease for lease in table.scan(ConsistentRead=True)["Items"]):
                return
        assert time.monotonic() < deadline, f"nobody reads {name}"
        time.sleep(0.1)


def split(name):
    """Splits each open shard of a stream in the middle."""
    kinesis, stream = client("kinesis"), CONFIG["source"][name]["stream"]
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        if "EndingSequenceNumber" not in shard["SequenceNumberRange"]:
            low, high = (int(shard["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))
            middle = str((low + high + 1) // 2)
            kinesis.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle)
            kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})


def scan(name):
    """The items of a table."""
    def plain(value):
        if isinstance(value, decimal.Decimal):
            return int(value) if value == int(value) else float(value)
        return value

    table = boto3.resource("dynamodb", region_name=REGION).Table(CONFIG["table"][name].get("name", name))
    page, items = {}, []
    while True:
        answer = table.scan(ConsistentRead=True, **page)
        items += ({attribute: plain(value) for attribute, value in item.items()} for item in answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return items
        page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def changes(name):
    """New images of a table's changes, in the order of its stream."""
    streams = client("dynamodbstreams")
    table = client("dynamodb").describe_table(TableName=CONFIG["table"][name].get("name", name))["Table"]
    of = {"StreamArn": table["LatestStreamArn"]}
    for shard in streams.describe_stream(**of)["StreamDescription"]["Shards"]:
        place = streams.get_shard_iterator(**of, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
        while place.get("ShardIterator"):
            page = streams.get_records(ShardIterator=place["ShardIterator"])
            yield from (record["dynamodb"]["NewImage"] for record in page["Records"] if "NewImage" in record["dynamodb"])
            place = {"ShardIterator": page.get("NextShardIterator") if page["Records"] else None}


def download(name, directory):
    s3, bucket = client("s3"), CONFIG["objects"][name]["bucket"]
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for each in page.get("Contents", []):
            path = pathlib.Path(directory) / each["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, each["Key"], str(path))


def texts(number):
    """Text messages to a number. AWS does not show them; the server of the tests does."""
    with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL_SNS"] + "/_ministack/sns/sms-messages") as answer:
        return [each["Message"] for each in json.load(answer)["sms_messages"].get(number, [])]


def mails(sender):
    """The mails of a sender, as the server of the tests shows them: receivers, subject and text."""
    with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL_SESV2"] + "/_ministack/ses/messages") as answer:
        accounts = json.load(answer)["messages"].values()
    sent = [each for account in accounts for each in account if each["Source"] == sender]
    return [(", ".join(each["To"]), each["Subject"], each["BodyText"].strip()) for each in sent]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("create")
    sending = commands.add_parser("send")
    sending.add_argument("source")
    sending.add_argument("file")
    sending.add_argument("--key")
    sending.add_argument("--raw", action="store_true")
    commands.add_parser("begun").add_argument("source")
    commands.add_parser("split").add_argument("source")
    commands.add_parser("scan").add_argument("table")
    loading = commands.add_parser("download")
    loading.add_argument("objects")
    loading.add_argument("directory")
    commands.add_parser("texts").add_argument("number")
    asked = parser.parse_args()
    if asked.command == "create":
        create()
    elif asked.command == "send":
        send(asked.source, asked.file, asked.key, asked.raw)
    elif asked.command == "begun":
        begun(asked.source)
    elif asked.command == "split":
        split(asked.source)
    elif asked.command == "scan":
        for item in scan(asked.table):
            print(json.dumps(item, ensure_ascii=False, default=sorted))  # sets
    elif asked.command == "download":
        download(asked.objects, asked.directory)
    else:
        print(*texts(asked.number), sep="\n")
