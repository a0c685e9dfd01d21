"""
All lines are judged, and all that is wrong is told, before anything is sent.
"""

import io
from pathlib import Path

import PIL.Image
import pytest
import typer
from hypothesis import given, strategies as st

from kling_async import GATEWAY
from kling_async.cli.batch.input_checks import KeyFilter, check_input, good_lines, line_numbers_of
from kling_async.cli.batch.input_source import InputSource
from kling_async.cli.input_options import Format
from kling_async.cli.request_checks import RequestChecks
from kling_async.errors import BrokenRule


def source_of(*lines: str, form: Format = Format.JSONL, folder: Path = Path()) -> InputSource:
    return InputSource("input", form, folder, io.BytesIO("\n".join(lines).encode()))


async def good_numbers(source: InputSource) -> list[int]:
    checks = RequestChecks(GATEWAY, None)
    found = await check_input(source, checks, skips_invalid=True)
    return [line.number async for line in good_lines(source, checks, found)]


@given(st.lists(st.text(max_size=3)), st.sampled_from([0, 2, 2**16]), st.sampled_from([1, 7, 2**16]))
def test_memory_forgets_no_key(keys: list[str], first: int, size: int) -> None:
    """
    A key that came before is always known; one that is new may be taken for known only where two share a place.
    """
    memory = KeyFilter(first, size)
    known = [memory.add(key) for key in keys]

    assert all(known[index] for index, key in enumerate(keys) if key in keys[:index])
    assert not known or not known[0]


async def test_repeated_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A key may come again with the same request, but not with another; then the earlier line is named.
    """
    source = source_of(
        '{"prompt": "a", "key": "k"}',
        '{"prompt": "a", "key": "k"}',
        '{"prompt": "b", "key": "k"}',
        '{"prompt": "c", "key": "l"}',
    )

    assert [1, 2, 4] == await good_numbers(source)
    assert "line 3: key 'k': is already the key of line 1, for another request\n" in capsys.readouterr().err


async def test_all_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Rules of the format and of the service are told together, each with its line; good lines are none the worse.
    """
    source = source_of(
        '{"prompt": "", "n": 12, "seed": 1}', "no", '{"prompt": "a fox"}', '{"prompt": "b", "image": "c"}'
    )

    assert [3] == await good_numbers(source)
    assert [
        "line 1: seed 1: is not a field of ImageRequest.",
        "line 1: prompt '': must be text",
        "line 1: n 12: must be a whole",
        "line 2: 'no' is not valid JSON:",
        "line 4: image Path('c'): must be a",
        "3 of 4 lines skipped.",
    ] == [
        line[:length]
        for line, length in zip(capsys.readouterr().err.splitlines(), [47, 31, 29, 31, 34, 99], strict=True)
    ]


@pytest.mark.parametrize(("lines", "told"), [([], "no prompt"), (["a", ""], "1 of 1 line"), (["{}"], "1 of 1 line")])
async def test_nothing_is_sent(lines: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Where a line is broken, or there is none, the command ends.
    """
    with pytest.raises(typer.Exit) as end:
        await check_input(source_of(*lines), RequestChecks(GATEWAY, None), skips_invalid=False)

    assert 2 == end.value.exit_code
    assert told in capsys.readouterr().err


async def test_too_few_slots(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A request that would never get its slots is told, rather than waiting for ever.
    """
    checks = RequestChecks(GATEWAY, 2)
    found = await check_input(source_of('{"prompt": "a", "n": 3}', '{"prompt": "b"}'), checks, skips_invalid=True)

    assert (1, 1) == (found.good, found.bad)
    assert "line 1: slots 2: the request takes 3 slots" in capsys.readouterr().err


async def test_shared_picture_is_read_once(tmp_path: Path) -> None:
    """
    A reference image of many lines is opened once: it is gone when the second is judged.
    """
    PIL.Image.new("RGB", (300, 300)).save(tmp_path / "cat.png")
    source = source_of('{"prompt": "a", "image": "cat.png"}', '{"prompt": "b", "image": "cat.png"}', folder=tmp_path)
    checks = RequestChecks(GATEWAY, None)
    (first, second) = source.lines()
    assert first.request is not None
    assert second.request is not None
    before = await checks.broken(first.request)
    (tmp_path / "cat.png").unlink()

    assert ((), ()) == (before, await checks.broken(second.request))


async def test_files_are_read_before_they_are_judged(tmp_path: Path) -> None:
    """
    Without reading, a request is judged only if it has none.
    """
    source = source_of('{"prompt": "a", "n": 12}', '{"prompt": "b", "image": "cat.png"}', folder=tmp_path)
    checks = RequestChecks(GATEWAY, None)
    without, with_file = [line.request for line in source.lines() if line.request is not None]

    assert checks.broken_without_files(with_file) is None
    assert ["image"] == [rule.field for rule in await checks.broken(with_file)]
    assert await checks.broken(without) == checks.broken_without_files(without) != ()


def test_lines_of() -> None:
    """
    What a journal tells by its content is found by its lines.
    """
    source = source_of('{"prompt": "a", "key": "k"}', '{"prompt": "b", "image": "/c"}', '{"prompt": "d", "key": "k"}')
    checks = RequestChecks(GATEWAY, None)

    assert [1, 3] == line_numbers_of(source, checks, BrokenRule("key", "'k'", "is another's"))
    assert [2] == line_numbers_of(source, checks, BrokenRule("image", "'/c'", "has changed"))
    assert [] == line_numbers_of(source, checks, BrokenRule("prompt", "''", "is blank"))


def test_new_keys_are_hardly_ever_suspects() -> None:
    """
    Each suspect costs a second reading of the input, so that a hundred thousand new keys give next to none.
    """
    memory = KeyFilter(first=0)

    assert 5 > sum(memory.add(f"row-{number}") for number in range(100_000))


async def test_valid_lines_are_reported_as_they_are_read() -> None:
    """
    In their order, and none that breaks a rule.
    """
    source, seen = source_of('{"prompt": "a"}', '{"prompt": ""}', '{"prompt": "b"}'), list[int]()
    checks = RequestChecks(GATEWAY, None)
    found = await check_input(source, checks, skips_invalid=True, on_valid=lambda line: seen.append(line.number))

    assert [1, 3] == seen
    assert (2, 1) == (found.good, found.bad)
