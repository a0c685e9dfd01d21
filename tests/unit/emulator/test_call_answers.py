"""
Calls that the emulated service answers at once.
"""

from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from kling_async import GATEWAY, OFFICIAL, Dialect
from kling_async.emulator import Account, Settings, TaskOutcome, file_rendering
from kling_async.emulator.api import ApiRequest, ApiResponse, EmulatedApi
from kling_async.emulator.bookkeeping import packs_of
from kling_async.emulator.routing import Target, target_of
from kling_async.wire.calls.registry import CALLS
from kling_async.wire.calls.speech import SPEECH
from kling_async.wire.endpoints.image_generation import ImageRequest
from tests.fakes.clients import client_of, emulator

NOON = 1_780_000_000.0

SPEAK = {"text": "Hello", "voice_id": "oversea_male1", "voice_language": "en"}


class Service:
    """
    An account and its API, without a socket.
    """

    def __init__(self, dialect: Dialect = OFFICIAL, **settings: Any) -> None:
        self.account = Account(Settings(dialect=dialect, latency=(1, 1), **settings))
        self._api = EmulatedApi(self.account)

    def ask(self, path: str, body: Any, now: float = NOON, method: str = "POST") -> tuple[int, Any]:
        settings = self.account.settings
        target = target_of(method, settings.prefix + path, settings.prefix)
        headers = {"Authorization": f"Bearer {settings.api_key}"}
        request = ApiRequest(target=target, method=method, path=path, headers=headers, body=body)
        reply = self._api.answer(request, now, TaskOutcome())
        assert isinstance(reply, ApiResponse)
        return reply.status, reply.payload


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_each_call_has_a_path(call: Any) -> None:
    """
    For its own method alone.
    """
    other = "GET" if call.method == "POST" else "POST"

    assert Target("call", call=call) == target_of(call.method, f"/kling{call.path}", "/kling")
    assert "call" != target_of(other, call.path).route


@pytest.mark.parametrize("call", [call for call in CALLS if call.method == "POST"], ids=lambda call: call.name)
@pytest.mark.parametrize("body", [None, [], "text"])
def test_body_must_be_an_object(call: Any, body: Any) -> None:
    """
    Anything else is refused, and costs nothing.
    """
    service = Service()

    status, payload = service.ask(call.path, body)

    assert (400, 1200) == (status, payload["code"])
    assert 0 == service.account.ledger.units_billed


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)
def test_speech_is_answered_at_once(dialect: Dialect) -> None:
    """
    With the sound, and in the shape of a task without `task_info`.
    """
    status, payload = Service(dialect).ask(SPEECH.path, SPEAK)

    data = payload["data"]
    (audio,) = data["task_result"]["audios"]
    assert (200, 0, "succeed", "0.05") == (status, payload["code"], data["task_status"], data["final_unit_deduction"])
    assert {"id", "url", "duration"} == audio.keys()
    assert "task_info" not in data
    assert (1000 * NOON, 1000 * NOON) == (data["created_at"], data["updated_at"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"voice_id": "nobody"}, "Voice id not found"),
        ({"text": ""}, "text cannot be empty"),
        ({"text": "x" * 1001}, "text cannot be longer than 1000 characters"),
        ({"voice_language": "fr"}, "voice_language value 'fr' is invalid"),
        ({"voice_speed": 3}, "voice_speed value '3' is invalid"),
        ({"voice_speed": "fast"}, "voice_speed value 'fast' is invalid"),
    ],
)
def test_invalid_speech_is_refused(changes: dict[str, Any], message: str) -> None:
    """
    With 1201 and the field, for nothing.
    """
    service = Service()

    status, payload = service.ask(SPEECH.path, {**SPEAK, **changes})

    assert (400, 1201, message) == (status, payload["code"], payload["message"])
    assert ({}, 0) == (service.account.ledger.calls, service.account.ledger.units_billed)


def test_calls_are_billed_and_take_no_slots() -> None:
    """
    Until the money is spent.
    """
    service = Service(units=0.1, slots=1)

    answers = [service.ask(SPEECH.path, SPEAK) for _ in range(3)]

    ledger = service.account.ledger
    assert [200, 200, 429] == [status for status, _ in answers]
    assert 1102 == answers[-1][1]["code"]
    assert ({"speech": 2}, Decimal("0.10"), {1102: 1}) == (ledger.calls, ledger.units_billed, ledger.refusals)
    assert [] == ledger.tasks
    assert len({payload["data"]["task_id"] for _, payload in answers[:2]}) == 2


