#!/usr/bin/env python3
"""Uses the board as its page does: by hand, then automatically, then while the router is killed. Prints what the page shows."""
import atexit
import collections
import http.client
import json
import os
import subprocess
import sys
import time

from router import AWS, DATA, ESCLUSA, Router, scan, until

if AWS:
    import aws


class Front:
    """The front end's server, in a mode; the router is started in the same one."""

    def __init__(self, automatic):
        os.environ["PROCESAR_AUTOMATICO"] = automatic
        self.router = Router()
        self.server = subprocess.Popen([sys.executable, "serve.py", "0"], stdout=subprocess.PIPE, text=True)
        atexit.register(self.server.kill)
        self.address = self.server.stdout.readline().split("/")[2]

    def ask(self, method, path, body=None, headers={}):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request(method, path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        status, text = answer.status, answer.read().decode()
        connection.close()
        return status, json.loads(text) if "json" in answer.headers["Content-Type"] else text

    def send(self, text, **fields):
        status, answer = self.ask("POST", "/messages", {"text": text, **fields})
        assert status == 202, f"a message was refused: {status}: {answer}"
        return answer["id"]

    def states(self):
        return [message["state"] for message in self.ask("GET", "/messages")[1]]

    def show(self, title):
        print(f"{title}:")
        for message in reversed(self.ask("GET", "/messages")[1]):
            shown = [message["state"], message["text"][:20], message.get("author", "-"), message.get("reason", "")]
            print("  " + " | ".join(shown).rstrip(" |"))

    def end(self):
        self.server.kill()
        self.server.wait()
        self.router.stop()


def by_hand():
    front = Front("false")
    status, page = front.ask("GET", "/")
    assert status == 200 and "Procesar mensajes" in page
    for text in ["hola", 'comillas " y <b>', "x" * 281]:
        assert front.send(text)
    front.send("Acme se fusiona", author="ana", topic="companies")
    front.send("Juan se registra", author="ana", topic="users")
    front.show("sent, by hand")
    time.sleep(1)  # several times as long as automatic processing would wait
    assert front.states() == ["pending"] * 5, "nobody has pressed the button"
    assert front.ask("POST", "/process", headers={"Origin": "http://evil.example"})[0] == 403
    assert front.ask("POST", "/process") == (200, {"processed": 5})
    until("the failed one is marked", lambda: "pending" not in front.states())
    front.show("after the button")
    front.send("hasta luego")
    front.end()


def automatic():
    front = Front("true")
    until("the last one is processed by itself", lambda: "pending" not in front.states())
    assert front.ask("POST", "/process")[0] == 409
    front.show("restarted, automatic")
    until("subscribers have theirs", lambda: len(scan("inbox")) == 2)
    print("queues: " + ", ".join(sorted(f"{item['queue']}: {item['text']}" for item in scan("inbox"))))
    front.end()


def processed(router):
    """How many messages a router has processed."""
    return next(each["done"] for each in json.loads(router.ask("GET", "/api/v1/audit")[1]) if each["route"] == "process")


def states():
    """The states of the messages, in order. On AWS each router writes a part of them; the table's stream has the order."""
    told = [line for file in DATA.rglob("states.txt") for line in file.read_text().splitlines()]
    if not AWS:
        return told
    lines = [f"{image['id']['S']} {image['state']['S']}" for image in aws.changes("messages")]
    assert set(told) == set(lines), "a change was not told"
    return lines


def killed():
    """Six authors send in turn, and some without a name; the router is killed four times. On AWS a second one shares its
    queues and its leases."""
    front = Front("true")
    other = Router(DATA / "other") if AWS else None
    sent = collections.defaultdict(list)
    for n in range(400):
        if n % 100 == 60:
            front.router.kill()
            front.router.start()
        author = f"author-{n % 7}" if n % 7 else None
        sent[author].append(front.send(f"message {n}", **({"author": author} if author else {})))
    until("all are processed", lambda: all(item["state"] != "pending" for item in scan("messages")), front.router.alive)
    front.end()
    if other:
        assert processed(other), "the other router has processed nothing"
        other.stop()
    subprocess.run([ESCLUSA, "run", "--until-idle"], check=True, timeout=120)
    items = {item["id"]: item for item in scan("messages")}
    ours = [each for ids in sent.values() for each in ids]
    assert all(items[each]["state"] == "complete" and items[each]["processed"] == 1 for each in ours)
    lines = states()
    at = {line.split()[0]: n for n, line in reversed(list(enumerate(lines))) if line.endswith(" complete")}
    for author, ids in sent.items():
        assert author is None or sorted(ids, key=at.get) == ids, f"the messages of {author} were processed out of order"
    print(f"{len(ours)} messages, killed four times: each processed once, those of an author in order")


by_hand()
automatic()
killed()
