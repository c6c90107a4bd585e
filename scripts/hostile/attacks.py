"""The attacks: generators over a scene. The part before the first `yield` makes the configuration. Then the router starts, and the next
part attacks it. After the router has stopped, the part after the second `yield` runs; the router starts again, and the part
after the third attacks again. Most attacks end before: their events wait in a file or in the store, and come again by themselves."""
import json
import os

import bombs
from scene import GUESTS, PLUGINS

ATTACKS = {}
GRANT = 'tables = ["target"]'
MIB = 1 << 20


def attack(name, about, servers=False):
    def register(function):
        ATTACKS[name] = function
        function.about, function.servers = about, servers
        return function
    return register


@attack("S1-log", "one log call of 2 MiB of context and a million lines, on four routes at once")
def one_log_call(scene):
    for n in range(4):
        scene.hostile(f"log-{n}", "log-call", context=2 * MIB, lines=1_000_000)
    yield
    scene.feed()


@attack("S1-init", "the same call in init, of a route that a reload brings")
def log_call_in_init(scene):
    calm = scene.text
    scene.hostile("init", "init-log-call", context=2 * MIB, lines=1_000_000)
    attacked, scene.text = scene.text, calm
    yield
    scene.write(attacked)
    yield
    scene.write(calm)
    yield
    scene.write(attacked)


@attack("S1-print", "variants: 32 million lines printed at once; 32 million lines logged without a context; a reason for a skip of 16 MiB")
def print_calls(scene):
    scene.hostile("print", "print-call", lines=32 * MIB)
    scene.hostile("log", "log-call", context=0, lines=32 * MIB)
    scene.hostile("reasons", "skip-reasons", bytes=16 * MIB)
    yield
    scene.feed()


@attack("S1-debug", "variant: plugins that trap, with debug information of 300 KB that means 5 GB, on three routes")
def debug_information(scene):
    scene.file("debug.wasm", bombs.with_debug((GUESTS / "hostile.wasm").read_bytes(), 8_000, 20_000))
    for n in range(3):
        scene.route(f"debug-{n}", "debug.wasm", 'config = { do = "panic" }')
    yield
    scene.feed()


def aggregated(scene, name, record):
    bombs.stream_with(name, [record])
    scene.add(f'[source.{name}]\nkind = "kinesis"\ncoordination = "none"\nregion = "us-east-1"\n'
              f'endpoint_url = "{os.environ["KINESALITE_URL"]}"')
    scene.copy(PLUGINS / "etl.wasm", "etl.wasm")
    scene.expecting.append(name)
    scene.table(f"{name}-events")
    scene.route(name, "etl.wasm", f'tables = ["{name}-events"]\nconfig = {{ table = "{name}-events", key = {{ pk = "{{id}}" }} }}', name)


@attack("S2-520KB", "an aggregated record of 520 KB: 245,000 empty parts, one long key", servers=True)
def aggregate_of_empty_parts(scene):
    aggregated(scene, f"half-{os.getpid()}", bombs.aggregated([b"k" * 30_000], b"\x1a\x00" * 245_000))
    yield


@attack("S2-1MiB", "an aggregated record of 1 MiB: half of it is its key, half are empty parts", servers=True)
def aggregate_of_a_mebibyte(scene):
    aggregated(scene, f"whole-{os.getpid()}", bombs.aggregated([b"k" * 520_000], b"\x1a\x00" * 260_000))
    yield


@attack("S2-short", "variant: a record of 1 MiB whose 500,000 parts have a key of 256 characters", servers=True)
def aggregate_with_a_lawful_key(scene):
    aggregated(scene, f"short-{os.getpid()}", bombs.aggregated([b"k" * 256], b"\x1a\x00" * 500_000))
    yield


@attack("S3-changes", "60,000 changes of one item in one update, and 150,000; with a feed of its changes")
def many_changes(scene):
    scene.table(more="changes = true")
    scene.hostile("changes", "update-changes", GRANT, changes=60_000)
    scene.hostile("more", "update-changes", GRANT, changes=150_000)
    yield
    scene.feed()


@attack("S3-updates", "4,000 updates of one item of 192 KB in one commit, and 20,000 small ones; with a feed of its changes")
def many_updates_of_one_item(scene):
    scene.table(more="changes = true")
    scene.hostile("updates", "updates", GRANT, updates=4_000, bytes=12_000)
    scene.hostile("small", "updates", GRANT, updates=20_000, bytes=100)
    yield
    scene.feed()


@attack("S3-guards", "guards of 100,000 terms; variant: 1,000 guarded deletes of one item with 1,000 terms each")
def long_guards(scene):
    scene.table()
    scene.hostile("wide", "put-attributes", GRANT, attributes=50_000)
    scene.hostile("guard", "guard-terms", GRANT, terms=100_000)
    scene.hostile("deletes", "guarded-deletes", GRANT, deletes=1_000, terms=1_000)
    yield
    scene.feed()


