"""
Random input: numbers, texts, JSON and bytes of every odd form, and mutations of what was recorded.

Everything comes from a `random.Random`, so that equal seeds give equal input.
"""

import copy
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, TypeAlias

__all__ = [
    "HOSTS",
    "MIB",
    "big_text",
    "damaged",
    "encoded",
    "json_bytes",
    "mutated",
    "nested",
    "number",
    "text",
    "url",
    "value",
    "wrapped",
]

MIB: Final = 1024 * 1024

Json: TypeAlias = Any

WORDS: Final = (
    "a",
    "task_id",
    "succeed",
    "failed",
    "a lighthouse at dusk",
    "sk-0123456789abcdef",
    "Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
    "not found",
    "already exists",
    "None",
    "null",
    "true",
    "../../etc",
    "CON",
    "NaN",
    "1e999",
    "٣٤",  # digits, but not of ASCII
    "²",
    "éé",
    "e\u0301",
    "\u2028",
    "\x85",
    "\x0b\x0c",
    "\ufeff",
    "\x1b[31m",
    "\r\nSet-Cookie: a=b",
    "\0",
    "\ud800",
    "\udfff",
    "\U0001f5fc",
    "\u202e",
    "'",
    '"',
    "\\",
    "%00%2e%2e%2f",
    "{0.__class__}",
    "{index}",
    "<script>",
    "=1+1",
    ",",
    ";",
    "\t",
)

STUTTERS: Final = (
    " ",
    "a",
    "A/",
    "?",
    "?a=",
    "&a=",
    "://",
    "a://",
    "http://a?b=",
    "Bearer ",
    "eyJ",
    "eyJ.",
    "sk-",
    ".",
    "-",
    "=",
    "(",
    ">",
    '"',
    "\\",
    "\\u",
    "{",
    "[",
    "[],",
    "{}",
    "\r",
    "\n",
    "\t",
    "\0",
    "%",
    "%25",
    "\U0001f5fc",
    "é",
    "\u0301",
    "/",
    "../",
    "https://x.example/",
    "data:image/png;base64,",
    ",",
    "0",
)
"""
What is repeated to find time that grows faster than the input.
"""

FIELDS: Final = (
    "task_id",
    "id",
    "task_status",
    "status",
    "task_status_msg",
    "task_result",
    "task_info",
    "external_task_id",
    "created_at",
    "updated_at",
    "images",
    "index",
    "url",
    "watermark_url",
    "data",
    "result",
    "output",
    "outputs",
    "error",
    "message",
    "msg",
    "code",
    "request_id",
    "billing",
    "charge_type",
    "amount",
    "currency",
    "final_unit_deduction",
    "final_balance_deduction",
    "success",
    "object",
    "created",
    "b64_json",
    "image_urls",
    "fail_reason",
    "detail",
    "path",
)

NUMBERS: Final[tuple[int | float, ...]] = (
    0,
    -1,
    1,
    9,
    200,
    404,
    1000,
    1201,
    1303,
    5000,
    2**31,
    2**63,
    2**64,
    10**30,
    10**400,
    -(10**30),
    1_780_000_000,
    1_780_000_000_000,
    0.5,
    -0.0,
    1e-300,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
)

HOSTS: Final = (
    "127.0.0.1",
    "localhost",
    "[::1]",
    "0.0.0.0",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.168.1.1",
    "198.18.0.1",
    "192.0.2.1",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[fe80::1%25eth0]",
    "[2001:db8::1]",
    "x.example",
    "x.example.",
    "bücher.example",
    "xn--bcher-kva.example",
    "xn--",
    "a..b",
    "-a.example",
    "\uff11\uff12\uff17.0.0.1",
    "a" * 64 + ".example",
    ".".join(["a" * 60] * 6),
    "",
    " ",
    "[",
    "[::1",
    "]",
    "user:secret@x.example",
    "a@b@127.0.0.1",
    "*",
)


