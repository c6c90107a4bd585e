#!/usr/bin/env python3
"""A group of routers on topics of Kafka, held against its promises while processes are killed, stopped past their session and let go on, and
partitions are added: totals that are written exactly once equal the truth, order per key is kept, nothing is lost.

  group.py ESCLUSA PLUGINS tables|topics [RECORDS [RUNS [SEED]]]

tables: into DynamoDB, exactly once; a second topic gets more partitions meanwhile, and goes at least once.
topics: into another topic, exactly once, counted by a read-committed consumer of another author (kafka-python).

ESCLUSA is the binary, PLUGINS the directory of the plugins. Endpoints and credentials come from the environment
(scripts/servers.sh run …). Each run has its own moments; a run that passes proves little."""
import concurrent.futures
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import time
import urllib.request
import uuid

import fleet
import kafka
import kafka.admin

MEMBERS = 3
PARTITIONS = 12
GROWING = 4  # partitions of the topic that gets more
FED = 25  # seconds in which all records of a run come: kills fall into this time
SESSION = 3  # seconds after which a silent member is out
SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
REPLICATION = int(os.environ.get("KAFKA_REPLICATION", "1"))

HEAD = """
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.events]
kind = "kafka"
bootstrap_servers = "{servers}"
topics = ["events-{run}"]
revoke_timeout = "3s"
client = {client}
"""
CLIENT = """{{ "session.timeout.ms" = "{session}000", "heartbeat.interval.ms" = "500", "topic.metadata.refresh.interval.ms" = "1000" }}"""

TABLES = """
[aws]
dedup_table = "dedup-{run}"
[source.growing]
kind = "kafka"
bootstrap_servers = "{servers}"
topics = ["growing-{run}"]
client = {client}
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
source = "growing"
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
concurrency = 12
delivery = "exactly-once"
config = {{ table = "totals", key = {{ pk = "{{group}}#{{key}}" }}, sum = {{ amount = "amount" }}, count = "records" }}

[[route]]
name = "latest-{run}"
source = "events"
plugin = "{plugins}/etl.wasm"
tables = ["latest"]
batch_size = 500
concurrency = 12
delivery = "exactly-once"
config = {{ table = "latest", key = {{ pk = "{{key}}" }} }}
"""

TOPICS = """
[output.copies]
kind = "kafka"
bootstrap_servers = "{servers}"
topic = "copies-{run}"

[[route]]
name = "copies-{run}"
source = "events"
plugin = "{plugins}/alert.wasm"
outputs = ["copies"]
batch_size = 500
concurrency = 12
delivery = "exactly-once"
[[route.config.rule]]
name = "copy"
output = "copies"
per = "{{key}}"
message = "{{id}}"
"""


class Topic:
    """A topic, and where each of its partitions ends."""

    def __init__(self, name, partitions):
        self.name, self.fed, self.ends = name, 0, {}
        self.admin = kafka.admin.KafkaAdminClient(bootstrap_servers=SERVERS)
        self.admin.create_topics([kafka.admin.NewTopic(name, partitions, REPLICATION)])

    def grow(self, partitions):
        self.admin.create_partitions({self.name: kafka.admin.NewPartitions(partitions)})

    def feed(self, numbers):
        """Puts records in FED seconds, each key's in order; a record that is refused ends the run."""
        options = {"bootstrap_servers": SERVERS, "acks": "all", "linger_ms": 20, "batch_size": 65536, "metadata_max_age_ms": 1000}
        producer, began, sent = kafka.KafkaProducer(**options), time.monotonic(), []
        for number in numbers:
            record = fleet.record(number)
            sent.append(producer.send(self.name, key=record["key"].encode(), value=json.dumps(record).encode()))
            self.fed += 1
            if self.fed % 100 == 0:
                time.sleep(max(0, began + FED * self.fed / len(numbers) - time.monotonic()))
        producer.flush()
        for each in map(lambda future: future.get(), sent):
            self.ends[each.partition] = max(self.ends.get(each.partition, 0), each.offset + 1)
        producer.close()
        return time.monotonic() - began


