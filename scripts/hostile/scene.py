"""The parts of an attack: a configuration with a witness, events, files, clients."""
import hashlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time

import router

PLUGINS = pathlib.Path(os.environ.get("PLUGINS", ""))
GUESTS = pathlib.Path(os.environ.get("GUESTS", ""))

BASE = """
version = 1
[admin]
listen = "127.0.0.1:%(port)d"
[engine]
path = "data"

[source.ticks]
kind = "generate"
interval = "100ms"
event = { n = "{seq}" }
[output.witness]
kind = "file"
path = "witness.jsonl"
[[route]]
name = "witness"
source = "ticks"
plugin = "alert.wasm"
outputs = ["witness"]
[[route.config.rule]]
name = "tick"
output = "witness"
message = "{n}"

[source.trigger]
kind = "file"
path = "trigger.jsonl"
follow = true
[output.out]
kind = "file"
path = "out.jsonl"
"""
ETL = '\nconfig = { table = "target", key = { pk = "{pk}", sk = "{sk}" } }\ntables = ["target"]'


class Scene:
    """A directory in which a router runs, and the attackers of that router."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.router = router.Router(self.directory, router.free_port())
        self.text = BASE % {"port": self.router.port}
        self.notes, self.failures = [], []
        self.before = lambda: None  # what is measured before the attack
        self._measuring = []
        self._fed, self.expecting = [], []  # routes of the trigger; routes that have to get events, or nothing was attacked
        self._ended, self._threads, self._sockets = threading.Event(), [], []
        self.copy(PLUGINS / "alert.wasm", "alert.wasm")
        (self.directory / "trigger.jsonl").touch()

    # The configuration.

    def add(self, text):
        self.text += text + "\n"

    def table(self, name="target", more=""):
        self.add(f'[table.{name}]\nkind = "embedded"\npartition_key = "pk"\n{more}')

    def hostile(self, name, order, grants="", source="trigger", **sizes):
        """A route whose plugin misbehaves on every event."""
        guest = "hostile.wasm"
        if not (self.directory / guest).exists():
            self.copy(GUESTS / guest, guest)
        config = ", ".join(f"{key} = {json.dumps(value)}" for key, value in {"do": order, **sizes}.items())
        self.route(name, guest, f"config = {{ {config} }}\n{grants}", source)

    def route(self, name, plugin, more="", source="trigger"):
        """A route that never gives an event up, so that the event is still there after a restart."""
        if source == "trigger":
            self._fed.append(name)
        self.add(f'[[route]]\nname = "{name}"\nsource = "{source}"\nplugin = "{plugin}"\nbatch_size = 1\nconcurrency = 1\nmax_retry_attempts = -1\n'
                 f'retry_backoff = {{ base = "10ms", max = "50ms" }}\nlimits = {{ memory = "256MiB", output = "64MiB" }}\n{more}')

    def write(self, text=None):
        self.file("routes.toml", (text or self.text).encode())

    def file(self, name, data):
        """Writes a new file and renames it, so that nobody reads half of it."""
        new = self.directory / f".{name}.new"
        new.write_bytes(data)
        new.rename(self.directory / name)

    def copy(self, file, name):
        shutil.copyfile(file, self.directory / name)

    def fill(self, count, bytes_each):
        """A table with `count` items in one partition, filled before the attack."""
        self.table(more='sort_key = "sk"')
        self.copy(PLUGINS / "etl.wasm", "etl.wasm")
        self.add('[source.filling]\nkind = "file"\npath = "filling.jsonl"\n'
                 '[[route]]\nname = "fill"\nsource = "filling"\nplugin = "etl.wasm"\nbatch_size = 1000' + ETL)
        item = json.dumps({"pk": "many", "sk": "%08d", "text": "x" * bytes_each})
        (self.directory / "filling.jsonl").write_text("".join(item % n + "\n" for n in range(count)))
        self.write()
        subprocess.run([router.ESCLUSA, "run", "--until-idle"], cwd=self.directory, check=True, capture_output=True, timeout=120)

    # The attack.

    def feed(self, line="{}", every=0.2):
        """Feeds an event again and again until the router is stopped."""
        data = line.encode() + b"\n"
        self.expecting = self._fed

        def run():
            with open(self.directory / "trigger.jsonl", "ab", buffering=0) as file:
                while not self._ended.wait(every):
                    file.write(data)
        self._spawn(run)

    def flood(self, count, request, rest=b"", every=0.0):
        """Opens `count` connections that send a request and then read nothing; `rest` is sent a byte each `every` seconds. It stops
        early if the router accepts nothing more."""
        end = time.monotonic() + 5
        while len(self._sockets) < count and time.monotonic() < end:
            self._connect(request)

        def dribble():
            for byte in rest:
                if self._ended.wait(every):
                    return
                for connection in self._sockets:
                    self._send(connection, bytes([byte]))
        if rest:
            self._spawn(dribble)

    def upload(self, count, request):
        """Opens `count` connections that send a long request at the same time."""
        end = time.monotonic() + 5
        while len(self._sockets) < count and time.monotonic() < end:
            connection = self._connect(b"")
            if connection is not None:
                self._spawn(lambda connection=connection: self._send(connection, request))

    def asks(self, clients, method, path, body=None):
        """Starts `clients` clients that ask again and again."""
        def run():
            while not self._ended.is_set():
                try:
                    self.router.ask(method, path, body)
                except OSError:
                    self._ended.wait(0.05)
        for _ in range(clients):
            self._spawn(run)

    def _connect(self, request):
        try:
            connection = socket.create_connection(("127.0.0.1", self.router.port), timeout=1)
        except OSError:
            return None  # refused: that is an answer, too
        connection.settimeout(30)
        self._sockets.append(connection)
        self._send(connection, request)
        return connection

    def _send(self, connection, data):
        try:
            connection.sendall(data)
        except OSError:
            pass  # cut off

    def _spawn(self, run):
        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def calm(self):
        """Ends the attackers; files and the store stay."""
        self._ended.set()
        for connection in self._sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other end was faster
            connection.close()
        for thread in self._threads:
            thread.join(5)
        self._ended, self._threads, self._sockets = threading.Event(), [], []

    # What else is measured.

    def loading(self, route, name, data, most=router.PATIENCE):
        """Seconds until a plugin's new file serves its route; None if that does not happen."""
        began = time.monotonic()
        digest = hashlib.sha256(data).hexdigest()
        self.file(name, data)
        while time.monotonic() - began < most:
            try:
                if self._digest(route) == digest:
                    return time.monotonic() - began
            except OSError:
                pass  # too busy to answer
            time.sleep(0.05)
        return None

    def meanwhile(self, measure):
        """Measures something while the attack goes on; `measured` waits for it."""
        self._measuring.append(threading.Thread(target=measure, daemon=True))
        self._measuring[-1].start()

    def measured(self):
        for thread in self._measuring:
            thread.join()

    def spared(self):
        """Routes that should have been attacked and got no event: then the attack did not take place."""
        if not self.expecting:
            return []
        try:
            routes = self._routes()
        except OSError:
            return []  # too busy to answer, so it was attacked
        return [name for name in self.expecting if name in routes and routes[name]["reading"]["received"] == 0]

    def _digest(self, route):
        return self._routes().get(route, {"plugin": {"digest": None}})["plugin"]["digest"]

    def _routes(self):
        status, text = self.router.ask("GET", "/api/v1/status", timeout=5)
        if status != 200:
            raise OSError(f"the status answers {status}")
        return {route["name"]: route for route in json.loads(text)["routes"]}
