"""
Lines become requests, or are told to be none; nothing is lost or made up in between.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async import OFFICIAL, ImageRequest, Keyed
from kling_async.cli.batch.inputs import Format, Line, format_of, parse
from kling_async.wire.dialects import broken_rules

FOLDER = Path("/inputs")

# A form feed and its like end lines for `str.splitlines` alone; they stay in a prompt.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), min_size=1).filter(str.strip).map(str.strip)
words = st.text("abcdefghijklmnop:0123456789-", min_size=1, max_size=12)
requests = st.builds(
    ImageRequest,
    texts,
    n=st.integers(1, 9),
    negative_prompt=st.none() | texts,
    aspect_ratio=st.none() | words,
    image_fidelity=st.none() | st.floats(0, 1),
    image=st.none() | st.sampled_from(["https://a.example/cat.png", "data:image/png;base64,iVBORw0KGgo="]),
    model_name=st.none() | words,
)
keyed = st.tuples(requests, st.none() | texts.filter(lambda text: len(text) <= 200))
gaps = st.lists(st.sampled_from(["", " ", "\t"]), max_size=2)


def read(text: str | bytes, form: Format) -> list[Line]:
    raw = text.encode() if isinstance(text, str) else text
    return list(parse(io.BytesIO(raw), form, FOLDER))


def fields_of(request: ImageRequest, key: str | None) -> dict[str, Any]:
    fields = attrs.asdict(request, filter=lambda _, value: value is not None)
    return fields if key is None else {"key": key, **fields}


def rules_of(line: Line) -> list[str]:
    return [f"{broken.field} {broken.value}: {broken.rule}" for broken in line.broken]


@given(st.lists(st.tuples(gaps, texts)))
def test_text(given: list[tuple[list[str], str]]) -> None:
    """
    Each line that is not blank is a prompt, at the number of its line.
    """
    lines = [text for gap, prompt in given for text in (*gap, f" {prompt} ")]

    found = read("\n".join(lines), Format.TEXT)

    numbers = [number for number, line in enumerate(lines, 1) if line.strip()]
    assert [(number, ImageRequest(prompt)) for number, (_, prompt) in zip(numbers, given, strict=True)] == [
        (line.number, line.request) for line in found
    ]


@given(st.lists(st.tuples(gaps, keyed)), st.booleans())
def test_objects(given: list[tuple[list[str], tuple[ImageRequest, str | None]]], ascii_only: bool) -> None:  # noqa: FBT001
    """
    What was written as JSON comes back as it was, fields and keys, at the number of its line.
    """
    lines = [text for gap, one in given for text in (*gap, json.dumps(fields_of(*one), ensure_ascii=ascii_only))]

    found = read("\n".join(lines), Format.JSONL)

    numbers = [number for number, line in enumerate(lines, 1) if line.strip()]
    assert [(number, *one) for number, (_, one) in zip(numbers, given, strict=True)] == [
        (line.number, line.request, line.key) for line in found
    ]


@given(st.lists(keyed, min_size=1), st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n"]))
def test_table(given: list[tuple[ImageRequest, str | None]], delimiter: str, end: str) -> None:
    """
    What was written as a table comes back as it was, whatever stands between cells and lines.
    """
    names = ["key", "prompt", "n", "negative_prompt", "aspect_ratio", "image_fidelity", "image", "model_name"]
    writer = csv.DictWriter(file := io.StringIO(), names, delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(fields_of(*one) for one in given)

    found = read(file.getvalue(), Format.CSV)

    assert [(number, *one, ()) for number, one in enumerate(given, 2)] == [
        (line.number, line.request, line.key, line.broken) for line in found
    ]


@given(st.binary() | st.text().map(str.encode), st.sampled_from(Format))
def test_anything(raw: bytes, form: Format) -> None:
    """
    Whatever the bytes are, each line is told once and in order: as a request, or with the rules that it breaks.
    """
    found = read(raw, form)

    numbers = [line.number for line in found]
    assert sorted(set(numbers)) == numbers
    assert all(1 <= number <= raw.count(b"\n") + 1 for number in numbers)
    assert all(line.request is not None or line.broken for line in found)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=300),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(["key", *attrs.fields_dict(ImageRequest), "seed"]), anything))
def test_any_object(fields: dict[str, Any]) -> None:
    """
    Whatever the values of an object are, its rules can be judged, and its key, where it has a good one, be kept.
    """
    (line,) = read(json.dumps(fields), Format.JSONL)

    assert line.request is not None
    broken = {rule.field for rule in (*line.broken, *broken_rules(OFFICIAL, line.request))}
    assert ("prompt" in broken) is not (isinstance(fields.get("prompt"), str) and is_sendable(fields["prompt"]))
    assert ("seed" in broken) is ("seed" in fields)
    (line.key or "").encode()


def is_sendable(prompt: str) -> bool:
    return bool(prompt.strip()) and prompt == prompt.encode(errors="replace").decode()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "is no JSON: Expecting property name"),
        ("[1]", "must be an object"),
        ('"a fox"', "must be an object"),
        ('{"prompt": "a fox", "aspect-ratio": "1:1"}', "aspect-ratio '1:1': is no field; there are key, prompt"),
        ('{"prompt": "a fox", "key": " "}', "key ' ': must be text of 1 to 200"),
        (f'{{"prompt": "a fox", "key": "{"k" * 201}"}}', "must be text of 1 to 200"),
        ('{"prompt": "a fox", "key": "\\ud83d"}', "must be text of 1 to 200 whole characters"),
        ('{"prompt": "a fox", "image": {}}', "image {}: must be a URL, a path or Base64"),
        ("[" * 100_000, "is no JSON that can be read"),
        (f'{{"n": {"9" * 5000}}}', "is no JSON that can be read"),
    ],
)
def test_broken_object(line: str, told: str) -> None:
    """
    What is no request is told with its rule, and the lines around it are read all the same.
    """
    before, broken, after = read(f'{{"prompt": "a"}}\n{line}\n{{"prompt": "b"}}', Format.JSONL)

    assert [told] == [told for rule in rules_of(broken) if told in rule]
    assert ((), ()) == (before.broken, after.broken)


@pytest.mark.parametrize("form", Format)
def test_no_utf8(form: Format) -> None:
    """
    A line in another encoding is told, rather than sent as something that nobody wrote.
    """
    lines = {Format.TEXT: ["a", "f\xfcr"], Format.JSONL: ['{"prompt": "f\xfcr"}'], Format.CSV: ["prompt", "f\xfcr"]}

    *_, last = read("\n".join(lines[form]).encode("latin-1"), form)

    assert ["line : is no UTF-8; save the file in that encoding"] == rules_of(last)


@pytest.mark.parametrize("form", Format)
def test_byte_order_mark(form: Format) -> None:
    """
    The mark that some editors write first is no part of the text.
    """
    lines = {Format.TEXT: "a fox", Format.JSONL: '{"prompt": "a fox"}', Format.CSV: "prompt\na fox"}

    (line,) = read(b"\xef\xbb\xbf" + lines[form].encode(), form)

    assert (ImageRequest("a fox"), ()) == (line.request, line.broken)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("prompts,n\na,1", ["1 column 'prompts': is no field", "1 column 'prompt': is missing"]),
        ("prompt,n,n\na,1,2", ["1 column 'n': must be there once"]),
        ("prompt,n\na,b,1\n\nc,2", ["2 line 'a': must have 2 cells, as the header has; it has 3", "4 good"]),
        ('prompt,n\n"a\nb",2\n"c" d,1\ne,1', ["2 good", "4 line : is no CSV", "5 good"]),
        ('"prompt', ["1 line : is no CSV"]),
    ],
)
def test_broken_table(table: str, told: list[str]) -> None:
    """
    A header that cannot be used is all that is told; a broken row is told at its first line, and the rest is read.
    """
    found = [f"{line.number} {rule}" for line in read(table, Format.CSV) for rule in rules_of(line) or ["good"]]

    assert told == [rule[: len(part)] for rule, part in zip(found, told, strict=True)]


def test_cells_that_are_no_numbers() -> None:
    """
    They stay as they are, so that the rules for their fields name them.
    """
    (line,) = read("prompt,n,image_fidelity\na,two,much", Format.CSV)

    assert line.request is not None
    assert {"prompt": "a", "n": "two", "image_fidelity": "much"} == fields_of(line.request, None)


def test_key_that_is_a_number() -> None:
    """
    A key that JSON has as a number is that of a table, where all is text.
    """
    (by_object,), (by_table,) = read('{"prompt": "a", "key": 17}', Format.JSONL), read("key,prompt\n17,a", Format.CSV)

    assert Keyed(ImageRequest("a"), "17") == by_object.item == by_table.item


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("cats/one.png", Path("/inputs/cats/one.png")),
        ("/elsewhere/one.png", Path("/elsewhere/one.png")),
        ("HTTPS://a.example/one.png", "HTTPS://a.example/one.png"),
        ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        ("A" * 5000, "A" * 5000),
    ],
)
def test_images(image: str, expected: str | Path) -> None:
    """
    A path is taken from the input's folder; a URL, and what is too long for a path, are what they are.
    """
    (line,) = read(json.dumps({"prompt": "a", "image": image}), Format.JSONL)

    assert line.request is not None
    assert expected == line.request.image


def test_lines_are_read_one_by_one() -> None:
    """
    Nothing is read ahead, so that the input may be larger than the memory.
    """
    taken = []

    def lines() -> Any:
        for number in range(1000):
            taken.append(number)
            yield b"a fox\n"

    for form in (Format.TEXT, Format.JSONL):
        taken.clear()
        next(parse(lines(), form, FOLDER))
        assert 1 == len(taken)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jsonl", Format.JSONL),
        ("a.NDJSON", Format.JSONL),
        ("b/a.csv", Format.CSV),
        ("a.tsv", Format.CSV),
        ("a.txt", Format.TEXT),
        ("prompts", Format.TEXT),
        ("a.json", None),
        ("a.xlsx", None),
    ],
)
def test_format_of(name: str, form: Format | None) -> None:
    """
    The end of a name tells the format; what it does not tell is not guessed, for prompts cost money.
    """
    assert form is format_of(name)
