#!/usr/bin/env python3
"""The sale opens at ten: quiet, then a burst of orders, then quiet. A loop starts and stops processes by their backlog metric, and nginx
spreads the requests over those that run. No request fails, and every order that was taken is in the table once."""
import asyncio
import contextlib
import json
import math
import os
import pathlib
import random
import re
import socket
import subprocess
import time
import urllib.request

from router import DATA, Router, scan, until

NGINX = os.environ.pop("NGINX_BINARY")  # nginx itself reads a variable NGINX
MOST, LATE, EARLY = 3, 3.0, 0.3  # processes; seconds of work per process above which one is added, and below which one is removed
ENOUGH = 4 * LATE * MOST  # seconds of work that keep all processes busy until the last one runs, on a machine that starts them slowly, too
CLIENTS = 16
PATIENCE = 90  # seconds within which work gets less, or another number of processes runs


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Nginx:
    """nginx before the processes: a master process that reads its configuration again when they change."""

    def __init__(self):
        self.home, self.port = DATA / "nginx", free_port()
        (self.home / "logs").mkdir(parents=True)
        self.process = None

    def spread_over(self, ports):
        servers = "".join(f"server 127.0.0.1:{port};" for port in ports)
        (self.home / "nginx.conf").write_text(f"""
            pid {self.home}/pid; error_log {self.home}/logs/error.log; daemon off; worker_processes 1;
            events {{ worker_connections 512; }}
            http {{
              access_log off; client_body_temp_path {self.home}/body; proxy_temp_path {self.home}/proxy;
              fastcgi_temp_path {self.home}/f; uwsgi_temp_path {self.home}/u; scgi_temp_path {self.home}/s;
              upstream api {{ {servers} keepalive 16; }}
              server {{ listen 127.0.0.1:{self.port}; keepalive_requests 1000000;
                location / {{ proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
            }}""")
        if self.process is None:
            self.process = subprocess.Popen([NGINX, "-p", self.home, "-c", "nginx.conf"])
        else:
            self.process.send_signal(1)  # SIGHUP: new workers take new connections, old ones finish theirs

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Fleet:
    """The processes that run, and the metric by which they are started and stopped."""

    def __init__(self, nginx):
        self.nginx, self.running, self.sizes, self.made = nginx, [], [], 0
        self.add()

    def add(self):
        self.made += 1
        router = Router(DATA / f"process-{self.made}")
        until("it is ready", lambda: self.ready(router), router.alive)
        self.running.append(router)
        self.change()

    @staticmethod
    def ready(router):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{router.admin}/readyz") as answer:
            return answer.status == 200
        return False

    def remove(self):
        """The balancer first, then the process: it answers what it has, and says `Connection: close`."""
        router = self.running.pop()
        self.change()
        router.stop()

    def change(self):
        self.nginx.spread_over([router.port for router in self.running])
        self.sizes.append(len(self.running))

    def work(self):
        """Seconds that the first process alone would take for the orders in the queue."""
        with urllib.request.urlopen(f"http://{self.running[0].admin}/metrics") as answer:
            found = re.search(r'esclusa_backlog_work_seconds{route="pedidos"} (\S+)', answer.read().decode())
        return float(found[1]) if found else 0.0  # it has carried out none yet

    def scale(self):
        """Starts or stops a process if it is time. Gives the work that waited."""
        waits = self.work()
        work = waits / len(self.running)
        if work > LATE and len(self.running) < MOST:
            self.add()
        elif work < EARLY and len(self.running) > 1:
            self.remove()
        return waits


class Customers:
    """Clients that order as fast as they are answered while the sale is on, and now and then before and after."""

    def __init__(self, port):
        self.port, self.taken, self.failed, self.busy, self.over = port, [], [], False, False

    async def order(self):
        body = json.dumps({"evento": "Queen Live", "cantidad": random.randint(1, 4)})
        request = (f"POST /produccion/ventas HTTP/1.1\r\nhost: boletia\r\ncontent-length: {len(body)}\r\n"
                   f"content-type: application/json\r\nconnection: close\r\n\r\n{body}")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(request.encode())
            head, _, text = (await reader.read()).decode().partition("\r\n\r\n")
            writer.close()
            if " 202 " in head.partition("\r\n")[0]:
                self.taken.append(json.loads(text)["id"])
            else:
                self.failed.append(head)
        except OSError as error:
            self.failed.append(repr(error))

    async def run(self):
        async def client():
            while not self.over:
                await self.order()
                if not self.busy:
                    await asyncio.sleep(0.5)
        await asyncio.gather(*(client() for _ in range(CLIENTS)))


async def main():
    nginx = Nginx()
    fleet = await asyncio.to_thread(Fleet, nginx)
    customers = Customers(nginx.port)
    await asyncio.sleep(0.5)
    crowd = asyncio.create_task(customers.run())

    async def keep_scaling(until):
        """Scales until a condition holds. How long that takes depends on the machine, but something has to come of it."""
        course, least, size, end = [], math.inf, 0, math.inf
        while not until():
            waits = await asyncio.to_thread(fleet.scale)
            course.append((len(fleet.running), round(waits, 1)))
            if waits < least or len(fleet.running) != size:
                least, size, end = waits, len(fleet.running), time.monotonic() + PATIENCE
            assert time.monotonic() < end, f"nothing came of it in {PATIENCE} s; processes and seconds of work: {course}"
            await asyncio.sleep(1)

    async def rush():
        """Ten o'clock. Customers leave when they see how long the queue is, or a slow machine would have orders for hours."""
        while len(fleet.running) < MOST:
            customers.busy = await asyncio.to_thread(fleet.work) < ENOUGH
            await asyncio.sleep(0.2)
        customers.busy = False

    quiet_until = time.monotonic() + 6
    await keep_scaling(lambda: time.monotonic() > quiet_until)
    await asyncio.gather(rush(), keep_scaling(lambda: len(fleet.running) == MOST))
    await keep_scaling(lambda: len(fleet.running) == 1)
    customers.over = True
    await crowd
    fleet.running[0].stop()
    nginx.stop()
    sold = [item["id"] for item in scan("pedidos")]
    assert not customers.failed, f"{len(customers.failed)} requests failed: {customers.failed[:3]}"
    assert sorted(sold) == sorted(customers.taken), f"{len(sold)} orders in the table, {len(customers.taken)} taken"
    print(f"{len(customers.taken)} orders taken, each in the table once; none failed; processes: {fleet.sizes}")


asyncio.run(main())
