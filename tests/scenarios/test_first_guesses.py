"""
What a newcomer types first: it works, or the answer has the right word.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import kling_async
from kling_async import GATEWAY, ImageRequest, TextToVideo
from kling_async.errors import InvalidRequest
from tests.fakes.clients import client_of, emulator


async def test_prompt_by_name_makes_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With other fields, by both verbs, and saved without a folder's name.
    """
    monkeypatch.chdir(tmp_path)
    async with emulator(GATEWAY) as server, client_of(server) as client:
        result = await client.generate(prompt="a cat", n=2)
        handle = await client.submit(prompt="a dog")
        paths = await client.save(result)
        await client.save(await handle, "elsewhere", name="dog{ext}")

    assert ["a cat", "a dog"] == [task.prompt for task in server.ledger.tasks]
    assert [Path("pictures"), Path("pictures")] == [path.parent for path in paths]
    assert Path("elsewhere/dog.png").is_file()


Guess = Callable[[Any], Awaitable[object]]

GUESSES: list[tuple[str, Guess, str]] = [
    (
        "model",
        lambda client: client.generate("a cat", model="kling-v2"),
        "model='kling-v2': .* did you mean model_name\\?",
    ),
    (
        "size",
        lambda client: client.generate("a cat", size="1k"),
        "size='1k': .* did you mean resolution or aspect_ratio\\?",
    ),
    ("num_images", lambda client: client.generate("a cat", num_images=4), "num_images=4: .* did you mean n\\?"),
    ("ratio", lambda client: client.generate("a cat", ratio="1:1"), "ratio='1:1': .* did you mean aspect_ratio\\?"),
    ("aspectRatio", lambda client: client.submit("a cat", aspectRatio="1:1"), "did you mean aspect_ratio\\?"),
    ("promt", lambda client: client.generate(promt="a cat"), "promt='a cat': .* did you mean prompt\\?"),
    ("two prompts", lambda client: client.generate("a", prompt="b"), "a second prompt, beside 'a'"),
    ("request", lambda client: client.generate(request=ImageRequest("a")), "give the request first, without a name"),
    ("nothing", lambda client: client.generate(), "give it first"),
    ("dict", lambda client: client.generate({"prompt": "a"}), "write two stars before the dict"),
    ("list", lambda client: client.generate(["a", "b"]), "`stream` and `Batch` take several"),
    ("class", lambda client: client.generate(TextToVideo), "make one of the class first"),
    ("seconds", lambda client: client.generate(TextToVideo("a"), seconds=5), "did you mean duration\\?"),
    (
        "unknown",
        lambda client: client.generate("a cat", seed=1),
        "seed=1: is not a field of ImageRequest. Its fields are",
    ),
]


@pytest.mark.parametrize(("guess", "answer"), [pytest.param(*rest, id=name) for name, *rest in GUESSES])
async def test_wrong_guess_is_answered_with_the_right_word(guess: Guess, answer: str) -> None:
    """
    Before anything is sent.
    """
    async with emulator(GATEWAY) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest, match=answer):
            await guess(client)

    assert 0 == len(server.ledger.tasks)


def test_error_of_all_is_where_one_looks_first() -> None:
    """
    Beside the client, for `except kling_async.KlingError`.
    """
    assert issubclass(InvalidRequest, kling_async.KlingError)
