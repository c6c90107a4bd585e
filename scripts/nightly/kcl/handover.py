#!/usr/bin/env python3
"""Hands a lease table over from a consumer on the Kinesis Client Library to the router and back, over several generations of splits and
merges, and holds both against one promise: after a graceful stop nothing is read again and nothing is left out.

  handover.py ESCLUSA PLUGINS CLASSES LIB VERSION

CLASSES and LIB are directories with the compiled consumer and its jars. Endpoints and credentials come from the environment
(scripts/servers.sh run …)."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import uuid

import boto3

PATIENCE = 240  # seconds; KCL takes its time to start

ROUTES = """
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.events]
kind = "kinesis"
stream = "{name}"
lease_table = "{name}"
lease_duration = "4s"
[table.items]
kind = "embedded"
partition_key = "pk"
[[route]]
name = "items"
source = "events"
plugin = "{plugins}/etl.wasm"
tables = ["items"]
config = {{ table = "items", key = {{ pk = "{{n}}" }} }}
"""

esclusa, plugins, classes, lib = (str(pathlib.Path(path).resolve()) for path in sys.argv[1:5])
version = sys.argv[5]
name = f"kcl-{version.replace('.', '-')}-{uuid.uuid4().hex[:8]}"
kinesis, dynamodb = (boto3.client(service, region_name=os.environ["AWS_REGION"]) for service in ("kinesis", "dynamodb"))
room = pathlib.Path(tempfile.mkdtemp(prefix="esclusa-kcl-"))
(room / "routes.toml").write_text(ROUTES.format(name=name, plugins=plugins))
put = 0


def until(what, holds):
    end = time.monotonic() + PATIENCE
    while not (held := holds()):
        assert time.monotonic() < end, f"waited in vain for: {what}; files in {room}"
        time.sleep(0.5)
    return held


def active():
    status = lambda: kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"]
    until("an active stream", lambda: status() == "ACTIVE")


def send(count):
    """Puts so many records, and gives their numbers."""
    global put
    numbers = range(put, put + count)
    for begin in range(0, count, 250):
        records = [{"PartitionKey": f"k{n % 97}", "Data": json.dumps({"n": n})} for n in numbers[begin:begin + 250]]
        assert kinesis.put_records(StreamName=name, Records=records)["FailedRecordCount"] == 0
    put += count
    return list(numbers)


def open_shards():
    """Open shards by their first hash key: id, first and last key."""
    shards = kinesis.list_shards(StreamName=name)["Shards"]
    shards = [s for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
    keys = lambda s: (int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"]))
    return sorted(((s["ShardId"], *keys(s)) for s in shards), key=lambda shard: shard[1])


def split():
    shard, low, high = open_shards()[0]
    kinesis.split_shard(StreamName=name, ShardToSplit=shard, NewStartingHashKey=str((low + high) // 2))
    active()


def merge():
    (left, *_), (right, *_) = open_shards()[:2]
    kinesis.merge_shards(StreamName=name, ShardToMerge=left, AdjacentShardToMerge=right)
    active()


def rows():
    found = dynamodb.scan(TableName=name, ConsistentRead=True)["Items"]
    return {row["leaseKey"]["S"]: row for row in found}


class Kcl:
    def __init__(self, label):
        self.out = room / f"{label}.out"
        self.out.touch()
        settings = [f"-Dstream={name}", f"-Dapp={name}", f"-Dout={self.out}", "-Daws.cborEnabled=false"]
        settings += ["-DoneTable=true"] if tuple(map(int, version.split("."))) >= (3, 5) else []
        settings += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        command = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *settings, "-cp", f"{classes}:{lib}/*", "Consumer"]
        self.process = subprocess.Popen(command, stderr=open(room / f"{label}.log", "w"))

    def seen(self):
        return [json.loads(line)["n"] for line in self.out.read_text().splitlines()]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(90)
        return self.seen()


class Router:
    """A router with a store of its own, so that its counters begin at 0."""

    def __init__(self, label):
        self.room = room / label
        self.room.mkdir()
        (self.room / "routes.toml").write_text((room / "routes.toml").read_text())
        self.process = subprocess.Popen([esclusa, "run"], cwd=self.room, stderr=open(room / f"{label}.log", "w"))

    def route(self):
        shown = subprocess.run([esclusa, "status", "--json"], cwd=self.room, capture_output=True, text=True)
        # A router that starts has none yet.
        routes = json.loads(shown.stdout).get("routes") if shown.returncode == 0 else None
        return routes[0] if routes else None

    def done(self):
        route = self.route()
        return route["reading"]["counts"]["done"] if route and "reading" in route else 0

    def stop(self):
        route = self.route()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0
        return route


def check(step, seen, expected):
    again, missing = len(seen) - len(set(seen)), set(expected) - set(seen)
    old = len(set(seen) - set(expected))
    print(f"{step}: {len(seen)} of {len(expected)} records, {again + old} again, {len(missing)} missing", flush=True)
    assert not again and not old and not missing, f"files in {room}"


def by_router(step, router, expected):
    until(f"{step}: {len(expected)} records", lambda: router.done() >= len(expected))
    time.sleep(6)  # what is read again comes now
    route = router.stop()
    done, health = route["reading"]["counts"]["done"], route["health"]
    print(f"{step}: {done} of {len(expected)} records; health {health['code']}", flush=True)
    assert done == len(expected) and health["healthy"], f"{health}; files in {room}"


kinesis.create_stream(StreamName=name, ShardCount=2)
active()

kcl = Kcl("kcl-1")
sent = send(500)
until("KCL to read", lambda: len(kcl.seen()) >= len(sent))
oldest = [shard for shard, *_ in open_shards()]
for reshard in (split, split, merge):
    reshard()
    sent += send(500)
    until("KCL to read on", lambda: len(kcl.seen()) >= len(sent))
until("KCL to delete the lease of the first shard", lambda: oldest[0] not in rows())
kinds = sorted({row["entityType"]["S"] for row in rows().values() if "entityType" in row})
check(f"KCL {version}", kcl.stop(), sent)
print(f"rows: {len(rows())}, kinds: {', '.join(kinds) or 'leases only'}", flush=True)

router = Router("router-1")
sent = send(500)
until("the router to read", lambda: router.done() >= len(sent))
for reshard in (split, split, merge):
    reshard()
    sent += send(500)
    until("the router to read on", lambda: router.done() >= len(sent))
by_router("then the router", router, sent)

kcl = Kcl("kcl-2")
sent = send(500)
until("KCL to read again", lambda: len(kcl.seen()) >= len(sent))
split()
sent += send(500)
until("KCL to read the split", lambda: len(kcl.seen()) >= len(sent))
time.sleep(6)  # what is read again comes now
check(f"KCL {version} again", kcl.stop(), sent)

router = Router("router-2")
by_router("then the router again", router, send(500))
