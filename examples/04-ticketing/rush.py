#!/usr/bin/env python3
"""A thousand customers want one of a hundred seats: all at once; then in a crowd, while the router is killed three times; then
some cancel theirs while the organisers cancel the event. No more seats are sold than there are, and no reservation is lost."""
import asyncio
import json
import subprocess

from router import ESCLUSA, Router, mails, scan, until

CUSTOMERS, SEATS = 1000, 100
router = Router()


def create(name):
    assert router.ask("POST", "/produccion/eventos", {"evento": name, "capacidad": SEATS, "categoria": "Rock"})[0] == 200
    until("it is in the inventory", lambda: router.ask("GET", f"/produccion/reservas/eventos/{name}")[0] == 200)


def reservations(event):
    return {item["SK"]: item for item in scan("inventario") if item.get("Evento") == event}


def left(event):
    return next(item["Capacidad"] for item in scan("inventario") if item["PK"] == "E" and item["SK"] == event)


def reservation(event, number):
    return {"evento": event, "cantidad": 1, "email": f"customer-{number}@example.com"}


async def customer(event, number, outcomes, crowd):
    """One customer. A refused connection is tried again; a request without an answer has an unknown outcome."""
    async with crowd:
        while True:
            try:
                outcomes.append(await router.ask_soon("POST", "/produccion/reservas", reservation(event, number)))
                return
            except EOFError:
                outcomes.append((None, ""))
                return
            except OSError:
                await asyncio.sleep(0.02)


async def rush(event, at_once, kills=()):
    """The outcomes of all customers; the router is killed whenever so many have their seat."""
    outcomes, crowd = [], asyncio.Semaphore(at_once)
    customers = asyncio.gather(*(customer(event, number, outcomes, crowd) for number in range(CUSTOMERS)))
    for confirmed in kills:
        while sum(status == 200 for status, _ in outcomes) < confirmed:
            await asyncio.sleep(0.001)
        router.kill()
        await asyncio.to_thread(router.start)
    await customers
    return outcomes


def check(event, outcomes):
    """Exactly all seats are sold, and every customer with a confirmation has one."""
    sold = [item for item in reservations(event).values() if item["Estado"] == "A"]
    confirmed = {json.loads(text)["Id"] for status, text in outcomes if status == 200}
    unknown = sum(status is None for status, _ in outcomes)
    statuses = {status for status, _ in outcomes} - {None}
    assert statuses <= {200, 409}, f"answers {statuses}"
    assert sum(item["Cantidad"] for item in sold) == SEATS, f"{len(sold)} of {SEATS} seats are sold"
    assert left(event) == 0, f"{left(event)} seats are left"
    assert confirmed <= {item["SK"] for item in sold}, "a confirmed reservation is missing"
    assert len(sold) - len(confirmed) <= unknown, "more is sold than was asked for"
    return len(confirmed), unknown


create("Queen Live")
confirmed, unknown = check("Queen Live", asyncio.run(rush("Queen Live", CUSTOMERS)))
assert (confirmed, unknown) == (SEATS, 0)
print(f"{CUSTOMERS} customers at once: {confirmed} seats sold")

create("Soda Stereo")
confirmed, unknown = check("Soda Stereo", asyncio.run(rush("Soda Stereo", 16, kills=(10, 40, 70))))
print(f"{CUSTOMERS} customers, killed three times: {SEATS} seats sold, {confirmed} confirmed; {unknown} requests had no answer")


async def change_of_mind(event):
    """Every customer reserves, every second one cancels, and the organisers cancel the event in the middle."""
    async def one(number):
        status, text = await router.ask_soon("POST", "/produccion/reservas", reservation(event, number))
        if status == 200 and number % 2:
            await router.ask_soon("DELETE", f"/produccion/reservas/{json.loads(text)['Id']}", None)

    customers = [asyncio.create_task(one(number)) for number in range(300)]
    await asyncio.wait(customers[:60])
    status, _ = await router.ask_soon("DELETE", f"/produccion/eventos/{event}", None)
    assert status == 200
    await asyncio.gather(*customers)


create("Festival")
asyncio.run(change_of_mind("Festival"))
until("no reservation is active", lambda: all(item["Estado"] != "A" for item in reservations("Festival").values()))
taken = sum(item["Cantidad"] for item in reservations("Festival").values() if item["Estado"] == "C")
assert taken + left("Festival") == SEATS, "seats appeared or vanished"
print(f"cancelled in the middle: none of {len(reservations('Festival'))} reservations is active, no seat is lost")
router.stop()
subprocess.run([ESCLUSA, "run", "--until-idle"], check=True, timeout=120)

# Mails are sent at least once: after a kill one may be there twice, but none is missing.
told = {(mail.split()[2], mail.split()[-1]) for mail in mails()}
for item in scan("inventario"):
    if item["PK"] == "I":
        last = {"A": "confirmada", "X": "suya", "C": "organizadores"}[item["Estado"]]
        assert {(item["SK"], "confirmada"), (item["SK"], last)} <= told, f"a mail about {item['SK']} is missing"
print(f"{len(told)} mails, none is missing")
subprocess.run([ESCLUSA, "audit"], check=True, timeout=60)
