#!/usr/bin/env python3
"""Compares the router with a reference consumer (reference.py), with the same records on the same servers: records/s, and the processor
time of the router and of the servers. Both end with the same items.

  compare.py ESCLUSA PLUGINS SERVERS [RECORDS]     SERVERS: the DIR of scripts/servers.sh start"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

import boto3

PATIENCE = 600  # seconds
TICK = os.sysconf("SC_CLK_TCK")
HERE = pathlib.Path(__file__).parent
ROUTES = """
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.requests]
kind = "kinesis"
[table.requests]
kind = "dynamodb"
[[route]]
name = "requests"
source = "requests"
plugin = "{plugins}/etl.wasm"
tables = ["requests"]
batch_size = 500
config = {{ table = "requests", key = {{ pk = "path#{{path}}", sk = "{{timestamp}}" }} }}
"""


def request(number):
    return {
        "path": f"/presentations/{number % 997}/kibana-search.png", "method": "GET", "status": 200, "bytes": number % 250_000,
        "referrer": "http://example.com/presentations/", "ip": "192.0.2.16",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Safari/537.36",
        "timestamp": f"2015-05-17T10:05:03.{number:06}Z",
    }


def prepare(count):
    """Creates stream and tables, and puts the records."""
    kinesis, dynamodb = boto3.client("kinesis"), boto3.client("dynamodb")
    kinesis.create_stream(StreamName="requests", ShardCount=4)
    kinesis.get_waiter("stream_exists").wait(StreamName="requests", WaiterConfig={"Delay": 1})
    for table in ("reference", "requests"):
        dynamodb.create_table(
            TableName=table, BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        )
    for first in range(0, count, 500):
        requests = map(request, range(first, min(first + 500, count)))
        left = [{"Data": json.dumps(each).encode(), "PartitionKey": each["path"]} for each in requests]
        while left:
            answer = kinesis.put_records(StreamName="requests", Records=left)["Records"]
            left = [each for each, result in zip(left, answer) if "SequenceNumber" not in result]


def processor(pid):
    """Processor time of a process, in seconds."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def reference(count):
    """Runs the reference consumer; returns its records/s."""
    command = [sys.executable, HERE / "reference.py", "requests", "reference", str(count)]
    done, seconds = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    assert int(done) == count, f"the reference consumer read {done} records of {count}"
    return count / float(seconds)


def settled(directory):
    """How many events the router has done; 0 if it does not answer yet."""
    try:
        address = json.loads((directory / "data/router.json").read_text(encoding="ascii"))["admin"]
        with urllib.request.urlopen(f"http://{address}/api/v1/status") as answer:
            return json.load(answer)["routes"][0]["reading"]["counts"]["done"]
    except (OSError, ValueError):
        return 0


def router(esclusa, plugins, servers, count):
    """Runs the router; returns its records/s, and the processor seconds of the router and of the servers meanwhile. Its start does not count."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        (directory / "routes.toml").write_text(ROUTES.format(plugins=plugins), encoding="ascii")
        subprocess.run([esclusa, "validate"], cwd=directory, check=True, stderr=subprocess.DEVNULL)
        process = subprocess.Popen([esclusa, "run"], cwd=directory, stderr=subprocess.DEVNULL)
        spent = lambda: (processor(process.pid), sum(map(processor, servers)))
        try:
            end, first = time.monotonic() + PATIENCE, None
            while (done := settled(directory)) < count:
                assert process.poll() is None and time.monotonic() < end, f"the router did {done} records of {count}"
                if done and first is None:
                    first = done, time.monotonic(), spent()
                time.sleep(0.1)  # each question costs the router some of the time that is measured
            seconds, (own, others) = time.monotonic() - first[1], spent()
            rate = (count - first[0]) / seconds
            return rate, own - first[2][0], others - first[2][1]
        finally:
            process.terminate()
            process.wait()


def items(name):
    table, page, found = boto3.resource("dynamodb").Table(name), {}, []
    while True:
        answer = table.scan(ConsistentRead=True, **page)
        found += answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return sorted(found, key=lambda item: (item["pk"], item["sk"]))
        page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def main():
    esclusa, plugins, servers = (pathlib.Path(path).resolve() for path in sys.argv[1:4])
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 30_000
    pids = [int((servers / f"{server}.pid").read_text(encoding="ascii")) for server in ("kinesalite", "dynamodb")]
    os.environ.setdefault("AWS_DEFAULT_REGION", os.environ.get("AWS_REGION", "us-east-1"))
    os.environ["AWS_ENDPOINT_URL_KINESIS"] = os.environ["KINESALITE_URL"]
    prepare(count)
    slow = reference(count)
    fast, own, others = router(esclusa, plugins, pids, count)
    assert items("requests") == items("reference"), "the router and the reference consumer wrote different items"
    print(f"reference consumer: {slow:.0f} records/s; router: {fast:.0f} records/s, {fast / slow:.1f} times as many")
    print(f"processor time of the router: {own * 1e6 / count:.0f} us a record, {own / others:.2f} of the servers'")


if __name__ == "__main__":
    main()
