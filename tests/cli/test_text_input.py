"""
Text from files and pipes, for every command: what is no list is refused in words before it is paid for line by line.
"""

import io
import sys
from pathlib import Path

import pytest

from kling_async.cli.text_input import TextKind, UnreadableText, detect_kind, read_list
from tests.cli.conftest import Ended, Here, ServedBy

NO_PROMPTS = {
    "JSON Lines": b'{"prompt": "a fox"}\n{"prompt": "an owl"}\n',
    "JSON Lines after a mark": b'\xef\xbb\xbf{"prompt": "a fox"}\n',
    "JSON Lines after blanks": b'\n \t\r\n {"prompt": "a fox"}\n',
    "JSON Lines of PowerShell": '{"prompt": "a fox"}\r\n'.encode("utf-16"),
    "an array": b'[{"prompt": "a fox"}]',
    "an array over lines": b'[\n  {"prompt": "a fox"},\n  {"prompt": "an owl"}\n]\n',
    "an array of texts": b'["a fox", "an owl"]',
    "a table": b"prompt,n\na fox,1\n",
    "a table of a spreadsheet": b'\xef\xbb\xbfkey;"prompt";n\r\n1;a fox;1\r\n',
    "a table with columns of its own": b"id\tPrompt\tstyle\n1\ta fox\toil\n",
    "a table of one column": b"prompt\na fox\n",
    "a web page": b"<!DOCTYPE html>\n<html>\n<p>Log in</p>\n",
    "YAML": b"- prompt: a fox\n  n: 2\n",
    "TOML": b"prompt = 'a fox'\nn = 2\n",
    "XML": b'<?xml version="1.0"?>\n<prompts/>\n',
    "UTF-16 without a mark": "a fox\n".encode("utf-16-le"),
    "a workbook": b"PK\x03\x04\nrest\n",
    "another encoding": b"a fox\nf\xfcr\n",
}


@pytest.mark.parametrize("raw", NO_PROMPTS.values(), ids=NO_PROMPTS.keys())
def test_no_prompts(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    """
    `generate`, `batch` and `demo` take none of it for prompts, from stdin and from a file whose name tells nothing.
    """

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        return here(*words)

    (tmp_path / "prompts.txt").write_bytes(raw)
    for words in (
        ("generate", "-"),
        ("batch", "-", "--journal", "j.kling"),
        ("batch", "prompts.txt"),
        ("batch", "prompts.txt", "--dry-run"),
        ("demo", "--prompts", "prompts.txt"),
    ):
        ended = run(*words)
        assert 2 == ended.code, words
        assert any(word in ended.err for word in ("looks like", "contains", "is a zip archive")), ended.err
        assert not list(tmp_path.glob("*.kling"))


def test_prompts_of_any_system(here: Here, tmp_path: Path) -> None:
    """
    A prompt is a line as people see it, in each of the usual encodings; what looks odd but is text is taken.
    """
    prompts = ["[soft light] a fox", "prompt, in large letters", "a fox\u2028in snow", "<3 hearts", "für 灯塔"]
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        for end in ("\n", "\r\n", "\r"):
            (tmp_path / "prompts.txt").write_bytes(end.join(["", *prompts, ""]).encode(encoding))
            ended = here("batch", "prompts.txt", "--dry-run", "--emulator")
            assert 0 == ended.code
            assert f"{len(prompts)} requests" in ended.out
            with (tmp_path / "prompts.txt").open("rb") as file:
                assert prompts == read_list(file, "prompts.txt", "prompt")


@pytest.mark.parametrize("character", ["\x85", "\v", "\f", "\x00", "\x1b"])
def test_control_characters(here: Here, monkeypatch: pytest.MonkeyPatch, character: str) -> None:
    """
    One prompt is not cut into two, and is refused together with all else that is wrong.
    """
    raw = f"a fox{character}in snow\n{'x' * 600}\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    ended = here("generate", "-", "-n", "12")

    assert 2 == ended.code
    if character == "\x00":
        assert "stdin contains NUL bytes" in ended.err
    else:
        assert f"it has U+{ord(character):04X} at character 6" in ended.err
        assert "it has 600" in ended.err
        assert "--n 12" in ended.err


IDS = ["C-1", "C-2"]


@pytest.mark.parametrize("command", ["status", "wait", "save"])
@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'[{"task_id": "C-1"}]', "looks like a JSON array; it must have one task id per line"),
        (b"task_id,status\nC-1,succeed\n", "looks like a table with a header; it must have one task id per line"),
        (b"<html>\n", "looks like a web page or XML"),
        ("C-1\n".encode("utf-16-le"), "contains NUL bytes"),
        (b"\xff\n", "line 1, contains bytes that are not valid UTF-8"),
    ],
)
def test_no_ids(here: Here, monkeypatch: pytest.MonkeyPatch, command: str, raw: bytes, told: str) -> None:
    """
    Ids are read by the same reader as prompts.
    """
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    ended = here(command, "-")

    assert 2 == ended.code
    assert told in " ".join(ended.err.replace("│", " ").split())


def test_ids_of_powershell(served: ServedBy, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A list that another program has written in UTF-16 is read, as lines and as objects.
    """
    run = served()
    run.has(*IDS)
    for line in ("{}", '{{"task_id": "{}"}}'):
        raw = "\r\n".join([*map(line.format, IDS), ""]).encode("utf-16")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        ended = run.here("status", "-", "--base-url", run.server.url, "--dialect", "official")
        assert 0 == ended.code, ended.err
        assert IDS == [row.split()[0] for row in ended.out.splitlines()]


@pytest.mark.parametrize(
    ("text", "look"),
    [
        ("a fox", TextKind.PLAIN),
        ("", TextKind.PLAIN),
        ("[masterpiece], a fox", TextKind.PLAIN),
        ("prompt: a fox", TextKind.PLAIN),
        ("a prompt,with words", TextKind.PLAIN),
        ("<lora:fox:1> a fox", TextKind.PLAIN),
        ("\ufeff\n [ ]", TextKind.ARRAY),
        ("| prompt | n |\n|---|---|", TextKind.TABLE),
        ("- prompt: a fox\n  n: 1\n", TextKind.SETTINGS),
        ('---\n- "prompt": a fox\n', TextKind.SETTINGS),
        ("---\nPrompt:\n  - a fox\n", TextKind.SETTINGS),
        ('prompt = "a fox"\nn = 1\n', TextKind.SETTINGS),
        ("- a fox: red", TextKind.PLAIN),
        ("- prompt:a fox", TextKind.PLAIN),
        ("--- a fox ---", TextKind.PLAIN),
        ("<!-- a list -->\n<ul>", TextKind.PAGE),
        ("<header> a fox", TextKind.PLAIN),
    ],
)
def test_looks(text: str, look: TextKind) -> None:
    """
    Only what is surely something else is not taken for text.
    """
    assert look is detect_kind(text, "prompt")


def test_list_that_is_too_long() -> None:
    """
    A list is held in memory, and so has a bound.
    """
    with pytest.raises(UnreadableText, match="stdin is larger than 67,108,864 bytes"):
        read_list(io.BytesIO(b"a fox\n" * 12_000_000), "stdin", "prompt")
