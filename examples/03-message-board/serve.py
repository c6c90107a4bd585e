#!/usr/bin/env python3
"""The front end's server: the page, the messages (handed on to the router), and the button that processes them by hand: it
lets the route `process` take what waits in the queue, and pauses it again. If the router processes by itself
(PROCESAR_AUTOMATICO=true) the button is refused.  usage: serve.py [PORT], 8000 if none is given"""
import http.client
import http.server
import json
import os
import pathlib
import socketserver
import sys
import threading
import time

PAGE = pathlib.Path(__file__).parent / "page"
ENGINE = pathlib.Path(os.environ.get("DATA", "data")) / "engine"
AUTOMATIC = os.environ.get("PROCESAR_AUTOMATICO") == "true"
FILES = {"/": ("index.html", "text/html"), "/page.js": ("page.js", "text/javascript"), "/page.css": ("page.css", "text/css")}
PATIENCE = 60  # seconds
by_hand = threading.Lock()


def router(method, path, body=None):
    """Status and body of the router's answer."""
    connection = http.client.HTTPConnection(json.loads((ENGINE / "router.json").read_text())["admin"], timeout=PATIENCE)
    connection.request(method, path, body)
    answer = connection.getresponse()
    status, data = answer.status, answer.read()
    connection.close()
    return status, data


def pending():
    """Ids of the messages that nobody has processed yet."""
    _, data = router("GET", "/ingest/board/messages")
    return {message["id"] for message in json.loads(data) if message["state"] == "pending"}


def process():
    """Processes what waits now; gives how many messages that were."""
    with by_hand:
        waiting = pending()
        router("POST", "/api/v1/routes/process/resume")
        deadline = time.monotonic() + PATIENCE
        while (left := waiting & pending()) and time.monotonic() < deadline:
            time.sleep(0.05)
        router("POST", "/api/v1/routes/process/pause")
        return len(waiting) - len(left)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path in FILES:
            name, kind = FILES[self.path]
            self.answer(200, (PAGE / name).read_bytes(), kind + "; charset=utf-8")
        else:
            self.hand_on()

    def do_POST(self):
        if self.headers.get("Origin", "").partition("://")[2] not in ("", self.headers.get("Host")):
            self.tell(403, error="pages of other sites may not do this")
        elif self.path != "/process":
            self.hand_on()
        elif AUTOMATIC:
            self.tell(409, error="los mensajes se procesan automáticamente")
        else:
            self.tell(200, processed=process())

    def hand_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/messages":
            self.tell(404, error="there are /, /messages and /process")
            return
        try:
            self.answer(*router(self.command, "/ingest/board/messages", body), "application/json")
        except (OSError, http.client.HTTPException) as error:
            self.tell(502, error=f"the router does not answer: {error}")

    def tell(self, status, **fields):
        self.answer(status, json.dumps(fields).encode(), "application/json")

    def answer(self, status, data, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", "default-src 'self'")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    """Without the name lookup of http.server's own, which may take seconds."""

    allow_reuse_address = daemon_threads = True


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8000), Handler)
    print(f"open http://127.0.0.1:{server.server_address[1]}/", flush=True)
    server.serve_forever()