def test_calls_may_be_paid_in_cash() -> None:
    """
    At the price of a video unit, as the vendor sells them.
    """
    service = Service(paid_in="cash")

    _, payload = service.ask(SPEECH.path, SPEAK)

    assert "0.007" == payload["data"]["final_balance_deduction"]["quota"]
    assert (Decimal("0.007"), 0) == (service.account.ledger.cash_billed, service.account.ledger.units_billed)


def test_calls_are_no_tasks() -> None:
    """
    They are neither listed nor read, by whatever id; tasks that are created beside them keep their own ids.
    """
    service = Service()
    _, spoken = service.ask(SPEECH.path, SPEAK)
    task = service.account.create(ImageRequest("a fox"), NOON)
    task_id = spoken["data"]["task_id"]

    assert [task] == service.account.page(1, 9)
    assert task.task_id != task_id
    assert 404 == service.ask(f"{SPEECH.path}/{task_id}", None, method="GET")[0]
    request = ApiRequest(
        target=Target("tasks"),
        method="GET",
        path="/tasks",
        query={"task_ids": task_id},
        headers={"Authorization": f"Bearer {service.account.settings.api_key}"},
    )
    reply = EmulatedApi(service.account).answer(request, NOON)
    assert isinstance(reply, ApiResponse)
    assert [] == reply.payload["data"]


def test_unknown_video_has_no_faces() -> None:
    """
    Only URLs, and ids of videos of this account.
    """
    service = Service()

    status, payload = service.ask("/v1/videos/identify-face", {"video_id": "900000000000000001"})

    assert (400, 1201, "video_id value '900000000000000001' is invalid") == (
        status,
        payload["code"],
        payload["message"],
    )


def test_both_names_of_a_video_may_be_sent() -> None:
    """
    One of them empty, as the vendor's sample has it.
    """
    body = {"video_id": "", "video_url": "https://files.example/clip.mp4"}

    status, payload = Service().ask("/v1/videos/identify-face", body)

    (face,) = payload["data"]["face_data"]
    assert 200 == status
    assert ("0", 0, 2000) == (face["face_id"], face["start_time"], face["end_time"])


def test_speech_needs_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without it the call is refused with what to install, and costs nothing.
    """
    monkeypatch.setattr(file_rendering, "find_spec", lambda _: None)
    service = Service()
    status, payload = service.ask(SPEECH.path, SPEAK)

    assert (400, 1201) == (status, payload["code"])
    assert 'pip install "kling-async[video]"' in payload["message"]
    assert 0 == service.account.ledger.units_billed


async def test_what_calls_make_can_be_fetched() -> None:
    """
    The sound, and the picture of a face.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        speech = await client.speech.generate("Hello", voice_id="oversea_male1", voice_language="en")
        session = await client.faces.identify("https://files.example/clip.mp4")
        sound = await client.read(speech.audio)
        async with aiohttp.ClientSession() as http, http.get(session.faces[0].face_image or "") as picture:
            drawn = await picture.read()

    assert (b"ID3\4", b"\x89PNG") == (sound[:4], drawn[:4])


@pytest.mark.parametrize("cursor", ["c2", "", "bnVsbA==", "WzFd", "🦊"])
def test_unknown_cursor_is_refused(cursor: str) -> None:
    """
    With 1201, like any value that is not the service's; an empty one is none, so the window is missing.
    """
    status, payload = Service().ask("/account/billing/package", {"cursor": cursor})

    assert (400, 1201) == (status, payload["code"])


def test_account_is_read_once_a_second() -> None:
    """
    More often it is refused, with the code of too many requests.
    """
    service = Service()
    window = {"start_time": "0", "end_time": f"{1000 * NOON:.0f}"}

    def read(now: float) -> tuple[int, Any]:
        target = target_of("GET", "/account/costs")
        headers = {"Authorization": f"Bearer {service.account.settings.api_key}"}
        request = ApiRequest(target=target, method="GET", path="/account/costs", query=window, headers=headers)
        reply = EmulatedApi(service.account).answer(request, now)
        assert isinstance(reply, ApiResponse)
        return reply.status, reply.payload

    answers = [read(NOON), read(NOON + 0.5), read(NOON + 1)]

    assert [0, 1302, 0] == [payload["code"] for _, payload in answers]
    (pack,) = answers[0][1]["data"]["resource_pack_subscribe_infos"]
    assert ("Emulator-1000000Units-9Con-12Months", 1_000_000.0) == (pack["resource_pack_name"], pack["total_quantity"])


def test_used_up_pack_has_run_out() -> None:
    """
    Its status says so.
    """
    service = Service(units=0.05)
    service.ask(SPEECH.path, SPEAK)

    (pack,) = packs_of(service.account, NOON)

    assert ("runOut", 0.0) == (pack["status"], pack["remaining_quantity"])
