"""A router that an example's check starts, kills and asks. It runs $ESCLUSA on $ESCLUSA_CONFIG, in $DATA."""
import asyncio
import atexit
import http.client
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time
import urllib.parse

ESCLUSA = os.environ["ESCLUSA"]
DATA = pathlib.Path(os.environ["DATA"])
PATIENCE = 60  # seconds
AWS = "EXAMPLES_AWS" in os.environ
if AWS:
    import aws

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what runs is ended too, see atexit
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(_hard, 8192), _hard))


class Router:
    """A router that runs until it is stopped, or until the script ends."""

    def __init__(self, home=DATA):
        self.home = home
        home.mkdir(exist_ok=True)
        atexit.register(self.kill)
        self.start()

    def start(self):
        where = self.home / "engine" / "router.json"
        where.unlink(missing_ok=True)
        with open(self.home / "log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([ESCLUSA, "run"], stderr=log, env={**os.environ, "DATA": str(self.home)})
        until("the router runs", lambda: where.exists() and '"phase":"running"' in where.read_text(), self.alive)
        posted = json.loads(where.read_text())
        self.admin = posted["admin"]
        # The listener of the example's API, or /ingest of [admin].
        self.host, _, port = posted["listeners"].get("api", posted["admin"]).rpartition(":")
        self.port = int(port)

    def alive(self):
        assert self.process.poll() is None, "the router ended:\n" + (self.home / "log").read_text()

    def stop(self):
        """Stops the router; events in flight are finished."""
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, "the router did not stop in order"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ask(self, method, path, body=None, headers={}):
        """Status and text of the answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        body = None if body is None else json.dumps(body)
        connection.request(method, urllib.parse.quote(path, safe="/?=&@"), body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    async def ask_soon(self, method, path, body):
        """The same for many at once. Raises ConnectionRefusedError if nothing was sent, EOFError if no answer came."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            data, path = json.dumps(body).encode(), urllib.parse.quote(path)
            head = f"{method} {path} HTTP/1.1\r\nhost: {self.host}\r\nconnection: close\r\ncontent-length: {len(data)}\r\n\r\n"
            writer.write(head.encode() + data)
            answer = await reader.read()
        except OSError as error:
            raise EOFError from error
        finally:
            writer.close()
        head, _, text = answer.partition(b"\r\n\r\n")
        if not head:
            raise EOFError
        return int(head.split()[1]), text.decode()


def until(what, holds, meanwhile=lambda: None):
    """Waits until a value is true, and returns it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        meanwhile()
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)
    return found


def scan(table):
    """The items of a table, with a running router or without."""
    if AWS:
        return aws.scan(table)
    lines = subprocess.run([ESCLUSA, "table", "scan", table], check=True, capture_output=True, timeout=PATIENCE).stdout
    return [json.loads(line) for line in lines.splitlines()]


def mails():
    """Texts of the mails that were sent so far."""
    if AWS:
        return [text for _, _, text in aws.mails(os.environ["MAIL_FROM"])]
    path = DATA / "mails.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