@attack("S3-query", "queries with 100,000 filter terms over 2,000 items")
def long_query(scene):
    scene.fill(2_000, 10)
    for n in range(4):
        scene.hostile(f"query-{n}", "query-terms", GRANT, terms=100_000)
    yield
    scene.feed()


@attack("S3-sets", "variants: a set of 300,000 members; an item of 100,000 attributes; a message of 100,000 attributes")
def wide_values(scene):
    scene.table()
    scene.hostile("set", "set-members", GRANT, members=300_000)
    scene.hostile("put", "put-attributes", GRANT, attributes=100_000)
    scene.hostile("send", "send-attributes", 'outputs = ["out"]', attributes=100_000)
    yield
    scene.feed()


@attack("S3-members", "variant: an item with a set of 40,000 members, and 10,000 updates of a byte in one commit, again and again")
def members(scene):
    scene.table()
    scene.hostile("set", "set-members", GRANT, members=40_000)
    scene.hostile("updates", "updates", GRANT, updates=10_000, bytes=1)
    yield
    scene.feed()


def filtered(scene, pattern):
    """Routes with the same filter, more of them than cores."""
    scene.copy(PLUGINS / "etl.wasm", "etl.wasm")
    scene.table()
    for n in range(1 + (os.cpu_count() or 1)):
        scene.route(f"filtered-{n}", "etl.wasm",
                    f'filter = {pattern}\n{GRANT}\nconfig = {{ table = "target", key = {{ pk = "{{id}}" }} }}')


