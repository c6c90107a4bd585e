#!/usr/bin/env python3
"""Tells the story of the document: the same requests in the same order. Prints each request with its answer, and the mails as
their server got them: a mail server of its own (routes.toml with smtp.toml), or SES. Ids of reservations are replaced by
their numbers."""
import json
import os

from router import AWS, Router, until

if AWS:
    import aws
    mails = lambda: aws.mails(os.environ["MAIL_FROM"])
else:
    import mailserver
    mails = mailserver.start()
router = Router()
ids = []


def masked(text):
    for number, each in enumerate(ids, 1):
        text = text.replace(each, f"<Id {number}>")
    return text


def ask(method, path, body=None):
    status, text = router.ask(method, "/produccion" + path, body)
    if method == "POST" and "Id" in text:
        ids.append(json.loads(text)["Id"])
    print(masked(f"> {method} {path}" + (f" {json.dumps(body)}" if body else "") + f"\n{status} {text}\n"))


def mailed(count):
    """The mails, once there are so many."""
    return until(f"there are {count} mails", lambda: sent if len(sent := mails()) >= count else None)


def reserve(event, seats, email):
    ask("POST", "/reservas", {"evento": event, "cantidad": seats, "email": email})


ask("POST", "/eventos", {"evento": "Opera Aida", "capacidad": 30, "categoria": "Opera"})
ask("GET", "/eventos")
ask("GET", "/eventos/Opera Aida")
until("the event is in the inventory", lambda: "Aida" in router.ask("GET", "/produccion/reservas/eventos")[1])
ask("GET", "/reservas/eventos")
reserve("Opera Aida", 1, "avaco.digital@gmail.com")
reserve("Opera Aida", 10, "pepe.digital@gmail.com")
ask("GET", "/reservas/Opera Aida/pepe.digital@gmail.com")
ask("DELETE", f"/reservas/{ids[1]}")
ask("GET", f"/reservas/{ids[1]}")
ask("DELETE", f"/reservas/{ids[1]}")
ask("GET", "/reservas/eventos")
reserve("Opera Aida", 30, "maria@gmail.com")
reserve("Queen Live", 1, "maria@gmail.com")
mailed(3)
ask("DELETE", "/eventos/Opera Aida")
mailed(4)
ask("GET", f"/reservas/{ids[0]}")
ask("GET", f"/reservas/{ids[1]}")
reserve("Opera Aida", 1, "juan@gmail.com")
ask("GET", "/reservas/eventos/Opera Aida")
for receivers, subject, text in sorted(mailed(4)):  # those of different reservations may overtake each other
    print(masked(f"mail to {receivers}, {subject}: {text}"))
router.stop()
