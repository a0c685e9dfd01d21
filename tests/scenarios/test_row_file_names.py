"""
Files named by keys that macOS and Windows cannot tell apart: each row has its own, and the same in every run.
"""

import asyncio
import contextlib
import hashlib
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from kling_async import Done
from kling_async.batch.batch import Batch
from kling_async.batch.keyed import Keyed
from kling_async.batch.savers import CollidingKeys
from kling_async.media.naming import NameTemplate, folded
from tests.fakes.batches import client_of, emulator, files_in, outcomes_of

BY_KEY = "{key}-{index}{ext}"
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
KEYS = ["Cat", "cat", "dog", "CAT", COMPOSED, DECOMPOSED, "STRASSE", "stra\u00dfe", "a?", "A?"]


def marked(key: str) -> str:
    return f"{key}~{hashlib.sha256(key.encode()).hexdigest()[:8]}"


NAMES = {
    "Cat": "Cat",
    "cat": marked("cat"),
    "dog": "dog",
    "CAT": marked("CAT"),
    COMPOSED: COMPOSED,
    DECOMPOSED: marked(DECOMPOSED),
    "STRASSE": "STRASSE",
    "stra\u00dfe": marked("stra\u00dfe"),
    "a?": "a_~" + marked("a?")[-8:],
    "A?": "A_~" + marked("A?")[-8:],
}


def keyed(keys: list[str]) -> list[Keyed]:
    return [Keyed(f"a picture, number {number}", key) for number, key in enumerate(keys)]


def expected(keys: list[str]) -> list[str]:
    return sorted(f"{NAMES[key]}-0.png" for key in keys)


async def test_each_row_has_its_own_file(tmp_path: Path) -> None:
    """
    The first keeps the plain name. If names are folded, no two are equal; each file holds its own row's picture.
    """
    async with emulator() as server, client_of(server) as client, Batch(tmp_path / "run.kling", client) as batch:
        await batch.add(keyed(KEYS))
        outcomes = await outcomes_of(batch, save_to=tmp_path / "out", name=BY_KEY)

    names = files_in(tmp_path / "out")
    assert expected(KEYS) == names
    assert len(KEYS) == len({folded(name) for name in names})
    for outcome in outcomes:
        assert isinstance(outcome, Done)
        [picture] = outcome.files
        assert picture.path is not None
        assert picture.sha256 == hashlib.sha256(picture.path.read_bytes()).hexdigest()


@pytest.mark.parametrize("first", [1, 3, 6])
async def test_every_run_chooses_the_same_names(tmp_path: Path, first: int) -> None:
    """
    Regardless of which rows one run has ended, and which are added before the next: also for an input that grew.
    """
    async with emulator() as server, client_of(server) as client:
        for keys in (KEYS[:first], KEYS):
            async with Batch(tmp_path / "run.kling", client) as batch:
                await batch.add(keyed(keys))
                await outcomes_of(batch, save_to=tmp_path / "out", name=BY_KEY)

    assert expected(KEYS) == files_in(tmp_path / "out")


async def test_runs_that_are_cut_short_change_no_name(tmp_path: Path) -> None:
    """
    Rows end in any order, one after the other in runs of their own.
    """
    async with emulator(latency=(0.0, 0.2), seed=7) as server, client_of(server, slots=3) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(keyed(KEYS))
            for _ in KEYS:
                async with contextlib.aclosing(batch.run(tmp_path / "out", name=BY_KEY)) as outcomes:
                    async for _ in outcomes:
                        break
            await outcomes_of(batch, save_to=tmp_path / "out", name=BY_KEY)

    assert expected(KEYS) == files_in(tmp_path / "out")


async def test_lost_file_comes_back_under_its_name(tmp_path: Path) -> None:
    """
    The one with a digest, which another run downloads again.
    """
    lost = tmp_path / "out" / f"{NAMES['cat']}-0.png"
    async with emulator() as server, client_of(server) as client, Batch(tmp_path / "run.kling", client) as batch:
        await batch.add(keyed(KEYS))
        await outcomes_of(batch, save_to=tmp_path / "out", name=BY_KEY)
        lost.unlink()
        await outcomes_of(batch, save_to=tmp_path / "out", name=BY_KEY)

    assert lost.exists()
    assert expected(KEYS) == files_in(tmp_path / "out")


async def test_rows_that_are_added_while_a_run_goes_on_are_looked_at(tmp_path: Path) -> None:
    """
    They come behind those that were there, so that names that were given stay as they are.
    """
    async with emulator() as server, client_of(server, slots=1) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(keyed(KEYS[:1]))
            async for _ in batch.run(tmp_path / "out", name=BY_KEY):
                await batch.add(keyed(KEYS))
            await outcomes_of(batch, save_to=tmp_path / "out", name=BY_KEY)

    assert expected(KEYS) == files_in(tmp_path / "out")


