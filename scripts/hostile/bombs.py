"""Small inputs that cost much: components that compile for long, schemas that never end, aggregated records."""
import base64
import hashlib
import http.client
import json
import os
import struct
import time
import urllib.parse

SCHEMA = b'{"type":"object","properties":{"do":{"type":"string"}}}'  # what the hostile guest has in its file
ROOM = 16 << 10  # bytes for it there


def number(n):
    """LEB128, as WebAssembly and protobuf have it."""
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def sized(data):
    return number(len(data)) + data


def section(kind, data):
    return bytes([kind]) + sized(data)


def compile_bomb(component, local_count, loops, functions=1, nested=False):
    """The component with a further core module that takes long to compile: each local is carried through every loop."""
    loop, end = b"\x03\x40\x41\x00\x0d\x00", b"\x0b"  # loop; i32.const 0; br_if 0
    body = number(1) + number(local_count) + b"\x7e"  # locals of i64
    body += loop * loops + end * loops if nested else (loop + end) * loops
    body += b"".join(b"\x20" + number(local) + b"\x1a" for local in range(local_count)) + end  # local.get; drop
    types, named = section(1, b"\x01\x60\x00\x00"), section(3, number(functions) + b"\x00" * functions)
    module = b"\0asm\x01\0\0\0" + types + named + section(10, number(functions) + sized(body) * functions)
    return component + section(1, module)


def sections(data):
    """Kind and content of each section of a component or module."""
    at = 8
    while at < len(data):
        kind, at, length, shift = data[at], at + 1, 0, 0
        while True:
            byte, at = data[at], at + 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield kind, data[at:at + length]
        at += length


def with_debug(component, units, ranges):
    """The component whose largest module has debug information: each unit has all the ranges, which are there once."""
    custom = lambda name, data: section(0, sized(name) + data)  # noqa: E731
    debug = custom(b".debug_abbrev", bytes([1, 0x11, 0, 0x55, 0x17, 0, 0, 0]))  # a unit with DW_AT_ranges
    debug += custom(b".debug_info", struct.pack("<IHIBBI", 12, 4, 0, 4, 1, 0) * units)
    pairs = b"".join(struct.pack("<II", 2 * n + 1, 2 * n + 2) for n in range(ranges))
    debug += custom(b".debug_ranges", pairs + bytes(8))
    parts = list(sections(component))
    largest = max((part for part in parts if part[0] == 1), key=lambda part: len(part[1]))
    return component[:8] + b"".join(section(kind, data + debug if (kind, data) == largest else data) for kind, data in parts)


def variant(component, tag):
    """The same component under another digest: with a custom section."""
    return component + section(0, sized(b"tag") + tag.encode())


def with_schema(guest, schema):
    """The hostile guest with another config schema."""
    text = json.dumps(schema, separators=(",", ":")).encode()
    at = guest.index(SCHEMA)
    assert len(text) <= ROOM, f"a schema of {len(text)} bytes has no room"
    return guest[:at] + text.ljust(ROOM) + guest[at + ROOM:]


def doubling(keyword, depth, leaf):
    """A schema whose every level refers twice to the next."""
    levels = {f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)}
    return {"$defs": {**levels, f"d{depth}": leaf}, "$ref": "#/$defs/d0"}


def nested(keyword, depth):
    """A schema of about 9 KB whose every level holds the next twice, by name and in place."""
    schema = {"type": "string", "description": "x" * 60}
    for n in range(depth):
        schema = {"$defs": {"again": schema}, keyword: [{"$ref": "#/$defs/again"}, {"$ref": "#/$defs/again"}], "title": f"{n:0150}"}
        schema["$id"] = f"urn:level:{n}"
    return schema


def aggregated(keys, parts):
    """A record of the Kinesis Producer Library: partition keys, and parts as they stand in the message."""
    message = b"".join(b"\x0a" + sized(key) for key in keys) + parts
    return b"\xf3\x89\x9a\xc2" + message + hashlib.md5(message, usedforsecurity=False).digest()


def kinesis(call, body):
    """A call of the Kinesis server; it does not check signatures."""
    at = urllib.parse.urlsplit(os.environ["KINESALITE_URL"])
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
    signed = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0"
    headers = {"X-Amz-Target": f"Kinesis_20131202.{call}", "Content-Type": "application/x-amz-json-1.1", "Authorization": signed,
               "X-Amz-Date": "20260101T000000Z"}
    connection.request("POST", "/", json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        raise RuntimeError(f"kinesis {call}: {answer.status} {text}")
    return json.loads(text) if text else {}


def stream_with(name, records):
    """Makes a stream that holds these records."""
    kinesis("CreateStream", {"StreamName": name, "ShardCount": 1})
    while kinesis("DescribeStreamSummary", {"StreamName": name})["StreamDescriptionSummary"]["StreamStatus"] != "ACTIVE":
        time.sleep(0.05)
    for record in records:
        kinesis("PutRecord", {"StreamName": name, "PartitionKey": "k", "Data": base64.b64encode(record).decode()})
