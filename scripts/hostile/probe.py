"""Asks /livez as Kubernetes does, a new connection each time; prints the milliseconds of each probe as JSON.

probe.py PORT COUNT INTERVAL: a probe begins every INTERVAL seconds, even if earlier ones are still open: a router that hangs for a
second makes every probe of that second late, not one."""
import asyncio
import json
import os
import sys
import time

GIVEN_UP = 10.0  # seconds
REQUEST = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


async def ask(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(REQUEST)
        answer = await reader.read(64)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise OSError(f"the answer is {answer[:12]!r}")
    finally:
        writer.close()


async def probe(port):
    """A failed probe counts as given up."""
    began = time.perf_counter()
    try:
        await asyncio.wait_for(ask(port), GIVEN_UP)
        return (time.perf_counter() - began) * 1e3
    except (OSError, asyncio.TimeoutError):
        return GIVEN_UP * 1e3


async def main(port, count, interval):
    probes, began = [], time.perf_counter()
    for n in range(count):
        await asyncio.sleep(max(0.0, began + n * interval - time.perf_counter()))
        probes.append(asyncio.create_task(probe(port)))
    print(json.dumps(await asyncio.gather(*probes)))


try:
    os.nice(-15)  # measures the router, not the wait for a processor
except PermissionError:
    pass
asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
