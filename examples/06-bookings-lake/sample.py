#!/usr/bin/env python3
"""Writes DIRECTORY/bookings.jsonl, the new bookings, and DIRECTORY/history-1.jsonl and history-2.jsonl, everything that
happens to them, in order; the same every time. Status 1: booked, 2: done, 3: cancelled.  usage: sample.py DIRECTORY"""
import json
import random
import sys

random.seed(6)
open_bookings, bookings, history = {}, [], []
for n in range(2, 1502):
    salon = random.choice([1, 1, 1, 2, 2, 3])
    booking = {
        "booking_id": n, "booking_date": f"2024-10-{random.randrange(7, 29):02}T{random.randrange(9, 20):02}:30:00",
        "status": 1, "user_id": random.randrange(1, 300), "salon_id": salon,
        "employee_id": salon * 10 + random.randrange(4), "payment_id": 5000 + n,
    }
    bookings.append(booking)
    history.append(("booked", booking))
    open_bookings[n] = booking
    if random.random() < 0.7:
        changed = dict(open_bookings.pop(random.choice(list(open_bookings))))
        what = random.choice(["moved", "done", "done", "cancelled"])
        if what == "moved":
            changed["booking_date"] = f"2024-11-{random.randrange(1, 29):02}T10:00:00"
            open_bookings[changed["booking_id"]] = changed
        else:
            changed["status"] = 2 if what == "done" else 3
        history.append((what, changed))

with open(f"{sys.argv[1]}/salons.jsonl", "w", encoding="utf-8") as file:
    for salon, name in enumerate(["uno", "dos", "tres"], 1):
        print(json.dumps({"salon": str(salon), "email": f"{name}@salons.example"}), file=file)

half = len(history) // 2
events = [{"event": what, **booking} for what, booking in history]
for name, lines in [("bookings", bookings), ("history-1", events[:half]), ("history-2", events[half:])]:
    with open(f"{sys.argv[1]}/{name}.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