def number(rng: Random) -> int | float | bool:
    """
    Return a number of any size, or a truth value.
    """
    match rng.randrange(4):
        case 0:
            return rng.choice([True, False])
        case 1:
            return rng.randrange(-(10 ** rng.randrange(1, 25)), 10 ** rng.randrange(1, 25))
        case _:
            return rng.choice(NUMBERS)


def text(rng: Random, most: int = 200) -> str:
    """
    Return text of at most *most* characters: words, stutters, any characters, halves of surrogate pairs.
    """
    match rng.randrange(8):
        case 0:
            return ""
        case 1 | 2:
            return rng.choice(WORDS)[:most]
        case 3:
            return str(number(rng) if rng.random() < 0.5 else rng.randrange(10))[:most]
        case 4:
            return (rng.choice(STUTTERS) * most)[: rng.randrange(most + 1)] + rng.choice(WORDS)[:1]
        case 5:
            return url(rng)[:most]
        case 6:
            return "".join(map(chr, rng.choices(range(0x20, 0x7F), k=rng.randrange(min(most, 40) + 1))))
        case _:
            return "".join(_character(rng) for _ in range(rng.randrange(min(most, 40) + 1)))


def _character(rng: Random) -> str:
    return chr(rng.choice((rng.randrange(0x20), rng.randrange(0x100), rng.randrange(0x3000), rng.randrange(0x110000))))


def big_text(rng: Random, most: int) -> str:
    """
    Return text of 64 KiB to *most* characters, of one or two things that are repeated.
    """
    length = min(most, int(65536 * 2 ** rng.uniform(0, 6)))
    parts = [rng.choice(STUTTERS) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))]
    match rng.randrange(3):
        case 0:
            return ("".join(parts) * length)[:length]
        case 1:
            share = length // len(parts)
            return "".join((part * share)[:share] for part in parts)
        case _:
            return (parts[0] * length)[: length - 1] + rng.choice(("", "x", "é", "\n", '"', "?", "\0"))


def url(rng: Random) -> str:
    """
    Return something like a URL, mostly odd.
    """
    scheme = rng.choice(
        ("http://", "https://", "HTTP://", "http:/", "http:", "//", "/", "", "ftp://", "data:", "file:///")
    )
    port = rng.choice(("", "", "", ":", ":0", ":80", ":65536", ":-1", ":x", ":٣", ":" + "9" * 30))
    path = rng.choice(
        ("", "/", "/0.png", "/a b", "/%", "/%zz", "/../..", "/é", "/\0", "/\n", "//", "/\\", "/" + "a" * 300)
    )
    query = rng.choice(("", "", "?", "?Signature=c2VjcmV0&Expires=1", "?a=%", "#f", "?" + "&" * 50))
    return scheme + rng.choice(HOSTS) + port + path + query


_Leaf: TypeAlias = Callable[[Random], Json]


def value(rng: Random, depth: int = 3) -> Json:
    """
    Return any JSON value, at most *depth* levels deep.
    """
    leaves: Sequence[_Leaf] = (lambda _: None, number, text, text, url)
    if depth == 0 or rng.random() < 0.5:
        return rng.choice(leaves)(rng)
    many = range(rng.randrange(5))
    if rng.random() < 0.4:
        return [value(rng, depth - 1) for _ in many]
    return {_name(rng): value(rng, depth - 1) for _ in many}


def _name(rng: Random) -> str:
    return rng.choice(FIELDS) if rng.random() < 0.9 else text(rng, 20)


def mutated(rng: Random, tree: Json, times: int) -> Json:
    """
    Return a copy of *tree*, changed in at most so many places: other values, other names, gone, wrapped, swapped.
    """
    tree = copy.deepcopy(tree)
    for _ in range(times):
        places = list(_places(tree))
        if not places:
            return value(rng)
        holder, name = rng.choice(places)
        holder[name] = _changed(rng, holder[name], [above[key] for above, key in places])
        if isinstance(holder, dict) and rng.random() < 0.2:
            holder[_name(rng)] = holder.pop(name) if rng.random() < 0.5 else value(rng, 1)
        elif rng.random() < 0.1:
            del holder[name]
    return tree