async def test_rows_without_keys_of_their_own_are_not_looked_at(tmp_path: Path) -> None:
    """
    Theirs differ in more than case.
    """
    async with emulator() as server, client_of(server) as client, Batch(tmp_path / "run.kling", client) as batch:
        await batch.add(["a fox", "a fox", "A FOX"])
        outcomes = await outcomes_of(batch, save_to=tmp_path / "out", name=BY_KEY)

    assert sorted(f"{outcome.key}-0.png" for outcome in outcomes) == files_in(tmp_path / "out")


async def test_names_have_number_and_prompt(tmp_path: Path) -> None:
    """
    Of a batch and of the calls of a client, which are counted in their order.
    """
    name = "{number:02}-{prompt}{ext}"
    async with emulator() as server, client_of(server) as client:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add(["a fox", "A fox!", "a dog"])
            outcomes = await outcomes_of(batch, save_to=tmp_path / "batch", name=name)
        for outcome in outcomes:
            assert isinstance(outcome, Done)
            await client.save(outcome.result, tmp_path / "again", name=name)
        results = await asyncio.gather(*map(client.generate, ["a cat", "a hen"]))
        for result in results:
            await client.save(result, tmp_path / "calls", name="{prompt}-{number}{ext}")
        async with client_of(server) as other:
            unknown = await other.handle(results[0].task_id).wait()
            [path] = await other.save(unknown, tmp_path, name="{prompt}{ext}")
            with pytest.raises(ValueError, match="{number}: this task has no number"):
                await other.save(unknown, tmp_path, name=name)

    assert ["01-a-fox.png", "02-a-fox.png", "03-a-dog.png"] == files_in(tmp_path / "batch")
    assert files_in(tmp_path / "batch") == files_in(tmp_path / "again")
    assert [("a cat", 4), ("a hen", 5)] == [(result.prompt, result.number) for result in results]
    assert ["a-cat-4.png", "a-hen-5.png"] == files_in(tmp_path / "calls")
    assert ("", None, f"{results[0].task_id}.png") == (unknown.prompt, unknown.number, path.name)


async def test_journal_is_asked_once_for_all_that_it_has() -> None:
    """
    However many rows come at once; and again for what came after.
    """
    asked: list[int] = []

    async def ask() -> tuple[frozenset[int], int]:
        asked.append(len(asked))
        await asyncio.sleep(0)
        return frozenset({3, 12}), 10 * len(asked)

    colliding_keys = CollidingKeys(ask)
    first = await asyncio.gather(*map(colliding_keys.include, range(11)))

    assert [position == 3 for position in range(11)] == first
    assert [0] == asked
    assert await colliding_keys.include(12)
    assert [0, 1] == asked


async def test_asking_may_be_cancelled() -> None:
    """
    Whoever else asks is answered.
    """
    go_on = asyncio.Event()

    async def ask() -> tuple[frozenset[int], int]:
        await go_on.wait()
        return frozenset({1}), 5

    colliding_keys = CollidingKeys(ask)
    cancelled, other = (asyncio.create_task(colliding_keys.include(1)) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    go_on.set()

    assert await other
    assert cancelled.cancelled()


@pytest.mark.parametrize("template", ["{key}/{index}{ext}", "{key}-{index}{ext}", "x/{key}{ext}"])
def test_digest_is_in_folders_and_files(template: str) -> None:
    """
    Wherever the key stands.
    """
    plain, colliding = (
        NameTemplate(template, "t", key, has_colliding_key=is_second).path(0, ".png").as_posix()
        for key, is_second in (("Cat", False), ("cat", True))
    )

    assert folded(plain) != folded(colliding)


@given(st.text(st.characters(max_codepoint=0x17F), max_size=20))
def test_folding_forgets_case_and_form(key: str) -> None:
    """
    Of any text with Latin letters.
    """
    same = [unicodedata.normalize(form, text) for form in ("NFC", "NFD") for text in (key, key.lower(), key.upper())]

    assert {folded(key)} == set(map(folded, same))


@pytest.mark.parametrize("pair", ["kK", "s\u017f", "µμ", "åÅ", "ǆǅ", "ΣΣσς"])
def test_characters_that_some_file_system_takes_for_one(pair: str) -> None:
    """
    Signs that look like letters are among them.
    """
    assert 1 == len(set(map(folded, pair)))
