"""
Where inputs come from.
"""

import io
import os
import re
import threading
from pathlib import Path

import pytest
import typer

from kling_async import ImageRequest
from kling_async.cli.batch.input_source import open_input
from kling_async.cli.input_options import Format


def test_file_is_read_again(tmp_path: Path) -> None:
    """
    A file is read from its beginning as often as it is asked for, and is the same even where another takes its name.
    """
    (tmp_path / "prompts.txt").write_text("a fox\nan owl\n")
    with open_input(str(tmp_path / "prompts.txt"), None) as source:
        next(iter(source.lines()))
        (tmp_path / "new").write_text("a bear\n")
        (tmp_path / "new").rename(tmp_path / "prompts.txt")
        prompts = [line.request for line in source.lines()]

    assert [ImageRequest("a fox"), ImageRequest("an owl")] == prompts


def test_pipe_is_read_again(tmp_path: Path) -> None:
    """
    What can be read only once is kept for as long as it is needed.
    """
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"a fox\n",))
    writer.start()
    with open_input(str(tmp_path / "pipe"), Format.TEXT) as source:
        writer.join()
        found = [[line.request for line in source.lines()] for _ in range(2)]

    assert [[ImageRequest("a fox")]] * 2 == found


@pytest.mark.parametrize(
    ("name", "message"), [("none.txt", "No such file"), (".", "Is a directory"), ("a.prn", "use --format")]
)
def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    """
    It is reported by its name.
    """
    monkeypatch.chdir(tmp_path)
    with pytest.raises(typer.BadParameter, match=message) as caught:
        open_input(name, None)

    assert repr(name) in str(caught.value)


def test_stdin_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What looks like objects is not taken for prompts, unless somebody says so.
    """
    stdin = io.TextIOWrapper(io.BytesIO(b'{"prompt": "a fox"}\n'))
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(typer.BadParameter, match="JSON Lines"):
        open_input("-", None)
    found = []
    for form in (Format.JSONL, Format.TEXT):
        stdin.buffer.seek(0)
        with open_input("-", form) as source:
            found += [line.request for line in source.lines()]

    assert [ImageRequest("a fox"), ImageRequest('{"prompt": "a fox"}')] == found


@pytest.mark.parametrize("name", ["rows.xlsx", "rows.XLS", "rows.xlsm", "rows.ods", "rows.numbers"])
def test_spreadsheet_is_to_be_exported(tmp_path: Path, name: str) -> None:
    """
    By its name, and by its content where the name or `--format` says otherwise.
    """
    for begin, form, file, what in (
        (b"PK\x03\x04", None, name, "is a spreadsheet; export the table as CSV"),
        (b"PK\x03\x04", Format.CSV, name, "is a zip archive (a spreadsheet?); export the table as CSV"),
        (b"\xd0\xcf\x11\xe0", None, "rows.csv", "is an Office document (a spreadsheet?); export the table as CSV"),
        (b"PAR1", Format.JSONL, "rows.parquet", "is a Parquet file; export the table as CSV, or as JSON Lines"),
    ):
        (tmp_path / file).write_bytes(begin + bytes(100))
        with pytest.raises(typer.BadParameter, match=re.escape(what)):
            open_input(str(tmp_path / file), form)