def _places(tree: Json) -> "list[tuple[Any, Any]]":
    # Each place where a value stands: its holder, and its name or number there. Bounded, as mutations may grow a tree.
    found: list[tuple[Any, Any]] = []
    holders = [tree]
    while holders and len(found) < 2000:
        holder = holders.pop()
        names = holder.keys() if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for name in names:
            found.append((holder, name))
            holders.append(holder[name])
    return found


def _changed(rng: Random, old: Json, others: Sequence[Json]) -> Json:
    match rng.randrange(8):
        case 0 | 1:
            return value(rng, 2)
        case 2:
            return number(rng)
        case 3:
            return text(rng, 2000)
        case 4:
            return wrapped(rng, old)
        case 5:
            return copy.deepcopy(rng.choice(others)) if len(others) < 500 else None
        case 6:
            return str(old) if rng.random() < 0.5 else None
        case _:
            return [old] * rng.randrange(4)


def wrapped(rng: Random, inner: Json) -> Json:
    """
    Return *inner* within something else: a list, an object, JSON in text, several times.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 5, 30))):
        match rng.randrange(4):
            case 0:
                inner = [inner]
            case 1 if len(str(inner)) < 2000:  # each level of quotation doubles the backslashes
                inner = json.dumps(inner)
            case 2 if len(str(inner)) < 2000:
                inner = {"message": f"said: {json.dumps(inner)} (request id: 1)"}
            case _:
                inner = {rng.choice(FIELDS): inner}
    return inner


def json_bytes(rng: Random, tree: Json) -> bytes:
    """
    Write *tree* as JSON, in one of the ways in which that is done, well or badly.
    """
    try:
        written = json.dumps(tree, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, None, 1)))
    except ValueError:  # a number of more digits than Python writes
        written = "1" * 5000
    if rng.random() < 0.05:  # the same name twice
        written = written.replace("{", '{"task_id": "twice", "code": 0, ', 1)
    return encoded(rng, written)


def encoded(rng: Random, written: str) -> bytes:
    """
    Encode text, mostly in UTF-8.
    """
    encoding = rng.choice(("utf-8",) * 12 + ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"))
    errors = "replace" if encoding in ("latin-1", "cp1252") else "surrogatepass"
    return written.encode(encoding, errors)


def nested(rng: Random) -> bytes:
    """
    Return JSON of many levels, or of very many small parts.
    """
    depth = rng.choice((10, 100, 900, 1100, 10_000, 100_000))
    start, end = rng.choice((("[", "]"), ('{"data":', "}"), ('{"error":', "}"), ("[[],", "]")))
    middle = rng.choice(("", "1", "{}", '"x"'))
    return (start * depth + middle + end * rng.choice((depth, depth, depth - 1, 0))).encode()


def damaged(rng: Random, data: bytes, times: int) -> bytes:
    """
    Return *data* with so many damages: flipped bits, gaps, insertions, repeats, NULs, and a cut.
    """
    damage = bytearray(data)
    for _ in range(times):
        at = rng.randrange(len(damage) + 1)
        upto = min(len(damage), at + rng.choice((1, 2, 8, 100)))
        match rng.randrange(7):
            case 0 | 1 if at < len(damage):
                damage[at] ^= 1 << rng.randrange(8)
            case 2:
                del damage[at:upto]
            case 3:
                damage[at:at] = rng.randbytes(rng.choice((1, 2, 4, 20)))
            case 4:
                damage[at:at] = damage[at:upto] * rng.choice((1, 3, 20))
            case 5:
                damage[at:upto] = bytes(upto - at)
            case _:
                del damage[at:]
    return bytes(damage)