@attack("S4-nested", "ten alternatives of a filter against events of 4 MB of nested arrays")
def nested_arrays(scene):
    alternatives = (f'{{ data = {{ a = {{ b{n} = {{ c{n} = ["x"] }} }}, d{n} = ["y"] }} }}' for n in range(10))
    filtered(scene, f'[{", ".join(alternatives)}]')
    yield
    depth = 100
    scene.feed('{"a":[' + ",".join(["[" * depth + "]" * depth] * (4 * MIB // (2 * depth + 1))) + "]}", every=0.5)


@attack("S4-numbers", "a filter against events of 10 MB of numbers")
def many_numbers(scene):
    filtered(scene, '{ data = { a = [1, { numeric = [">", 5, "<=", 10] }], b = ["x"] } }')
    yield
    scene.feed('{"a":[' + ",".join(["1"] * (5 * MIB)) + "]}", every=0.5)


@attack("S4-names", "variants: 4 MB of one name again and again; a text of 4 MB of escapes")
def many_names(scene):
    filtered(scene, '[{ data = { a = { a = { a = ["x"] } } } }, { data = { b = [{ suffix = "y" }, { wildcard = "*a*a*a*b" }] } }]')
    yield
    scene.feed('{"b":"' + "\\u0061" * (2 * MIB // 3) + '",' + '"a":{"a":{"a":1}},' * (MIB // 8) + '"c":1}', every=0.5)


def plugins_that_change(scene, good, bad):
    """Routes that start with a good plugin, whose file is then replaced."""
    for n in range(len(bad)):
        scene.file(f"plugin-{n}.wasm", good)
        scene.route(f"plugin-{n}", f"plugin-{n}.wasm", 'config = { do = "", x = { x = { x = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!" } } }')

    def put(files):
        for n, data in enumerate(files):
            scene.file(f"plugin-{n}.wasm", data)
    yield
    put(bad)
    yield
    put([good] * len(bad))
    yield
    put(bad)


def schemas(scene, *each):
    guest = (GUESTS / "hostile.wasm").read_bytes()
    return plugins_that_change(scene, guest, [bombs.with_schema(guest, schema) for schema in each])


@attack("S5-oneOf", "a plugin whose config schema is 9 KB of nested oneOf")
def nested_one_of(scene):
    yield from schemas(scene, bombs.nested("oneOf", 28))


@attack("S5-memory", "config schemas whose errors double with every reference: 3 GB")
def errors_that_double(scene):
    yield from schemas(scene, bombs.doubling("allOf", 22, {"type": "string"}), bombs.doubling("anyOf", 24, {"type": "string"}))


@attack("S5-refs", "variants: references that double without an error; a pattern that backtracks; errors in every place")
def schemas_that_never_end(scene):
    backtracks = {"properties": {"x": {"properties": {"x": {"properties": {"x": {"pattern": "^(?=a)(a+)+$"}}}}}}}
    yield from schemas(scene, bombs.doubling("allOf", 34, {"type": "object"}), backtracks, bombs.doubling("oneOf", 24, {"type": "string"}))


def bombs_beside(scene, bad):
    """A good plugin that is dropped beside them loads within 3 seconds of its own compile time."""
    good = (PLUGINS / "etl.wasm").read_bytes()
    scene.file("good.wasm", good)
    scene.table()
    scene.route("good", "good.wasm", f'{GRANT}\nconfig = {{ table = "target", key = {{ pk = "{{id}}" }} }}')
    attacking = plugins_that_change(scene, (GUESTS / "hostile.wasm").read_bytes(), bad)
    next(attacking)
    alone = None

    def measure():
        nonlocal alone
        alone = scene.loading("good", "good.wasm", bombs.variant(good, "alone"))
    scene.before = measure
    yield
    next(attacking)

    def beside():
        taken = scene.loading("good", "good.wasm", bombs.variant(good, "beside"))
        told = "never" if taken is None else f"{taken:.1f} s"
        scene.notes.append(f"a good plugin beside it: {told}, alone {alone or 0:.1f} s")
        if alone is None or taken is None or taken > alone + 3:
            scene.failures.append("good plugin")
    scene.meanwhile(beside)
    yield
    next(attacking)
    yield
    for _ in attacking:
        pass


def compile_bombs(*sizes):
    guest = (GUESTS / "hostile.wasm").read_bytes()
    return [bombs.variant(bombs.compile_bomb(guest, *size), str(n)) for n, size in enumerate(sizes)]


@attack("S6-loops", "plugins that compile for long: locals times loops in 27 to 131 KB, more of them than cores")
def locals_times_loops(scene):
    cores = os.cpu_count() or 1
    sizes = [(3_000, 3_000), (8_000, 4_000), (12_000, 12_000)] + [(4_000, 4_000)] * (cores - 1)
    yield from bombs_beside(scene, compile_bombs(*sizes))


@attack("S6-nested", "variants: loops in loops; 200 functions that are each a little bomb")
def nested_loops(scene):
    yield from bombs_beside(scene, compile_bombs((6_000, 6_000, 1, True), (900, 900, 200), (500, 1_200, 200, True)))


@attack("S7-scans", "490 connections that ask for a scan of a table of 60 MB and read nothing")
def scans_that_nobody_reads(scene):
    scene.fill(60_000, 1_000)
    request = b"GET /api/v1/tables/target/scan HTTP/1.1\r\nhost: localhost\r\n\r\n"
    yield
    scene.flood(490, request)
    yield
    yield
    scene.flood(490, request)


@attack("S7-answers", "variant: 490 connections that ask for status and metrics a thousand times each and read nothing")
def answers_that_nobody_reads(scene):
    request = b"".join(b"GET %s HTTP/1.1\r\nhost: localhost\r\n\r\n" % path for path in (b"/metrics", b"/api/v1/status")) * 500
    yield
    scene.upload(490, request)
    yield
    yield
    scene.upload(490, request)


@attack("S8-idle", "1,100 connections that send nothing (S14)")
def idle_connections(scene):
    yield
    scene.flood(1_100, b"")
    yield
    yield
    scene.flood(1_100, b"")


@attack("S8-dribble", "1,100 connections that send a header byte by byte (S14)")
def dribbling_connections(scene):
    yield
    scene.flood(1_100, b"GET /livez HTTP/1.1\r\nx: ", rest=b"y" * 10_000, every=0.5)
    yield
    yield
    scene.flood(1_100, b"GET /livez HTTP/1.1\r\nx: ", rest=b"y" * 10_000, every=0.5)


@attack("S8-bodies", "200 bodies of 10 MiB at once, which lack their last byte (S13)")
def many_bodies(scene):
    scene.add('[source.hook]\nkind = "http"')
    scene.copy(PLUGINS / "etl.wasm", "etl.wasm")
    scene.table()
    scene.route("hook", "etl.wasm", f'{GRANT}\nconfig = {{ table = "target", key = {{ pk = "{{id}}" }} }}', "hook")
    size = 10 * MIB
    request = b"POST /ingest/hook HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % size + b"x" * (size - 1)
    yield
    scene.upload(200, request)
    yield
    yield
    scene.upload(200, request)


@attack("S8-redrive", "a redrive of a million dead letters, by eight clients again and again (S15)")
def redrive_of_a_million(scene):
    body = json.dumps({"ids": list(range(1_000_000))})
    yield
    scene.asks(8, "POST", "/api/v1/dlq/redrive", body)
    yield
    yield
    scene.asks(8, "POST", "/api/v1/dlq/redrive", body)


@attack("S8-invoke", "variants: invocations with 500,000 events each, and drops of a million dead letters")
def invocations(scene):
    body = json.dumps({"events": [{"data": "{}"}] * 500_000})
    yield
    scene.asks(6, "POST", "/api/v1/routes/witness/invoke", body)
    scene.asks(2, "POST", "/api/v1/dlq/drop", json.dumps({"ids": list(range(1_000_000))}))
    yield
    yield
    scene.asks(6, "POST", "/api/v1/routes/witness/invoke", body)
