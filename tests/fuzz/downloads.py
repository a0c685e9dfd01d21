"""
Downloads: bodies, headers, statuses, cut files, redirects, URLs of every odd form, and names of files.
"""

import contextlib
import functools
import ipaddress
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random
from typing import Final

import attrs

from kling_async import OFFICIAL, KlingClient, RetryPolicy
from kling_async.media.naming import NameTemplate
from kling_async.media.network import AllowedHosts
from kling_async.policy.host_networks import Network, network_of
from kling_async.wire.endpoints.base import stands_in_path
from kling_async.wire.tasks import Image, TaskResult, TaskSnapshot, TaskStatus
from tests.fuzz.odd import HOSTS, MIB, big_text, damaged, text, url
from tests.fuzz.raw import Ending, RawServer, Reply, well_formed, written
from tests.fuzz.references import pictures
from tests.fuzz.running import Case, Kind

__all__ = ["opened"]

STATUSES: Final = (
    200,
    200,
    200,
    200,
    200,
    203,
    206,
    204,
    301,
    302,
    303,
    307,
    308,
    304,
    403,
    404,
    410,
    412,
    416,
    429,
    500,
    503,
)
STARTS: Final = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF89a",
    b"RIFF\xff\xff\xff\x7fWEBP",
    b"BM",
    b"\0\0\0\x20ftypmp42",
)
PRIVATE: Final = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "0.0.0.0/8")
PATHS_MAX: Final = 250  # bytes of a file's name


def _body(rng: Random) -> bytes:
    picture = rng.choice(pictures())
    match rng.randrange(10):
        case 0 | 1 | 2:
            return picture
        case 3:
            return picture[: rng.randrange(len(picture) + 1)]
        case 4:
            return damaged(rng, picture, rng.randrange(1, 4))
        case 5:
            return rng.choice((b"", b"<html>", b'{"code": 1200}', picture + b"\0" * 3000, picture * 2))
        case 6:
            part = rng.choice(
                (b"\0", b"\0\0\0\0IDAT\0\0\0\0", b"\xff", b"\xff\xd8", b"\xff\xe1\0\2", b"\x2c" + b"\0" * 10, b"\1")
            )
            return rng.choice(STARTS) + part * rng.choice((10, 1000, 20_000))
        case 7 if rng.random() < 0.1:
            return rng.choice(STARTS) + rng.choice((b"\0", b"\xff\0", b"\xff\xd0", b"\1a")) * rng.randrange(MIB)
        case _:
            return rng.choice(STARTS) + rng.randbytes(rng.randrange(300))


def _replies(server: RawServer, rng: Random) -> list[Reply]:
    replies = []
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        status = rng.choice(STATUSES)
        headers = [("Content-Type", rng.choice(("image/png", "text/html", "", text(rng, 30))))]
        if 300 <= status < 400:
            headers.append(("Location", rng.choice((server.url + "/b", "/b", "b", url(rng), text(rng, 300)))))
        if rng.random() < 0.2:
            ranges = ["bytes 0-99/100", "bytes 5-9/10", "bytes */5", "bytes 0-" + "9" * 30 + "/*", text(rng, 30)]
            ranges += (f"bytes {start}-999/{size}" for start in (1, 100, 500) for size in ("1000", "*"))
            headers.append(("Content-Range", rng.choice(ranges)))
        if rng.random() < 0.3:
            headers.append(("ETag", rng.choice(('"v1"', '"v1"', '"v2"', 'W/"v1"', "v1", text(rng, 30)))))
        if rng.random() < 0.1:
            headers.append(("Retry-After", rng.choice(("1", "3.2", "-1", "9" * 30, "nan", text(rng, 30)))))
        plain = [(name, said) for name, said in headers if rng.random() < 0.1 or said.isprintable()]
        replies.append(written(rng, status, plain, _body(rng)))
    return replies


def _result(urls: Sequence[str], task_id: str = "t-1") -> TaskResult:
    images = tuple(Image(index, each) for index, each in enumerate(urls))
    return TaskResult(task_id, images, TaskSnapshot(task_id=task_id, task_status=TaskStatus.SUCCEEDED))


async def _save(server: RawServer, replies: Sequence[Reply], result: TaskResult, folder: Path, name: str) -> None:
    server.say(replies)
    shutil.rmtree(folder, ignore_errors=True)
    async with KlingClient("sk-fuzz", base_url=server.url, dialect=OFFICIAL, retry=RetryPolicy()) as client:
        try:
            paths = await client.save(result, folder / "out", name=name)
            if len(paths) != len(result.images):
                raise AssertionError(f"{len(result.images)} pictures are in {len(paths)} files")
        finally:
            _check_files(folder)


def _check_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        if folder / "out" not in path.parents or path.is_symlink():
            raise AssertionError(f"{path.relative_to(folder)} is outside the folder")
        if path.name.startswith("."):
            raise AssertionError(f"{path.name} is left, which nobody asked for")
        if not path.read_bytes()[:12].startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")):
            raise AssertionError(f"{path.name} is no picture")


async def _read(server: RawServer, replies: Sequence[Reply], address: str) -> None:
    server.say(replies)
    async with KlingClient("sk-fuzz", base_url=server.url, dialect=OFFICIAL) as client:
        await client.read(Image(0, address))


