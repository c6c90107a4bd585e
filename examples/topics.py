#!/usr/bin/env python3
"""The Kafka side of the examples: creates the topics that a configuration names, and writes and reads them. It reads $ESCLUSA_CONFIG.

  topics.py create [PARTITIONS]                     topics that are not there
  topics.py send SOURCE FILE [--key FIELD] [--raw]  JSON lines as records
  topics.py read OUTPUT                             the records of a topic that are committed, a line each"""
import argparse
import contextlib
import json
import pathlib
import sys

import kafka
import kafka.admin
import kafka.errors

import aws

PATIENCE = 60  # seconds


def servers(section):
    """The brokers of a section of kind kafka."""
    return aws.CONFIG[section[0]][section[1]]["bootstrap_servers"]


def sections(kind):
    return [(kind, name) for name, each in aws.CONFIG.get(kind, {}).items() if each["kind"] == "kafka"]


def topics(section):
    each = aws.CONFIG[section[0]][section[1]]
    named = each.get("topics", [each.get("topic", section[1])])
    return [named] if isinstance(named, str) else named


def create(partitions):
    for section in sections("source") + sections("output"):
        admin = kafka.admin.KafkaAdminClient(bootstrap_servers=servers(section))
        for topic in topics(section):
            with contextlib.suppress(kafka.errors.TopicAlreadyExistsError):
                admin.create_topics([kafka.admin.NewTopic(topic, partitions, 1)])
        admin.close()


def send(name, lines, key=None):
    """Puts JSON lines; gives where each partition ends then."""
    section, sent, ends = ("source", name), [], {}
    producer = kafka.KafkaProducer(bootstrap_servers=servers(section), acks="all", linger_ms=10)
    for line in lines:
        text = str(json.loads(line)[key]).encode() if key else None
        sent.append(producer.send(topics(section)[0], key=text, value=line.encode()))
    producer.flush()
    for each in (future.get(PATIENCE) for future in sent):
        ends[each.partition] = max(ends.get(each.partition, 0), each.offset + 1)
    producer.close()
    return ends


def read(name):
    """The records that are committed, of each partition in order."""
    section = ("output", name)
    options = {"bootstrap_servers": servers(section), "group_id": None, "enable_auto_commit": False}
    consumer = kafka.KafkaConsumer(isolation_level="read_committed", **options)
    partitions = [kafka.TopicPartition(topic, n) for topic in topics(section) for n in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(partitions)
    while any(consumer.position(each) < ends[each] for each in partitions):
        for records in consumer.poll(500).values():
            yield from (each.value.decode() for each in records)
    consumer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("create").add_argument("partitions", nargs="?", type=int, default=4)
    sending = commands.add_parser("send")
    sending.add_argument("source")
    sending.add_argument("file")
    sending.add_argument("--key")
    sending.add_argument("--raw", action="store_true")
    commands.add_parser("read").add_argument("output")
    asked = parser.parse_args()
    if asked.command == "create":
        create(asked.partitions)
    elif asked.command == "send":
        text = pathlib.Path(asked.file).read_text(encoding="utf-8")
        send(asked.source, [text] if asked.raw else [line for line in text.splitlines() if line.strip()], asked.key)
    else:
        sys.stdout.writelines(line + "\n" for line in read(asked.output))
