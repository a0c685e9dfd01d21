"""
What a newcomer types first: it works, or the answer has the right word.
"""

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

import kling_async
from kling_async import (
    GATEWAY,
    Batch,
    Budget,
    HttpOptions,
    ImageRequest,
    ImageToVideo,
    KlingClient,
    PollPolicy,
    RetryPolicy,
    Shot,
    Slots,
    TextToVideo,
)
from kling_async.batch.executors import LocalExecutor
from kling_async.emulator import Emulator
from kling_async.errors import InvalidRequest
from kling_async.wire import endpoint_of, registered
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


IMAGE: Any = ImageRequest
VIDEO: Any = TextToVideo
ANIMATION: Any = ImageToVideo
CLIENT: Any = KlingClient
RETRY: Any = RetryPolicy
OPTIONS: Any = HttpOptions
SLOTS: Any = Slots
SHOT: Any = Shot
BUDGET: Any = Budget
BATCH: Any = Batch
EMULATOR: Any = Emulator
"""
Classes whose wrong arguments a type checker does not see, as in a notebook.
"""

MADE: list[tuple[str, Callable[[], object], str]] = [
    ("model", lambda: IMAGE("a cat", model="kling-v2"), "model='kling-v2': .* did you mean model_name\\?"),
    ("size", lambda: IMAGE("a cat", size="1k"), "did you mean resolution or aspect_ratio\\?"),
    ("num_images", lambda: IMAGE("a cat", num_images=4), "num_images=4: .* did you mean n\\?"),
    ("ratio", lambda: VIDEO("a cat", ratio="1:1"), "not a field of TextToVideo; did you mean aspect_ratio\\?"),
    ("aspectRatio", lambda: IMAGE("a cat", aspectRatio="1:1"), "did you mean aspect_ratio\\?"),
    ("first_frame", lambda: ANIMATION("a.png", last_frame="b.png"), "did you mean image_tail\\?"),
    ("seconds", lambda: VIDEO("a cat", seconds=5), "did you mean duration\\?"),
    ("promt", lambda: IMAGE(promt="a cat"), "^promt='a cat': .* did you mean prompt\\?"),
    ("timeout", lambda: IMAGE("a cat", timeout=5), "timeout=5: is no field: `generate` and `TaskHandle.wait`"),
    ("no prompt", lambda: IMAGE(n=2), "^prompt=None: is missing: give it first, or by name"),
    (
        "ratio without a name",
        lambda: IMAGE("a cat", "16:9"),
        "takes only prompt so; name the others: neg",
    ),
    (
        "key",
        lambda: CLIENT(key="sk-secret"),
        "^key=<str>: is not an argument of KlingClient; did you mean api_k",
    ),
    ("sk", lambda: CLIENT(ak="ak-secret", sk="sk-secret"), r'^ak=<str>: is no argument: .* AccessKey\("…", "…"\)'),
    ("secret", lambda: CLIENT(secret_key="sk-secret"), r'^secret_key=<str>: is no argument: .* AccessKey\("…", "…"\)'),
    ("two keys", lambda: CLIENT("ak-secret", "sk-secret"), r'write KlingClient\(AccessKey\("…", "…"\)\)'),
    ("url", lambda: CLIENT("sk-1", url="https://x.example"), "did you mean base_url\\?"),
    ("concurrency", lambda: CLIENT("sk-1", concurrency=5), "did you mean slots\\?"),
    ("poll", lambda: CLIENT("sk-1", poll=PollPolicy()), "did you mean polling\\?"),
    (
        "policy",
        lambda: RETRY(giveup_after=5),
        "giveup_after=5: is not a field of RetryPolicy; did you mean give_u",
    ),
    ("options", lambda: OPTIONS(timeout=5), "timeout=5: .* did you mean read_timeout"),
    ("slots", lambda: SLOTS(limits=5), "did you mean limit\\?"),
    ("shot", lambda: SHOT("a cat", seconds=3), "not a field of Shot; did you mean duration\\?"),
    ("budget", lambda: BUDGET(max_units=5), "max_units=<int>: .* of Budget; did you mean units\\?"),
    ("batch", lambda: BATCH("run.kling"), "^client=.*: is missing"),
    ("emulator", lambda: EMULATOR(latancy=(1, 2)), "did you mean latency\\?"),
]


@pytest.mark.parametrize(("guess", "answer"), [pytest.param(*rest, id=name) for name, *rest in MADE])
def test_wrong_guess_in_a_constructor_is_answered_so(guess: Callable[[], object], answer: str) -> None:
    """
    By the classes themselves, and without showing a key.
    """
    with pytest.raises(InvalidRequest, match=answer) as caught:
        guess()

    assert "k-secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_other_errors_of_a_constructor_stay() -> None:
    """
    A TypeError of what is called within is no wrong name; signatures are what they were.
    """
    with pytest.raises(TypeError, match="on_event must be a function"):
        KlingClient("sk-0123456789", on_event=5)  # type: ignore[arg-type]

    assert ["prompt", "negative_prompt"] == [*inspect.signature(ImageRequest).parameters][:2]
    assert "self" not in inspect.signature(KlingClient).parameters


def test_class_of_a_program_is_explained_while_it_is_registered() -> None:
    """
    Registering is all that it needs.
    """

    @attrs.frozen(kw_only=True)
    class Sketch:
        prompt: str
        callback_url: str | None = None
        external_task_id: str | None = None

    with registered(attrs.evolve(endpoint_of(ImageRequest), name="sketch", path="/v1/sketches", request_class=Sketch)):
        with pytest.raises(InvalidRequest, match="promt='a': is not a field of Sketch; did you mean prompt"):
            Sketch(promt="a")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("endpoint", "answer"),
    [
        (TextToVideo, "endpoint must be a name, not a class: write 'text-to-video'"),
        (
            "text2video",
            "endpoint 'text2video' is not registered; did you mean 'text-to-video'\\? Registered are im",
        ),
        (5, "endpoint must be a name, as text, not <int>"),
    ],
)
async def test_endpoint_of_a_task_is_a_name(endpoint: Any, answer: str) -> None:
    """
    For all methods that take one.
    """
    async with KlingClient("sk-0123456789") as client:
        with pytest.raises(InvalidRequest, match=answer):
            await client.get("867283741759111202", endpoint)
        with pytest.raises(InvalidRequest, match=answer):
            client.handle("867283741759111202", endpoint)
        with pytest.raises(InvalidRequest, match=answer):
            await anext(client.tasks(endpoint))


@pytest.mark.parametrize("owner", [Emulator, LocalExecutor])
def test_plain_with_says_what_to_write(owner: Callable[[], Any]) -> None:
    """
    Also of what is not the client's.
    """
    with pytest.raises(TypeError, match=r"does not work; write `async with \w+\(…\)`"), owner():
        pass


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
