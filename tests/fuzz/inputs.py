"""
Inputs of the command line: files of prompts, JSON lines and tables, and lists on stdin, in any encoding.
"""

import contextlib
import csv
import functools
import io
import json
import re
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest import mock

import attrs
import typer

from kling_async.cli.batch.input_source import open_input
from kling_async.cli.input_options import Format
from kling_async.cli.options import read_ids, read_prompts
from kling_async.wire.dialects import GATEWAY, OFFICIAL
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.endpoints.registry import broken_rules
from tests.fuzz.odd import MIB, big_text, damaged, encoded, json_bytes, mutated, nested, text, value
from tests.fuzz.running import Case, Kind

__all__ = ["opened"]

FIELDS: Final = ("key", *attrs.fields_dict(ImageRequest))
SUFFIXES: Final = (".jsonl", ".ndjson", ".csv", ".tsv", ".txt", "", ".JSONL", ".json", ".é")
ENDS: Final = ("\n", "\n", "\n", "\r\n", "\r", "\n\n", "\n\r", "\u2028", "\x85", "\x0b", "\x0c", "\x1c", "", "\0")


def _request(rng: Random) -> dict[str, Any]:
    known: dict[str, Any] = {
        "key": rng.choice(("a", "b", 5, text(rng))),
        "prompt": rng.choice(("a lighthouse", text(rng), text(rng, 3000))),
        "n": rng.choice((1, 9, "2", text(rng, 10))),
        "image": rng.choice(("cat.png", "https://x.example/a.png", text(rng, 300))),
        "image_fidelity": rng.choice((0.5, "0.5", text(rng, 10))),
        "aspect_ratio": rng.choice(("16:9", text(rng, 10))),
        "negative_prompt": text(rng),
        rng.choice(FIELDS): text(rng),
    }
    return {name: known[name] for name in known if rng.random() < 0.5}


def _lines(rng: Random) -> str:
    lines = (text(rng, rng.choice((20, 300))) for _ in range(rng.randrange(12)))
    return "".join(line + rng.choice(ENDS) for line in lines)


def _json_lines(rng: Random) -> str:
    lines = []
    for _ in range(rng.randrange(6)):
        tree = rng.choice((_request(rng), mutated(rng, _request(rng), 2), value(rng)))
        with contextlib.suppress(ValueError):
            lines.append(json.dumps(tree, ensure_ascii=rng.random() < 0.5) + rng.choice(ENDS))
    if rng.random() < 0.1:
        lines.append(nested(rng).decode())
    if rng.random() < 0.1:
        lines.insert(0, rng.choice(("[", " ", "\n\n", "\ufeff\ufeff", "{", "// a\n")))
    return "".join(lines)


def _table(rng: Random) -> str:
    buffer = io.StringIO()
    names = rng.sample(FIELDS, rng.randrange(1, 5))
    if rng.random() < 0.8 and "prompt" not in names:
        names.append("prompt")
    delimiter = rng.choice((",", ",", ";", "\t", "|"))
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=rng.choice(("\n", "\r\n", "\r")))
    with contextlib.suppress(csv.Error):
        writer.writerow(names)
        for _ in range(rng.randrange(6)):
            writer.writerow([text(rng, 100) for _ in range(len(names) + rng.choice((0, 0, 0, 0, 1, -1)))])
    written = buffer.getvalue()
    if rng.random() < 0.3:
        at = rng.randrange(len(written) + 1)
        written = written[:at] + rng.choice(('"', '""', "\r", "\0", '"\n', delimiter, "\u2028")) + written[at:]
    return written


def _content(rng: Random) -> bytes:
    written = rng.choice((_lines, _json_lines, _table))(rng)
    data = encoded(rng, written)
    match rng.randrange(12):
        case 0:
            return damaged(rng, data, rng.randrange(1, 4))
        case 1:
            return rng.choice((b"PK\x03\x04", b"\x1f\x8b\x08", b"%PDF-", b"\xff\xfe", b"\xef\xbb\xbf", b"\0")) + data
        case 2:
            return rng.randbytes(rng.randrange(300))
        case 3:
            return json_bytes(rng, [_request(rng)])
        case _:
            return data


