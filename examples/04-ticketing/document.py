#!/usr/bin/env python3
"""Runs the curl commands of the document in their order, on the router's host in place of API Gateway's. Status, content type and body
must be as the document shows them; ids are placeholders. The README lists what the document has wrong."""
import re
import subprocess

from router import Router, until

EVENT = """{
  "Evento": "Opera Aida",
  "Capacidad": %d,
  "Categoria": "Opera",
  "Estado": "A"
}"""
RESERVATION = """{
  "Id": "<%s>",
  "Evento": "Opera Aida",
  "Estado": "%s",
  "Email": "%s",
  "Cantidad": %d
}"""
AVACO, PEPE = "avaco.digital@gmail.com", "pepe.digital@gmail.com"
JSON, HTML = "application/json", "text/html"


def listed(left):
    return "[\n  " + (EVENT % left).replace("\n", "\n  ") + "\n]"


def reserve(seats, email):
    return '{\n        "evento":   "Opera Aida",\n        "cantidad": %d,\n        "email": "%s"\n    }' % (seats, email)


CREATE = '{\n        "evento":   "Opera Aida",\n        "capacidad": 30,\n        "categoria": "Opera"\n    }'
# Method, path, body; content type and body of the answer. Every status is 200.
DOCUMENT = [
    ("POST", "/eventos", CREATE, JSON, EVENT % 30),
    ("GET", "/reservas/eventos", None, JSON, listed(30)),
    ("POST", "/reservas", reserve(1, AVACO), JSON, RESERVATION % ("1", "A", AVACO, 1)),
    ("POST", "/reservas", reserve(10, PEPE), JSON, RESERVATION % ("2", "A", PEPE, 10)),
    ("DELETE", "/reservas/<2>", None, HTML, "Reserva Id <2> cancelada"),
    ("GET", "/reservas/<2>", None, JSON, RESERVATION % ("2", "X", PEPE, 10)),
    ("GET", "/reservas/eventos", None, JSON, listed(29)),
    ("DELETE", "/eventos/Opera%20Aida", None, HTML, "Evento Opera Aida cancelado"),
    ("GET", "/reservas/<1>", None, JSON, RESERVATION % ("1", "C", AVACO, 1)),
]
router = Router()
ids = []


def placed(text):
    for number, each in enumerate(ids, 1):
        text = text.replace(f"<{number}>", each)
    return text


def curl(method, path, body):
    command = ["curl", "-s", "-i", "--max-time", "60", "-X", method, f"http://{router.host}:{router.port}/produccion{placed(path)}"]
    answer = subprocess.run(command + (["-d", body] if body else []), check=True, capture_output=True, timeout=90).stdout.decode()
    head, _, text = answer.partition("\r\n\r\n")
    line, *headers = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (header.partition(": ") for header in headers)}
    return line, headers["content-type"], text


for method, path, body, kind, text in DOCUMENT:
    # What one domain shows follows the other's changes: a moment later.
    if path == "/reservas/eventos" and not ids:
        until("the event is in the inventory", lambda: "Aida" in curl("GET", path, None)[2])
    if kind == JSON and text == RESERVATION % ("1", "C", AVACO, 1):
        until("the cancellation has reached the reservations", lambda: '"C"' in curl("GET", path, None)[2])
    got = curl(method, path, body)
    if method == "POST" and path == "/reservas":
        ids.append(re.search('"Id": "([0-9A-Za-z]{27})"', got[2])[1])
    expected = ("HTTP/1.1 200 OK", kind, placed(text))
    assert got == expected, f"{method} {path}: {got} instead of {expected}"
print(f"{len(DOCUMENT)} curl commands of the document, answered as it shows")
router.stop()
