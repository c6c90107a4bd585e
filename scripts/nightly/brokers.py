#!/usr/bin/env python3
"""Three brokers of Apache Kafka that are their own controllers, of which one after the other is killed and started again, while a command
runs on them: coordinators of groups and transactions, and leaders of partitions, move each time.

  brokers.py COMMAND...     with KAFKA_BOOTSTRAP_SERVERS and KAFKA_REPLICATION=3 in its environment; its exit code

KAFKA_LIBS names the directory of Kafka's libraries (scripts/servers.sh run …)."""
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

BROKERS = (1, 2, 3)
CLUSTER = "4L6g3nShT-eMCtK--X86sw"
LIBS = os.environ.get("KAFKA_LIBS", "")
PATIENCE = 120  # seconds
BETWEEN = (6, 12)  # seconds between two kills
DOWN = (0, 8)  # seconds that a broker is gone
# What is shared by two of three brokers is kept if one dies.
PROPERTIES = """
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=6
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=6
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
auto.create.topics.enable=false
group.min.session.timeout.ms=1000
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


def java(*arguments):
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx384m", "-cp", f"{LIBS}/*", *arguments]


class Broker:
    """One of the brokers, in a directory of its own."""

    def __init__(self, directory, node, ports, voters):
        self.directory, self.node, self.process, self.port = directory / f"broker-{node}", node, None, ports[0]
        self.directory.mkdir()
        self.properties = self.directory / "server.properties"
        text = PROPERTIES.format(node=node, voters=voters, port=ports[0], controller=ports[1], data=self.directory / "data")
        self.properties.write_text(text, encoding="ascii")
        format_ = java("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(self.properties))
        subprocess.run(format_, check=True, capture_output=True, cwd=self.directory)

    def start(self):
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(java("kafka.Kafka", str(self.properties)), stdout=log, stderr=log, cwd=self.directory)

    def await_started(self, times):
        end = time.monotonic() + PATIENCE
        while self.log().count("Kafka Server started") < times:
            assert time.monotonic() < end and self.process.poll() is None, f"broker {self.node} does not start: {self.log()[-2000:]}"
            time.sleep(0.2)

    def log(self):
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()


def disturb(brokers, command, chance):
    """Kills one broker after the other until the command ends; two are always there."""
    kills = 0
    began = [1] * len(brokers)
    while True:
        try:
            command.wait(chance.uniform(*BETWEEN))
            return kills
        except subprocess.TimeoutExpired:
            pass
        for broker in brokers:
            assert broker.process.poll() is None, f"broker {broker.node} ended by itself: {broker.log()[-2000:]}"
        at = kills % len(brokers)
        brokers[at].kill()
        kills += 1
        time.sleep(chance.uniform(*DOWN))
        brokers[at].start()
        began[at] += 1
        brokers[at].await_started(began[at])


def free_ports(count):
    """Ports below those that the system gives to clients: a broker that is gone finds its own again."""
    held = []
    while len(held) < count:
        try:
            held.append(socket.create_server(("127.0.0.1", random.randrange(20_000, 32_000))))
        except OSError:
            pass  # in use
    return [each.getsockname()[1] for each in held]


def main(*words):
    if not LIBS:
        sys.exit("KAFKA_LIBS is not set: run this with scripts/servers.sh run, on a machine with Java 17 and Maven")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seed = random.randrange(2**32)
    print(f"brokers: seed {seed}", flush=True)
    ports = free_ports(2 * len(BROKERS))
    pairs = list(zip(ports[::2], ports[1::2]))
    voters = ",".join(f"{node}@127.0.0.1:{controller}" for node, (_, controller) in zip(BROKERS, pairs))
    with tempfile.TemporaryDirectory() as name:
        brokers, command = [], None
        try:
            brokers = [Broker(pathlib.Path(name), node, pair, voters) for node, pair in zip(BROKERS, pairs)]
            for broker in brokers:
                broker.start()
            for broker in brokers:
                broker.await_started(1)
            servers = ",".join(f"127.0.0.1:{broker.port}" for broker in brokers)
            environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": servers, "KAFKA_REPLICATION": str(len(BROKERS))}
            command = subprocess.Popen(words, env=environment)
            kills = disturb(brokers, command, random.Random(seed))
            print(f"{kills} brokers killed and started again", flush=True)
            assert command.returncode or kills, "no broker was killed"
            return command.returncode
        finally:
            if command and command.poll() is None:
                # As from the keyboard: it ends its own processes.
                command.send_signal(signal.SIGINT)
                command.wait(PATIENCE)
            for broker in brokers:
                broker.kill()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