class Member(fleet.Member):
    """A router process that is a member of the groups."""

    def partitions(self, route):
        """The partitions of a route that it works on, with their positions."""
        address = json.loads((self.directory / "data/router.json").read_text(encoding="ascii"))["admin"]
        with urllib.request.urlopen(f"http://{address}/api/v1/status", timeout=fleet.PATIENCE) as answer:
            routes = [each for each in json.load(answer)["routes"] if each["name"] == route]
        shards = [each.get("shards") or {} for each in routes]
        return {each["lane"]: each["position"] for each in shards for each in each.get("partitions", [])}

    def stall(self, seconds):
        """Stops the process past its session, and lets it go on."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)


class Group:
    """The members, and the tables that they write."""

    def __init__(self, esclusa, directory, routes):
        self.members, self.kills, self.stalls = [], 0, 0
        for number in range(MEMBERS):
            self.members.append(Member(esclusa, directory / f"member-{number}", routes))

    def kill(self, member, seconds):
        member.kill()
        self.kills += 1
        time.sleep(seconds)
        member.start()

    def stall(self, member, seconds):
        self.stalls += 1
        member.stall(seconds)

    def positions(self, route):
        """Every partition's position; the owner's is the furthest, if a member that is out has not noticed it."""
        positions = {}
        for member in self.members:
            try:
                for lane, position in member.partitions(route).items():
                    positions[lane] = max(positions.get(lane, 0), position)
            except (OSError, ValueError, KeyError):
                pass  # it starts
        return positions

    def shared(self, route, partitions):
        return len(self.positions(route)) == partitions

    def done(self, route, topic):
        positions = self.positions(route)
        return all(positions.get(f"{topic.name}-{partition}", 0) >= end for partition, end in topic.ends.items())

    def check(self):
        for member in self.members:
            member.check()

    def stop(self):
        for member in self.members:
            member.stop()


class Tables(fleet.Fleet):
    """The tables, with the checks of the other fleet."""

    def __init__(self, run):
        self.dynamodb, self.names = fleet.client("dynamodb"), [f"{route}-{run}" for route in ("items", "totals", "latest")]
        for name in self.names:
            self.create(name)


def disturb(group, topic, growing, count, chance):
    """Kills, stops and adds partitions at random moments, while records come in."""
    members = group.members
    first, second, third = chance.sample(members, 3) if chance.random() < 0.7 else [chance.choice(members) for _ in range(3)]
    past, soon = SESSION + chance.uniform(1, 4), chance.uniform(0, 0.5)
    plan = [
        (chance.uniform(0.05, 0.9), "kill, restart after the session", lambda: group.kill(first, past)),
        (chance.uniform(0.05, 0.9), "kill, restart at once", lambda: group.kill(second, soon)),
        (chance.uniform(0.05, 0.9), "stop past the session, go on", lambda: group.stall(third, past)),
    ]
    if growing:
        plan.append((chance.uniform(0.2, 0.7), "add partitions", lambda: growing.grow(2 * GROWING)))
    for moment, what, act in sorted(plan, key=lambda step: step[0]):
        fleet.until(what, lambda: topic.fed >= moment * count, members)
        print(f"  at record {topic.fed}: {what}", flush=True)
        act()


def check_totals(tables, count):
    truth = {}
    for each in map(fleet.record, range(count)):
        pk = f"{each['group']}#{each['key']}"
        amount, records = truth.get(pk, (0, 0))
        truth[pk] = amount + fleet.exact(each["amount"]), records + 1
    found = {item["pk"]: (item["amount"], item["records"]) for item in tables.items(tables.names[1])}
    wrong = [f"{pk}: {found.get(pk)}, truth {total}" for pk, total in truth.items() if found.get(pk) != total]
    assert not wrong and len(found) == len(truth), f"{len(wrong)} totals differ, such as {wrong[:5]}"


def check_items(tables, numbers):
    found = {item.pop("pk"): item for item in tables.items(tables.names[0])}
    wrong = [each["id"] for each in map(fleet.record, numbers) if found.get(each["id"]) != fleet.exact(each)]
    assert not wrong, f"{len(wrong)} of {len(numbers)} records have no item or a wrong one, such as {wrong[:5]}"
    assert len(found) == len(numbers), f"{len(found)} items of {len(numbers)} records"


def committed(name):
    """The records of a topic that transactions have committed, by partition, as another consumer than ours reads them."""
    options = {"bootstrap_servers": SERVERS, "group_id": None, "enable_auto_commit": False, "isolation_level": "read_committed"}
    consumer, found = kafka.KafkaConsumer(**options), {}
    partitions = [kafka.TopicPartition(name, number) for number in consumer.partitions_for_topic(name)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(partitions)
    end = time.monotonic() + 120
    while any(consumer.position(each) < ends[each] for each in partitions):
        assert time.monotonic() < end, "a transaction that was left open holds readers back"
        for at, records in consumer.poll(500, max_records=5000).items():
            found.setdefault(at.partition, []).extend((each.key.decode(), each.value.decode()) for each in records)
    consumer.close()
    return found


def check_copies(name, count):
    """Each record is there once, and those of a key are in one partition, in order."""
    found, sequences = committed(name), {}
    for partition, records in found.items():
        for key, text in records:
            at, numbers = sequences.setdefault(key, (partition, []))
            assert at == partition, f"{key} is in two partitions"
            numbers.append(int(text.partition("#")[2]))
    total = sum(map(len, found.values()))
    wrong = [key for key, (_, numbers) in sequences.items() if numbers != list(range(len(numbers)))]
    assert total == count and not wrong, f"{total} copies of {count} records; {len(wrong)} keys are not complete and in order: {wrong[:5]}"


def hold_tables(esclusa, plugins, directory, count, chance):
    run = uuid.uuid4().hex[:8]
    topic, growing = Topic(f"events-{run}", PARTITIONS), Topic(f"growing-{run}", GROWING)
    tables = Tables(run)
    routes = (HEAD + TABLES).format(run=run, servers=SERVERS, plugins=plugins, client=CLIENT.format(session=SESSION))
    some = range(0, count, 5)

    def feed():
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            fed, beside = pool.submit(topic.feed, range(count)), pool.submit(growing.feed, some)
            beside.result()
            return fed.result()

    def done(group):
        return group.done(tables.names[0], growing) and all(group.done(name, topic) for name in tables.names[1:])

    def check():
        check_totals(tables, count)
        fleet.check_latest(tables, count)
        check_items(tables, some)

    started = lambda group: all(group.shared(name, PARTITIONS) for name in tables.names[1:]) and group.shared(tables.names[0], GROWING)
    return hold((esclusa, directory, routes), (topic, growing, count, chance), (feed, started, done, check))


def hold_topics(esclusa, plugins, directory, count, chance):
    run = uuid.uuid4().hex[:8]
    topic = Topic(f"events-{run}", PARTITIONS)
    Topic(f"copies-{run}", PARTITIONS)
    route = f"copies-{run}"
    routes = (HEAD + TOPICS).format(run=run, servers=SERVERS, plugins=plugins, client=CLIENT.format(session=SESSION))
    steps = (
        lambda: topic.feed(range(count)),
        lambda group: group.shared(route, PARTITIONS),
        lambda group: group.done(route, topic),
        lambda: check_copies(route, count),
    )
    return hold((esclusa, directory, routes), (topic, None, count, chance), steps)


def hold(how, disturbed, steps):
    """One run: the members, what disturbs them, and what is checked."""
    (feed, started, done, check), (topic, growing, count, chance) = steps, disturbed
    group = Group(*how)
    try:
        fleet.until("every partition to be read", lambda: started(group), group.members)
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            feeding = pool.submit(feed)
            disturb(group, topic, growing, count, chance)
            fed = feeding.result()
        fleet.until("every record to be done", lambda: done(group), group.members)
        took = time.monotonic() - began
        group.check()
        group.stop()
        check()
    except BaseException:
        for member in group.members:
            print(f"--- {member.directory.name}\n{member.tail()}", file=sys.stderr)
        raise
    finally:
        for member in group.members:
            member.kill()
    print(f"{count} records in {fed:.1f} s, all done after {took:.1f} s; {group.kills} kills, {group.stalls} stopped past the session", flush=True)


def main():
    esclusa, plugins = (str(pathlib.Path(path).resolve()) for path in sys.argv[1:3])
    held = {"tables": hold_tables, "topics": hold_topics}[sys.argv[3]]
    numbers = [int(each) for each in sys.argv[4:]]
    count, runs, seed = (numbers + [100_000, 10, random.randrange(2**32)][len(numbers):])[:3]
    missing = [name for name in ("KAFKA_BOOTSTRAP_SERVERS", "AWS_ENDPOINT_URL_DYNAMODB") if name not in os.environ]
    if missing:
        sys.exit(f"{missing[0]} is not set: run this with scripts/servers.sh run, on a machine with Java 17 and Maven")
    os.environ.setdefault("AWS_DEFAULT_REGION", os.environ.get("AWS_REGION", "us-east-1"))
    for number in range(runs):
        print(f"run {number + 1} of {runs}, seed {seed + number}", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            held(esclusa, plugins, pathlib.Path(directory), count, random.Random(seed + number))
    print("totals equal the truth, order is kept, nothing is lost")


if __name__ == "__main__":
    main()
