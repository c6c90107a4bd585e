#!/usr/bin/env python3
"""Processor time of the router for an event from Kafka through `etl` into an embedded table, against the same events from an embedded
stream and from Kinesis (kinesalite), in one run: medians of turns, and ratios. All sources have 4 partitions or shards.

  sources.py ESCLUSA PLUGINS [RECORDS [TURNS]]     run it with scripts/servers.sh run"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import boto3
import kafka
import kafka.admin

from compare import PATIENCE, processor, request, settled

ROUTES = """
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.requests]
{source}
[table.requests]
kind = "embedded"
partition_key = "pk"
sort_key = "sk"
[[route]]
name = "requests-{turn}"
source = "requests"
plugin = "{plugins}/etl.wasm"
tables = ["requests"]
batch_size = 500
config = {{ table = "requests", key = {{ pk = "path#{{path}}", sk = "{{timestamp}}" }} }}
"""
SOURCES = {
    "stream": 'kind = "stream"\npartitions = 4',
    "kinesis": 'kind = "kinesis"\nstream = "bench-kafka"\ncoordination = "none"',
    "kafka": 'kind = "kafka"\nbootstrap_servers = "{}"\ntopics = ["bench-kafka"]'.format(os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")),
}


def put_kinesis(records):
    kinesis = boto3.client("kinesis")
    kinesis.create_stream(StreamName="bench-kafka", ShardCount=4)
    kinesis.get_waiter("stream_exists").wait(StreamName="bench-kafka", WaiterConfig={"Delay": 1})
    for first in range(0, len(records), 500):
        left = [{"Data": json.dumps(each).encode(), "PartitionKey": each["path"]} for each in records[first : first + 500]]
        while left:
            answer = kinesis.put_records(StreamName="bench-kafka", Records=left)["Records"]
            left = [each for each, result in zip(left, answer) if "SequenceNumber" not in result]


def put_kafka(records):
    servers = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
    kafka.admin.KafkaAdminClient(bootstrap_servers=servers).create_topics([kafka.admin.NewTopic("bench-kafka", 4, 1)])
    producer = kafka.KafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=10)
    for each in records:
        producer.send("bench-kafka", key=each["path"].encode(), value=json.dumps(each).encode())
    producer.flush()
    producer.close()


def turn(esclusa, plugins, source, records, number):
    """One router from an empty store; microseconds of processor time a record, and records/s, after its first records."""
    with tempfile.TemporaryDirectory() as name:
        directory, count = pathlib.Path(name), len(records)
        (directory / "routes.toml").write_text(ROUTES.format(plugins=plugins, source=SOURCES[source], turn=number), encoding="ascii")
        if source == "stream":
            lines = "".join(json.dumps(each) + "\n" for each in records)
            command = [esclusa, "send", "requests", "-", "--key", "path"]
            subprocess.run(command, cwd=directory, input=lines, text=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run([esclusa, "validate", "--no-connect"], cwd=directory, check=True, stderr=subprocess.DEVNULL)
        process = subprocess.Popen([esclusa, "run"], cwd=directory, stderr=subprocess.DEVNULL)
        try:
            end, first = time.monotonic() + PATIENCE, None
            while (done := settled(directory)) < count:
                assert process.poll() is None and time.monotonic() < end, f"the router did {done} records of {count}"
                if done and first is None:
                    first = done, time.monotonic(), processor(process.pid)
                time.sleep(0.02)
            seconds, spent, left = time.monotonic() - first[1], processor(process.pid) - first[2], count - first[0]
            return spent * 1e6 / left, left / seconds
        finally:
            process.terminate()
            process.wait()


def main():
    esclusa, plugins = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
    count, turns = (list(map(int, sys.argv[3:])) + [100_000, 3][len(sys.argv) - 3 :])[:2]
    os.environ.setdefault("AWS_DEFAULT_REGION", os.environ.get("AWS_REGION", "us-east-1"))
    os.environ["AWS_ENDPOINT_URL_KINESIS"] = os.environ["KINESALITE_URL"]
    records = list(map(request, range(count)))
    put_kafka(records)
    put_kinesis(records)
    figures = {source: [] for source in SOURCES}
    for number in range(turns):
        for source, list_of in figures.items():
            list_of.append(turn(esclusa, plugins, source, records, number))
    medians = {source: statistics.median(micros for micros, _ in each) for source, each in figures.items()}
    for source, each in figures.items():
        rate = statistics.median(rate for _, rate in each)
        turns_of = ", ".join(f"{micros:.1f}" for micros, _ in each)
        print(f"{source}: {medians[source]:.1f} us of processor time a record (turns: {turns_of}); {rate:.0f} records/s")
    print(f"kafka against stream: {medians['kafka'] / medians['stream']:.2f}; against kinesis: {medians['kafka'] / medians['kinesis']:.2f}")


if __name__ == "__main__":
    main()
