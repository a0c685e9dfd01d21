"""
Recorded answers, read as the client would: `tests/samples/README.md` describes them.
"""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from kling_async.errors import KlingError
from kling_async.wire.calls.registry import CALLS
from kling_async.wire.http_answer import Answer
from kling_async.wire.responses import read_created, read_page, read_snapshot
from kling_async.wire.tasks import Audio, TaskSnapshot, Video
from kling_async.wire.webhooks import read_callback

SAMPLES = Path(__file__).parents[2] / "samples"

CALLS_BY_NAME = {call.name: call for call in CALLS}

SECRETS = ("sk-", "eyJ", "c2lnbmF0dXJl", "c2VjcmV0", "Signature=", "token=")
"""
Parts of the keys, tokens and signed addresses that stand in the samples.
"""


@attrs.frozen
class Sample:
    """
    One recorded answer. *asked* is "create", "read", "page", "callback" or the name of a call; *task_id* is what a read
    asked for.
    """

    asked: str
    answer: Answer
    expect: dict[str, Any]
    task_id: str | None

    def read(self) -> Any:
        """
        Read the answer as the question wants it.
        """
        match self.asked:
            case "create":
                return read_created(self.answer)
            case "read":
                return read_snapshot(self.answer, self.task_id)
            case "page":
                return read_page(self.answer)
            case "callback":
                return read_callback(self.answer.body)
            case name if name in CALLS_BY_NAME:
                return CALLS_BY_NAME[name].read(self.answer)
            case _:
                raise AssertionError(f"nobody asks for {self.asked!r}")


def load(name: str) -> Sample:
    """
    Load the sample called *name*.
    """
    about = json.loads((SAMPLES / name / "answer.json").read_text())
    (body,) = (SAMPLES / name).glob("body*")
    answer = Answer(about["status"], about["headers"], body.read_bytes())
    return Sample(about["asked"], answer, about["expect"], about.get("task_id"))


def plain(value: Any) -> Any:
    """
    Return what a call returned as JSON holds it, without fields that are None or empty.
    """
    if attrs.has(type(value)):
        fields = {field.name: plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
        return {name: known for name, known in fields.items() if known not in (None, "", [])}
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Decimal) else value


def facts(snapshot: Any) -> Any:
    """
    Return what is known of a task, or was returned by a call, in the words of `answer.json`.
    """
    return task_facts(snapshot) if isinstance(snapshot, TaskSnapshot) else plain(snapshot)


def task_facts(snapshot: TaskSnapshot) -> dict[str, Any]:
    """
    Return what is known of a task in the words of `answer.json`; what is not known is left out.
    """
    known: dict[str, Any] = {
        "external_id": snapshot.task_info.external_task_id,
        "reason": snapshot.task_status_msg,
        "images": [
            [image.index, image.url, *([image.watermark_url] if image.watermark_url else [])]
            for image in snapshot.task_result.images
        ],
        "videos": [known_of(video) for video in snapshot.task_result.videos],
        "audios": [known_of(audio) for audio in snapshot.task_result.audios],
        "voices": plain(snapshot.task_result.voices),
        "elements": plain(snapshot.task_result.elements),
        "units": None if snapshot.final_unit_deduction is None else str(snapshot.final_unit_deduction),
        "cash": snapshot.final_balance_deduction
        and [str(told) for told in attrs.astuple(snapshot.final_balance_deduction) if told is not None],
        "created_at": snapshot.created_at and snapshot.created_at.isoformat(),
        "updated_at": snapshot.updated_at and snapshot.updated_at.isoformat(),
        "request_id": snapshot.request_id,
    }
    always = {"task_id": snapshot.task_id, "status": snapshot.task_status.name, "word": snapshot.status_word}
    return always | {name: value for name, value in known.items() if value}


def known_of(file: Video | Audio) -> dict[str, Any]:
    """
    Return what is known of a video or a sound.
    """
    return {name: value for name, value in attrs.asdict(file).items() if value is not None}


def error_facts(error: KlingError) -> dict[str, Any]:
    """
    Return what an error tells in the words of `answer.json`, but for its text.
    """
    known = {
        "code": error.code,
        "retry_after": getattr(error, "retry_after", None),
        "task_id": error.task_id,
        "request_id": error.request_id,
        "is_other_api": getattr(error, "is_other_api", False) or None,
        "urls": list(getattr(error, "urls", ())) or None,
    }
    return {"error": type(error).__name__} | {name: value for name, value in known.items() if value is not None}


def names(*, refused: bool) -> list[str]:
    """
    Return the names of the samples that say yes, or of those that say no.
    """
    samples = sorted(path.parent.name for path in SAMPLES.glob("*/answer.json"))
    return [name for name in samples if ("error" in load(name).expect) is refused]


@pytest.mark.parametrize("name", names(refused=False))
def test_answer_is_read(name: str) -> None:
    """
    An answer that says yes is read to the last fact.
    """
    sample = load(name)

    seen = sample.read()

    assert sample.expect == ({"tasks": [facts(each) for each in seen]} if isinstance(seen, list) else facts(seen))


@pytest.mark.parametrize("name", names(refused=True))
def test_answer_is_refused(name: str) -> None:
    """
    An answer that says no becomes the error that tells the caller what to do, with every id that is in it.
    """
    sample = load(name)
    says = sample.expect.pop("says")

    with pytest.raises(KlingError) as caught:
        sample.read()

    assert sample.expect == error_facts(caught.value)
    assert says in caught.value.message
    assert sample.answer.status == caught.value.http_status


@pytest.mark.parametrize("name", names(refused=True))
def test_no_secret_is_shown(name: str) -> None:
    """
    No error shows a key, a token or the query of a URL, whatever the service echoes.
    """
    with pytest.raises(KlingError) as caught:
        load(name).read()

    shown = f"{caught.value} {caught.value!r}"

    assert [] == [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize("name", names(refused=False))
def test_no_signature_is_shown(name: str) -> None:
    """
    The repr of what was read hides the queries that sign URLs.
    """
    shown = repr(load(name).read())

    assert [] == [secret for secret in SECRETS if secret in shown]
