"""A router in a directory of its own, and the measurements: probes of its health, commits of the witness, its memory."""
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

ESCLUSA = os.environ.get("ESCLUSA", "")
DRAIN = 5  # seconds that what is in flight gets when the router stops
CUT_OFF = 2  # further seconds for what hangs: host/esclusa/src/runtime.rs
MOST_MEMORY = 6 << 30  # a router that takes more is killed, so that the machine lives
PATIENCE = 20  # seconds after which something will not happen any more
LOOK = 0.02  # seconds between two looks at the witness and at the memory


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Router:
    """A process that is started and stopped, and watched as long as it lives."""

    def __init__(self, directory, port):
        self.directory = pathlib.Path(directory)
        self.port = port
        self.process = None

    def start(self):
        """Starts it; gives the seconds until it is alive and the witness commits, or None if that does not happen."""
        arguments = [ESCLUSA, "run", "--drain-timeout", f"{DRAIN}s"]
        with open(self.directory / "log", "ab") as log, open(self.directory / "out", "ab") as out:
            self.process = subprocess.Popen(arguments, cwd=self.directory, stdout=out, stderr=log, stdin=subprocess.DEVNULL)
        self.watch = Watch(self.process, self.directory / "witness.jsonl")
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE and self.process.poll() is None:
            if self.watch.commits > 2 and self.alive():
                return time.monotonic() - began
            time.sleep(LOOK)
        return None

    def alive(self):
        try:
            return self.ask("GET", "/livez", timeout=1)[0] == 200
        except OSError:
            return False

    def ask(self, method, path, body=None, timeout=PATIENCE):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body is not None else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def probe(self, count, interval):
        """Milliseconds that each of `count` requests of /livez took, a new connection each; begun at fixed times, even if
        earlier ones are still open."""
        prober = pathlib.Path(__file__).with_name("probe.py")
        arguments = [sys.executable, str(prober), str(self.port), str(count), str(interval)]
        return json.loads(subprocess.run(arguments, stdout=subprocess.PIPE, check=True).stdout)

    def stop(self):
        """Sends SIGTERM; gives the seconds until the process is gone, or None if it had to be killed."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(DRAIN + CUT_OFF + 5)
            return time.monotonic() - began
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill()

    def kill(self):
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.watch.end()


class Watch:
    """Looks at the witness's output and at the memory of a process and its children until it ends."""

    def __init__(self, process, witness):
        self.process, self.witness = process, witness
        self.commits = self.memory = self.children = 0
        self.killed = self.over = False
        self.forget()
        self._size = witness.stat().st_size if witness.exists() else 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def forget(self):
        """Forgets the earlier measurements."""
        self._last, self._gap = time.monotonic(), 0.0

    def gap(self):
        """Most seconds between two commits of the witness so far."""
        return max(self._gap, time.monotonic() - self._last)

    def end(self):
        self.over = True
        self.thread.join()

    def _run(self):
        rounds = 0
        while not self.over and self.process.poll() is None:
            self._look()
            if rounds % 3 == 0:
                self._weigh()
            rounds += 1
            time.sleep(LOOK)

    def _look(self):
        size = self.witness.stat().st_size if self.witness.exists() else 0
        if size != self._size:
            now = time.monotonic()
            self._gap = max(self._gap, now - self._last)
            self._size, self._last, self.commits = size, now, self.commits + 1

    def _weigh(self):
        peak, now = memory(self.process.pid)
        self.memory = max(self.memory, peak)
        for child in children(self.process.pid):
            child_peak, child_now = memory(child)
            self.children = max(self.children, child_peak)
            now += child_now
        if now > MOST_MEMORY:
            self.killed = True
            self.process.kill()


def memory(pid):
    """The most bytes that a process had, and the bytes that it has."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0, 0
    found = dict(line.split(":", 1) for line in text.splitlines() if line.startswith(("VmHWM", "VmRSS")))
    return tuple(int(found.get(name, "0 kB").split()[0]) * 1024 for name in ("VmHWM", "VmRSS"))


def children(pid):
    """The processes that a process started, from any of its threads."""
    found = set()
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.update(int(child) for child in task.read_text().split())
        except OSError:
            pass  # the thread has ended
    return found
