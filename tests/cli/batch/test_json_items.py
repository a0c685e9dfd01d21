"""
Arrays of objects: read as JSON Lines are, with the line of each item.
"""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from kling_async import ImageRequest
from kling_async.cli.batch import json_items
from kling_async.cli.batch.input_parser import InputLine, parse
from kling_async.cli.batch.json_items import read_json_array
from kling_async.cli.input_options import Format
from tests.cli.conftest import Here

FOX, OWL = {"prompt": "a fox"}, {"prompt": "an owl", "n": 2}


def read(text: str | bytes, **options: Any) -> list[InputLine]:
    raw = text.encode() if isinstance(text, str) else text
    return list(parse(io.BytesIO(raw), Format.JSONL, Path(), **options))


def told(lines: list[InputLine]) -> list[str]:
    """
    Say of each line its number, and the prompt or what is wrong.
    """
    return [
        f"{line.number} {'; '.join(f'{rule.field} {rule.value}: {rule.rule}' for rule in line.broken) or 'good'}"
        for line in lines
    ]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_array_is_read(indent: int | None, encoding: str) -> None:
    """
    On one line or on many, in each of the usual encodings.
    """
    found = read(json.dumps([FOX, OWL], indent=indent).encode(encoding))

    assert [ImageRequest("a fox"), ImageRequest("an owl", n=2)] == [line.request for line in found]
    assert {None: [1, 1], 0: [2, 5], 2: [2, 5]}[indent] == [line.number for line in found]


@given(st.lists(st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text() | st.lists(st.booleans()))))
def test_items_are_those_of_json(items: list[dict[str, Any]]) -> None:
    """
    Whatever they hold, and however they are laid out.
    """
    for indent in (None, 1):
        text = json.dumps(items, indent=indent, ensure_ascii=indent is None)
        texts = io.StringIO(text, newline="")
        if "\ud800" <= max(text, default="") <= "\udfff" or any("\ud800" <= each <= "\udfff" for each in text):
            continue  # a byte that is no text, as `read_text_lines` marks it
        found = list(read_json_array(texts))

        assert items == [item.value for item in found]
        assert not any(item.rule for item in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[ ]", []),
        ('[{"prompt": "a"}]\n\n', ["1 good"]),
        ('[{"prompt": "a"},\n"b",\n{"prompt": "c"}]', ["1 good", "2 line '\"b\"': must be an object", "3 good"]),
        (
            '[{"prompt": "a"},\n{"prompt": "b", "prompt": "c"},\n{"promt": "d"}]',
            [
                "1 good",
                '2 line \'{"prompt": "b", "prompt": "c"}\': has the field \'prompt\' more',
                "3 promt 'd': is not",
            ],
        ),
        (
            '[{"prompt": "a"}\n {"prompt": "b"}]',
            ["2 line '{\"prompt\": \"b\"}]': is not valid JSON: Expecting ',' or ']' at column 2; the rest"],
        ),
        (
            '[{"prompt": "a"},\n {"prompt": b}]',
            ["1 good", "2 line '{\"prompt\": b}]': is not valid JSON: Expecting value at column 13; the rest is not"],
        ),
        ('[{"prompt": "a"},]', ["1 good"]),
        ('[{"prompt": "a"},', ["1 good", '1 line \'[{"prompt": "a"},\': is not valid JSON: Expecting value']),
        ('[{"prompt": "a"}', ["1 line '[{\"prompt\": \"a\"}': is not valid JSON: Expecting ',' or ']' at column 17"]),
        ('[{"prompt": "a"', ["1 line '[{\"prompt\": \"a\"': is not valid JSON: Expecting ',' delimiter at column 16"]),
        ('[{"n": 1' + "0" * 5000 + "}]", ['1 line \'[{"n": 1']),
        ("[{" + '"a":[' * 100_000, ['1 line \'[{"a":[']),
        ('[{"prompt": "a"}]\n{"prompt": "b"}', ["1 good", '2 line \'{"prompt": "b"}\': follows the end of the array']),
        (b'[{"prompt": "a"},\n{"prompt": "\xff"}]', ["1 good", "2 line : contains bytes that are not valid UTF-8"]),
    ],
)
def test_broken_array(text: str | bytes, expected: list[str]) -> None:
    """
    What is wrong is said with its line; after an error in the syntax nothing more is read.
    """
    found = told(read(text))

    assert expected == [each[: len(part)] for each, part in zip(found, expected, strict=True)]


def test_object_of_several_lines_is_told_what_to_do() -> None:
    """
    It is what editors and other programs write; each line of it would be an error.
    """
    first, *_ = read(json.dumps(FOX, indent=2))

    assert (
        "begins an object of several lines; write each object on one line, or all into an array" == first.broken[0].rule
    )


def test_array_may_be_larger_than_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Programs write it on one line; it is held in memory, so that its size is limited.
    """
    text = json.dumps([FOX] * 1000)
    monkeypatch.setattr("kling_async.cli.batch.input_parser._REST_MAX", 0)

    assert 1000 == len(read(text, image_max_bytes=3))

    monkeypatch.setattr(json_items, "LIST_MAX", len(text) - 1)
    [line] = read(text)

    assert "is an array of more than" in line.broken[0].rule
    assert "write one object per line" in line.broken[0].rule


def test_command_reads_arrays(here: Here) -> None:
    """
    By the name, or with `--format jsonl`; a file whose name says otherwise is not taken for prompts.
    """
    for name in ("rows.json", "rows.jsonl", "rows.txt"):
        Path(name).write_text(json.dumps([FOX, OWL]))

    by_name, lines, forced, text = (
        here("batch", *words, "--dry-run", "--emulator")
        for words in (["rows.json"], ["rows.jsonl"], ["rows.txt", "--format", "jsonl"], ["rows.txt"])
    )

    assert [0, 0, 0, 2] == [each.code for each in (by_name, lines, forced, text)]
    assert all("2 requests to a gateway service: 3 pictures" in each.out for each in (by_name, lines, forced))
    assert "looks like a JSON array; use --format jsonl, or --format text if" in " ".join(
        text.err.replace("│", "").split()
    )
