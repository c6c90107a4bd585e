#!/usr/bin/env python3
"""A fleet of routers on one Kinesis stream, held against its promises while processes are killed and shards are split and merged:
every record's item is there with all fields, totals that are written exactly once equal the truth, order per key is kept.

  fleet.py ESCLUSA PLUGINS [RECORDS [SEED [KILLS]]]

ESCLUSA is the binary, PLUGINS the directory of the plugins; two processes are killed if KILLS is not given. Endpoints and credentials come from the environment
(scripts/servers.sh run …). A directory of FLEET_DATA is what every member's data directory begins with."""
import collections
import concurrent.futures
import decimal
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid

import boto3
import botocore.config
import botocore.exceptions

KEYS = 160
GROUPS = 20
RATE = 1500  # records/s: half of what the servers take
MEMBERS = 3
PATIENCE = 1200  # seconds without which what is waited for will not happen
LEASE = 4  # seconds

ROUTES = """
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.events]
kind = "kinesis"
stream = "fleet-{run}"
lease_duration = "{lease}s"
[table.items]
kind = "dynamodb"
name = "items-{run}"
[table.totals]
kind = "dynamodb"
name = "totals-{run}"
[table.latest]
kind = "dynamodb"
name = "latest-{run}"

[[route]]
name = "items-{run}"
source = "events"
plugin = "{plugins}/etl.wasm"
tables = ["items"]
batch_size = 500
config = {{ table = "items", key = {{ pk = "{{id}}" }} }}

[[route]]
name = "totals-{run}"
source = "events"
plugin = "{plugins}/aggregate.wasm"
tables = ["totals"]
batch_size = 500
delivery = "exactly-once"
config = {{ table = "totals", key = {{ pk = "{{group}}" }}, sum = {{ amount = "amount" }}, count = "records" }}

[[route]]
name = "latest-{run}"
source = "events"
plugin = "{plugins}/etl.wasm"
tables = ["latest"]
batch_size = 500
delivery = "exactly-once"
config = {{ table = "latest", key = {{ pk = "{{key}}" }} }}
"""


def record(number):
    """Record `number`: its key's sequence counts up with every round of all keys."""
    key, sequence = f"key-{number % KEYS}", number // KEYS
    return {
        "id": f"{key}#{sequence}", "key": key, "sequence": sequence, "group": f"group-{number % GROUPS}",
        "amount": number % 9973 / 100, "text": f"record {number} of the fleet, with some \u00fcml\u00e4uts",
        "nested": {"odd": number % 2 == 1, "list": [number, None]},
    }


def client(service):
    """A client that tries once: a put whose answer was lost must not be repeated unseen."""
    retries = botocore.config.Config(retries={"total_max_attempts": 1}, max_pool_connections=20)
    return boto3.client(service, config=retries)


def until(what, holds, members=()):
    """Waits until `holds()` gives something true, and gives it."""
    end = time.monotonic() + PATIENCE
    while not (held := holds()):
        for member in members:
            member.check()
        assert time.monotonic() < end, f"waited in vain for: {what}"
        time.sleep(0.2)
    return held


