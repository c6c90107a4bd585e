#!/usr/bin/env python3
"""A mail server that keeps each mail once, by its Message-ID: a client that did not get an answer sends it again. As a script it
prints the mails that come to port 1025."""
import asyncio
import email
import email.policy
import os
import threading

from aiosmtpd.smtp import SMTP


class Letters:
    """Mails in the order of their arrival: receivers, subject and text."""

    def __init__(self, arrived=lambda letter: None):
        self.all, self.arrived, self.repeated, self.ids = [], arrived, 0, set()

    async def handle_DATA(self, server, session, envelope):  # the name that aiosmtpd calls
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert envelope.mail_from in mail["From"] and mail["To"] == ", ".join(envelope.rcpt_tos)
        if mail["Message-ID"] in self.ids:
            self.repeated += 1
            return "250 OK"
        self.ids.add(mail["Message-ID"])
        self.all.append((mail["To"], mail["Subject"], mail.get_content().strip()))
        self.arrived(self.all[-1])
        return "250 OK"


async def serve(letters, port, started=lambda port: None):
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(letters), "127.0.0.1", port)
    started(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def start():
    """Starts a server at MAIL_SERVER, which the router reads; gives a function that returns the mails so far."""
    letters, there = Letters(), threading.Event()

    def started(port):
        os.environ["MAIL_SERVER"] = f"smtp://127.0.0.1:{port}"
        there.set()

    threading.Thread(target=lambda: asyncio.run(serve(letters, 0, started)), daemon=True).start()
    assert there.wait(10), "the mail server does not start"
    return lambda: list(letters.all)


if __name__ == "__main__":
    asyncio.run(serve(Letters(print), 1025))