def _saving(server: RawServer, folder: Path, rng: Random) -> Case:
    replies = _replies(server, rng)
    urls = [f"{server.url}/{index}.png?Signature=c2VjcmV0" for index in range(rng.choice((1, 1, 2, 3)))]
    task_id = text(rng, 300)
    result = _result(urls, task_id if stands_in_path(task_id) else "t-1")  # no other is read of an answer
    name = rng.choice(("{task_id}-{index}{ext}",) * 4 + ("{index}", "{task_id}/{index}{ext}", text(rng, 100)))
    run = functools.partial(_save, server, replies, result, folder, name)
    size = sum(len(reply.data) for reply in replies)
    return Case(size, run, f"{name!r} {[reply.data[:300] for reply in replies]}", server.taken)


def _reading(server: RawServer, rng: Random) -> Case:
    replies = _replies(server, rng)
    run = functools.partial(_read, server, replies, f"{server.url}/0.png")
    size = sum(len(reply.data) for reply in replies)
    return Case(size, run, f"{[reply.data[:400] for reply in replies]}", server.taken)


def _large(server: RawServer, rng: Random) -> Case:
    # A picture of some MiB, whole or not, in which nothing compresses.
    size = rng.randrange(MIB, 8 * MIB)
    chunk = size.to_bytes(4, "big") + b"IDAT" + rng.randbytes(size) + bytes(4)
    end = rng.choice((b"\0\0\0\0IEND\xaeB`\x82", b""))
    data = well_formed(200, [("Content-Type", "image/png")], pictures()[0][:33] + chunk + end)
    run = functools.partial(_read, server, [Reply(data, Ending.CLOSE)], f"{server.url}/0.png")
    return Case(len(data), run, f"{size} bytes, {len(end)} at the end")


def _by_odd_url(server: RawServer, rng: Random) -> Case:
    match rng.randrange(10):
        case 0:
            address = big_text(rng, MIB)
        case 1 | 2 | 3:
            address = server.url + rng.choice(("", "/", "?", "#", "/%")) + text(rng, 500)
        case 4:
            address = rng.choice(("data:", "data:image/png;base64,", "data:image/png,", "data:;base64,")) + text(
                rng, 500
            )
        case 5:
            address = text(rng, 500)
        case _:
            address = url(rng)
    picture = Reply(well_formed(200, [], pictures()[0]), Ending.CLOSE)
    return Case(len(address), functools.partial(_read, server, [picture], address), repr(address[:500]))


def _naming(rng: Random) -> Case:
    template = rng.choice(
        ("{task_id}-{index}{ext}", "{key}/{index}{ext}", "{index}", "{index:0999999999}", text(rng, 300))
    )
    if rng.random() < 0.02:
        template = big_text(rng, 200_000)
    task_id, key = _name(rng), _name(rng) if rng.random() < 0.7 else None
    names = NameTemplate(template, task_id, key)
    again = attrs.evolve(names, task_id=task_id + "x")

    async def run() -> None:
        names.check(range(3))
        path = names.path(0, ".png")
        if path != Path(*names.parts(0, ".png")) or ".." in path.parts:
            raise AssertionError(f"{path} is outside the folder")
        for part in path.parts:
            if len(part.encode()) > PATHS_MAX or part != part.rstrip(". ") or set(part) & set('<>:"/\\|?*\0\n'):
                raise AssertionError(f"{part!r:.300} is no name of a file on every system")
        if "{task_id}" in template and again.path(0, ".png") == path:
            raise AssertionError("two tasks have one file")

    size = 6 * (len(template) + len(task_id) + len(key or ""))  # six names are made of all this
    return Case(size, run, f"{template[:200]!r} {task_id[:200]!r} {key and key[:200]!r}")


def _name(rng: Random) -> str:
    return big_text(rng, 300_000) if rng.random() < 0.02 else text(rng, rng.choice((20, 300))) or "a"


def _addressing(rng: Random) -> Case:
    # An address of a private network, however it is spelt, is never taken for a public one.
    network = ipaddress.IPv4Network(rng.choice(PRIVATE))
    number = int(network.network_address) + rng.randrange(network.num_addresses)
    first, *rest = number.to_bytes(4, "big")
    plain = str(ipaddress.IPv4Address(number))
    host = rng.choice(
        (
            plain,
            plain + ".",
            str(number),
            hex(number),
            oct(number).replace("0o", "0"),
            f"{first}.{int.from_bytes(rest, 'big')}",
            f"0x{first:x}.{rest[0]}.{rest[1]:o}.{rest[2]}",
            f"0{first:o}.{rest[0]}.{rest[1]}.{rest[2]}",
            f"::ffff:{plain}",
            str(ipaddress.IPv6Address(0xFFFF_0000_0000 + number)),
            f"64:ff9b::{plain}",
            str(ipaddress.IPv6Address((0x2002 << 112) + (number << 80) + rng.randrange(2**80))),
            f"::{plain}",
            text(rng, 300),
            rng.choice(HOSTS),
        )
    )

    async def run() -> None:
        if network_of(host.strip("[]")) is Network.PUBLIC:
            raise AssertionError(f"{host!r} is taken for a public address")
        AllowedHosts().blocked(host)

    return Case(len(host), run, repr(host))


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Sequence[Kind]]:
    """
    The kinds of this part, with a server that pictures come from.
    """
    async with RawServer.listening() as server:
        yield (
            Kind("save", 35, functools.partial(_saving, server, folder), (ValueError,)),
            Kind("read", 20, functools.partial(_reading, server)),
            Kind("read-large", 1, functools.partial(_large, server)),
            Kind("odd-url", 25, functools.partial(_by_odd_url, server)),
            Kind("name", 20, _naming, (ValueError,)),
            Kind("address", 5, _addressing),
        )