class Stream:
    """The stream, what was put into it, and where each shard's last record is."""

    def __init__(self, name):
        self.name, self.kinesis, self.fed, self.retried, self.last = name, client("kinesis"), 0, 0, {}
        self.kinesis.create_stream(StreamName=name, ShardCount=4)
        self.active()

    def active(self):
        status = lambda: self.kinesis.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]["StreamStatus"]
        until("an active stream", lambda: status() == "ACTIVE")

    def feed(self, count):
        """Puts all records, a round of all keys in each request: no key is twice in it, so that retries keep the order."""
        began = time.monotonic()
        for first in range(0, count, KEYS):
            records = list(map(record, range(first, min(first + KEYS, count))))
            left = [{"PartitionKey": each["key"], "Data": json.dumps(each).encode()} for each in records]
            while left:
                left = self.put(left)
            self.fed = first + len(records)
            time.sleep(max(0, began + self.fed / RATE - time.monotonic()))
        return time.monotonic() - began

    def put(self, records):
        """Puts records; gives those that were refused."""
        try:
            answer = self.kinesis.put_records(StreamName=self.name, Records=records)["Records"]
        except botocore.exceptions.ClientError as error:
            # An answer that refuses everything. Whatever is not an answer ends the run: nobody knows what was put then.
            assert error.response["Error"]["Code"] in ("ResourceInUseException", "LimitExceededException"), error
            self.retried += len(records)
            return records
        refused = [each for each, result in zip(records, answer) if "SequenceNumber" not in result]
        for result in answer:
            if "SequenceNumber" in result:
                shard, sequence = result["ShardId"], int(result["SequenceNumber"])
                self.last[shard] = max(self.last.get(shard, 0), sequence)
        self.retried += len(refused)
        return refused

    def shards(self):
        return self.kinesis.list_shards(StreamName=self.name)["Shards"]

    def open(self):
        """The open shards, by their place."""
        shards = [each for each in self.shards() if "EndingSequenceNumber" not in each["SequenceNumberRange"]]
        return sorted(shards, key=lambda each: int(each["HashKeyRange"]["StartingHashKey"]))

    def closed(self):
        return [each["ShardId"] for each in self.shards() if "EndingSequenceNumber" in each["SequenceNumberRange"]]

    def split(self):
        first = self.open()[0]
        low, high = (int(first["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))
        middle = str((low + high) // 2)
        self.kinesis.split_shard(StreamName=self.name, ShardToSplit=first["ShardId"], NewStartingHashKey=middle)
        self.active()

    def merge(self):
        one, other = (each["ShardId"] for each in self.open()[-2:])
        self.kinesis.merge_shards(StreamName=self.name, ShardToMerge=one, AdjacentShardToMerge=other)
        self.active()


class Member:
    """A router process with a directory of its own."""

    def __init__(self, esclusa, directory, routes):
        self.esclusa, self.directory, self.lives = esclusa, directory, 0
        directory.mkdir()
        if first := os.environ.get("FLEET_DATA"):
            shutil.copytree(first, directory / "data")
        (directory / "routes.toml").write_text(routes, encoding="utf-8")
        self.start()

    def start(self):
        self.lives += 1
        with (self.directory / "log").open("ab") as log:
            command = [self.esclusa, "run", "--log-format", "json"]
            quiet = dict(os.environ, ESCLUSA_LOG="info")
            self.process = subprocess.Popen(command, cwd=self.directory, env=quiet, stdout=log, stderr=log)

    def check(self):
        assert self.process.poll() is None, f"a router ended with {self.process.returncode}:\n{self.tail()}"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def runs(self):
        """True once it has taken over the signals and runs; an older router.json is from the life before."""
        try:
            told = json.loads((self.directory / "data/router.json").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return False
        return told["pid"] == self.process.pid and told["phase"] == "running"

    def stop(self):
        # It may have been started just now, after a kill: SIGTERM is the end of a process that has not begun its work.
        until("a router that runs", self.runs, [self])
        self.process.send_signal(signal.SIGTERM)
        ended = self.process.wait(PATIENCE)
        assert ended == 0, f"a router that was to stop ended with {ended}:\n{self.tail()}"

    def owns(self, lease):
        return f":{self.process.pid}:" in owner(lease)

    def done(self, route):
        """How many events of a route it has done in all its lives; a life that was killed may not have counted its last."""
        address = json.loads((self.directory / "data/router.json").read_text(encoding="ascii"))["admin"]
        with urllib.request.urlopen(f"http://{address}/api/v1/status") as answer:
            return sum(each["reading"]["counts"]["done"] for each in json.load(answer)["routes"] if each["name"] == route)

    def log(self):
        for line in (self.directory / "log").read_text(encoding="utf-8").splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def tail(self):
        return "\n".join((self.directory / "log").read_text(encoding="utf-8").splitlines()[-20:])


class Fleet:
    """The members and their leases."""

    def __init__(self, esclusa, plugins, directory, run):
        self.dynamodb, self.names = client("dynamodb"), [f"{route}-{run}" for route in ("items", "totals", "latest")]
        for name in self.names:
            self.create(name)
        routes = ROUTES.format(run=run, lease=LEASE, plugins=plugins)
        self.members, self.kills, self.routes = [], 0, routes
        for number in range(MEMBERS):
            self.members.append(Member(esclusa, directory / f"member-{number}", routes))

    def create(self, name):
        self.dynamodb.create_table(
            TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        )

    def leases(self, route):
        try:
            return self.dynamodb.scan(TableName=f"esclusa-{route}", ConsistentRead=True)["Items"]
        except self.dynamodb.exceptions.ResourceNotFoundException:
            return []

    def shared(self):
        """True where somebody reads each shard for each route."""
        owned = lambda route: [each for each in self.leases(route) if any(m.owns(each) for m in self.members)]
        return all(len(owned(route)) >= 4 for route in self.names)

    def kill(self, member, wait):
        """Kills a member and starts it again: at once, or after the others have taken over what it had."""
        member.kill()
        self.kills += 1
        if wait:
            others = [each for each in self.members if each is not member]
            until("the others to take over", lambda: not any(map(member.owns, self.owned())), others)
        member.start()

    def behind(self, stream):
        """Shards of routes that are not done: a position is settled when everything before it is written."""
        closed, missing = stream.closed(), []
        for route in self.names:
            at = {each["leaseKey"]["S"]: each["checkpoint"]["S"] for each in self.leases(route)}
            for shard in stream.last.keys() | set(closed):
                position = at.get(shard, "none")
                reached = position.isdigit() and int(position) >= stream.last.get(shard, 0) and shard not in closed
                if position != "SHARD_END" and not reached:
                    missing.append((route, shard, position))
        return missing

    def owned(self):
        """The leases that are owned and not finished: a finished shard keeps its last owner."""
        leases = [each for route in self.names for each in self.leases(route)]
        return [each for each in leases if owner(each) and each["checkpoint"]["S"] != "SHARD_END"]

    def orphans(self):
        """The leases of processes that are not any more."""
        return [lease for lease in self.owned() if not any(member.owns(lease) for member in self.members)]

    def handovers(self):
        """How often leases changed hands, and how they did."""
        messages = collections.Counter()
        for member in self.members:
            for line in member.log():
                fields = line.get("fields", line)
                taken = fields.get("message") == "lease taken"
                messages["stolen or expired" if taken and fields.get("before") else fields.get("message")] += 1
        return messages

    def items(self, name):
        """All items of a table."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return [item for part in pool.map(lambda n: scan(name, n, 2), range(2)) for item in part]


def owner(lease):
    """The worker that has a lease; empty where nobody has."""
    return lease.get("leaseOwner", {}).get("S", "")


def scan(name, segment, segments):
    table, page, items = boto3.resource("dynamodb").Table(name), {}, []
    while True:
        answer = table.scan(ConsistentRead=True, Segment=segment, TotalSegments=segments, **page)
        items += answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return items
        page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def exact(value):
    """A record as DynamoDB gives it: numbers with every digit."""
    return json.loads(json.dumps(value), parse_float=decimal.Decimal, parse_int=decimal.Decimal)


def check_items(fleet, count):
    found = {item.pop("pk"): item for item in fleet.items(fleet.names[0])}
    wrong = [each["id"] for each in map(record, range(count)) if found.get(each["id"]) != exact(each)]
    assert not wrong, f"{len(wrong)} of {count} records have no item or a wrong one, such as {wrong[:5]}"
    assert len(found) == count, f"{len(found)} items of {count} records"


def check_totals(fleet, count):
    truth = collections.defaultdict(lambda: (decimal.Decimal(0), 0))
    for each in map(record, range(count)):
        amount, records = truth[each["group"]]
        truth[each["group"]] = amount + exact(each["amount"]), records + 1
    found = {item["pk"]: (item["amount"], item["records"]) for item in fleet.items(fleet.names[1])}
    wrong = [f"{group}: {found.get(group)}, truth {total}" for group, total in truth.items() if found.get(group) != total]
    assert not wrong and len(found) == len(truth), f"totals differ: {wrong}"


def check_latest(fleet, count):
    truth = {each["key"]: each["sequence"] for each in map(record, range(count))}
    found = {item["pk"]: int(item["sequence"]) for item in fleet.items(fleet.names[2])}
    wrong = [f"{key}: {found.get(key)}, last {last}" for key, last in truth.items() if found.get(key) != last]
    assert not wrong and len(found) == len(truth), f"order is not kept: {wrong}"


def disturb(fleet, stream, count, chance, kills):
    """Kills and reshards at random moments, while records come in."""
    plan = [(chance.uniform(0.15, 0.60), "split", stream.split), (chance.uniform(0.30, 0.70), "merge", stream.merge)]
    # Two kills are of two members, early and late; more are of any, at any time.
    members = chance.sample(fleet.members, 2) if kills == 2 else chance.choices(fleet.members, k=kills)
    for number, member in enumerate(members):
        wait = number % 2 == 0
        moment = chance.uniform(*((0.10, 0.50) if wait else (0.40, 0.85))) if kills == 2 else chance.uniform(0.05, 0.90)
        what = "kill, restart after the takeover" if wait else "kill, restart at once"
        plan.append((moment, what, lambda member=member, wait=wait: fleet.kill(member, wait)))
    plan.sort(key=lambda step: step[0])
    for moment, what, act in plan:
        until(what, lambda: stream.fed >= moment * count, fleet.members)
        print(f"  at record {stream.fed}: {what}", flush=True)
        act()


def hold(esclusa, plugins, directory, count, seed, kills):
    """One run."""
    run = uuid.uuid4().hex[:8]
    stream = Stream(f"fleet-{run}")
    fleet = Fleet(esclusa, plugins, directory, run)
    try:
        until("every shard to be read", fleet.shared, fleet.members)
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            feeding = pool.submit(stream.feed, count)
            disturb(fleet, stream, count, random.Random(seed), kills)
            fed = feeding.result()
        until("every record to be done", lambda: not fleet.behind(stream), fleet.members)
        done = time.monotonic() - began
        check_items(fleet, count)
        check_totals(fleet, count)
        check_latest(fleet, count)
        twice = sum(member.done(fleet.names[0]) for member in fleet.members) - count
        until("the leases of the killed to be taken", lambda: not fleet.orphans(), fleet.members)
        for member in fleet.members:
            member.check()
            member.stop()
        left = [(each["leaseKey"]["S"], owner(each)) for each in fleet.owned()]
        assert not left, f"leases were not handed over by routers that stopped: {left}"
    except BaseException:
        for member in fleet.members:
            print(f"--- {member.directory.name}\n{member.tail()}", file=sys.stderr)
        raise
    finally:
        for member in fleet.members:
            member.kill()
    report(fleet, stream, count, (fed, done, twice))


def report(fleet, stream, count, figures):
    (fed, done, twice), messages, shards = figures, fleet.handovers(), stream.shards()
    print(f"{count} records in {fed:.1f} s, {stream.retried} of them put again; all done after {done:.1f} s")
    print(f"{fleet.kills} processes killed and started again; {len(stream.closed())} of {len(shards)} shards closed by a split and a merge")
    print(f"at least {max(0, twice)} records of the at-least-once route were done twice")
    print(f"leases: {messages['lease taken']} taken free, {messages['stolen or expired']} from others, {messages['lease handed over']} handed over")


def main():
    esclusa, plugins = (str(pathlib.Path(path).resolve()) for path in sys.argv[1:3])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 100_000
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(2**32)
    kills = int(sys.argv[5]) if len(sys.argv) > 5 else 2
    missing = [name for name in ("KINESALITE_URL", "AWS_ENDPOINT_URL_DYNAMODB") if name not in os.environ]
    if missing:
        sys.exit(f"{missing[0]} is not set: run this with scripts/servers.sh run")
    os.environ["AWS_ENDPOINT_URL_KINESIS"] = os.environ["KINESALITE_URL"]
    os.environ.setdefault("AWS_DEFAULT_REGION", os.environ.get("AWS_REGION", "us-east-1"))
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory() as directory:
        hold(esclusa, plugins, pathlib.Path(directory), count, seed, kills)
    print("every item is there, totals equal the truth, order per key is kept")


if __name__ == "__main__":
    main()