def _large(rng: Random) -> bytes:
    long = big_text(rng, 3 * MIB)
    match rng.randrange(6):
        case 0:
            written = long
        case 1:
            written = json.dumps({"prompt": "a", rng.choice(FIELDS): long}, ensure_ascii=rng.random() < 0.5)
        case 2:
            written = f'prompt,image\na,"{long}\nb,c\n'
        case 3:
            written = rng.choice(("prompt,key\n", "")) + "a,b\n" * (len(long) // 4)
        case 4:
            written = "\n".join(['{"prompt": "a"}'] * (len(long) // 16))
        case _:
            written = ("prompt" + rng.choice(",;\t")) * (len(long) // 7)
    return encoded(rng, written)


def _size_of(data: bytes) -> int:
    # Each line may become a request, so that each counts as at least 64 bytes.
    return max(len(data), 64 * len(re.split(b"[\r\n]", data)))


def _how_many_lines(data: bytes) -> int:
    # At most, in any encoding that can be meant.
    texts = (data.decode(encoding, "replace") for encoding in ("latin-1", "utf-16", "utf-16-be", "utf-32"))
    return max(len(re.split("\r\n|\r|\n", written)) for written in texts)


def _file(folder: Path, rng: Random, *, is_large: bool = False) -> Case:
    data = _large(rng) if is_large else _content(rng)
    path = folder / f"input{rng.choice(SUFFIXES)}"
    form = rng.choice((None, None, *Format))

    async def run() -> None:
        path.write_bytes(data)
        with open_input(str(path), form) as source:
            good = 0
            for line in source.lines():
                if line.request is not None and not line.broken:
                    good += 1
                    repr(line.item)
                    for dialect in (GATEWAY, OFFICIAL):
                        list(map(str, broken_rules(dialect, line.request)))
                list(map(str, line.broken))
        if good > _how_many_lines(data):
            raise AssertionError(f"{good} requests of {_how_many_lines(data)} lines")

    return Case(_size_of(data), run, f"{path.suffix} {form} {data[:400]!r}")


def _prompts(rng: Random, *, is_large: bool = False) -> Case:
    data = _large(rng) if is_large else _content(rng)

    async def run() -> None:
        prompts = read_prompts(io.BytesIO(data), "stdin")
        if len(prompts) > _how_many_lines(data):
            raise AssertionError(f"{len(prompts)} prompts of {_how_many_lines(data)} lines: {prompts}")
        for prompt in prompts:
            list(map(str, broken_rules(GATEWAY, ImageRequest(prompt))))

    return Case(_size_of(data), run, repr(data[:500]))


def _ids(rng: Random) -> Case:
    if rng.random() < 0.5:
        lines = [json.dumps(rng.choice(({"task_id": text(rng)}, value(rng)))) for _ in range(rng.randrange(5))]
        data = encoded(rng, "\n".join(lines))
    else:
        data = _content(rng)

    async def run() -> None:
        with io.TextIOWrapper(io.BytesIO(data), "utf-8") as stdin, mock.patch.object(sys, "stdin", stdin):
            with contextlib.redirect_stderr(io.StringIO()):
                ids = read_ids(["-"])
        if not all(ids):
            raise AssertionError("an empty id")

    return Case(_size_of(data), run, repr(data[:500]))


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Sequence[Kind]]:
    """
    The kinds of this part.
    """
    refused = (typer.BadParameter, typer.Exit)
    yield (
        Kind("file", 60, functools.partial(_file, folder), refused),
        Kind("file-large", 2, functools.partial(_file, folder, is_large=True), refused),
        Kind("prompts", 20, _prompts, refused),
        Kind("prompts-large", 1, functools.partial(_prompts, is_large=True), refused),
        Kind("ids", 17, _ids, refused),
    )
