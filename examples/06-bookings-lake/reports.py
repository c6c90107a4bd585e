#!/usr/bin/env python3
"""Lets the schedule send its reports every second, while the router is killed five times, each time after a little longer. Every salon
gets a mail from each report, and none twice. Prints the mails of the last report."""
import collections
import os
import time

import mailserver

mails = mailserver.start()
os.environ["REPORTS"] = "* * * * * *"  # every second
from router import Router, until  # noqa: E402, reads the environment

SALONS = ["uno@salons.example", "dos@salons.example", "tres@salons.example"]
router = Router()
for kill in range(5):
    before = len(mails())
    until("a report goes out", lambda: len(mails()) > before, router.alive)
    time.sleep(0.001 * kill)
    router.kill()
    router.start()
before = len(mails())
until("two more reports", lambda: len(mails()) >= before + 2 * len(SALONS), router.alive)
router.stop()
per_salon = collections.Counter(to for to, _, _ in mails())
assert set(per_salon) == set(SALONS) and len(set(per_salon.values())) == 1, f"not every report is whole: {per_salon}"
for to, subject, text in sorted(mails()[-len(SALONS):]):
    print(f"mail to {to}, {subject}:\n{text}\n")
