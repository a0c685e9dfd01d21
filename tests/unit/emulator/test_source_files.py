"""
What the emulator makes of files that a request refers to: lengths, parents, and URLs that cannot be fetched.
"""

import base64
from decimal import Decimal
from typing import Any

import pytest

from kling_async import (
    OFFICIAL,
    Avatar,
    ImageToVideo,
    LipSync,
    OneStepLipSync,
    TextToAudio,
    TextToVideo,
    VideoToAudio,
)
from kling_async.emulator.account import Account
from kling_async.emulator.api import ApiRequest, ApiResponse, EmulatedApi
from kling_async.emulator.api_errors import ApiError
from kling_async.emulator.call_answers import answer_call
from kling_async.emulator.routing import target_of
from kling_async.emulator.settings import Settings
from kling_async.emulator.source_files import UNREACHABLE, has_unreachable_url
from kling_async.emulator.task_record import TaskRecord
from kling_async.wire.calls.faces import FACE_IDENTIFICATION
from kling_async.wire.tasks import TaskSnapshot
from tests.fakes.sounds import silence
from tests.fakes.valid_requests.pictures import PNG

URL = "https://pictures.example/cat.png"
CLIP = "https://videos.example/clip.mp4"
SOUND = "https://sounds.example/speech.mp3"
PNG_TEXT = base64.b64encode(PNG).decode()
SHORT_TEXT = base64.b64encode(silence(1)).decode()
LATER = 100.0


@pytest.fixture
def account() -> Account:
    """
    An account whose videos and sounds last a second if nothing else says how long.
    """
    return Account(Settings(dialect=OFFICIAL, slots=None, media_seconds=1.0, latency=(1.0, 1.0)))


def done(account: Account, record: TaskRecord) -> TaskSnapshot:
    """
    Return a task when it is done.
    """
    return account.snapshot_of(record, LATER)


def video_of(account: Account, seconds: int = 7) -> str:
    """
    Make a video, and return its id.
    """
    record = account.create(TextToVideo("waves", duration=seconds), 0.0)
    return done(account, record).task_result.videos[0].id or ""


def lengths(account: Account, request: Any) -> list[float | None]:
    """
    Return the lengths of the files that a request makes.
    """
    output = done(account, account.create(request, LATER - 10)).task_result
    return [*(video.duration for video in output.videos), *(audio.duration for audio in output.audios)]


def test_avatar_is_as_long_as_its_sound(account: Account) -> None:
    """
    Where that is known: of a WAV in the request, and of a sound that the account has made.
    """
    sound = done(account, account.create(TextToAudio("waves", duration=4.5), 0.0)).task_result.audios[0]

    assert [2.5] == lengths(account, Avatar(URL, sound_file=base64.b64encode(silence(2.5)).decode()))
    assert [4.5] == lengths(account, Avatar(URL, audio_id=sound))
    assert [1.0] == lengths(account, Avatar(URL, audio_id="17"))
    assert [1.0] == lengths(account, Avatar(URL, sound_file="https://sounds.example/a.wav"))


def test_price_goes_by_the_length_of_the_input(account: Account) -> None:
    """
    Which the service measures.
    """
    sound = base64.b64encode(silence(2.5)).decode()
    sync = OneStepLipSync(video_of(account, 7), audio_file=sound)

    assert Decimal(1) == account.create(Avatar(URL, sound_file=sound), LATER).price
    assert Decimal(2) == account.create(Avatar(URL, sound_file=sound, mode="pro"), LATER).price
    assert Decimal(1) == account.create(sync, LATER).price


def test_changed_video_is_as_long_as_it_was(account: Account) -> None:
    """
    Whatever the length of the sound; of a lip sync, the session leads to the video.
    """
    video_id, wav = video_of(account, 7), base64.b64encode(silence(3)).decode()
    session = answer_call(FACE_IDENTIFICATION, {"video_id": video_id}, account, LATER)

    assert 7000 == session["face_data"][0]["end_time"]
    sync = LipSync(session["session_id"], face_id="0", sound_file=wav, sound_end_time=3000)
    assert [7.0] == lengths(account, sync)
    assert [7.0] == lengths(account, OneStepLipSync(video_id, text="Hi", voice_id="oversea_male1", voice_language="en"))
    assert [7.0, 7.0] == lengths(account, VideoToAudio(video_id))
    assert [1.0, 1.0] == lengths(account, VideoToAudio(video_url=CLIP))


def test_parent_is_known(account: Account) -> None:
    """
    Only the video of a task of this account.
    """
    video_id = video_of(account)
    parent = account.parent_of(account.create(VideoToAudio(video_id), LATER))

    assert parent is not None
    assert "text-to-video" == parent.endpoint.name
    assert account.parent_of(account.create(VideoToAudio("17"), LATER)) is None
    assert account.parent_of(account.create(TextToAudio("waves"), LATER)) is None


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (VideoToAudio(video_url="https://unreachable.example/clip.mp4"), True),
        (ImageToVideo(URL, image_tail="http://nowhere.invalid:80/a.png"), True),
        (VideoToAudio(video_url=CLIP), False),
        (TextToVideo("see https://unreachable.example"), False),
        (TextToVideo("waves", callback_url="https://unreachable.example"), False),
    ],
)
def test_hosts_that_do_not_exist(request_: Any, expected: bool) -> None:  # noqa: FBT001
    """
    Names that are reserved for it stand for any URL that the service cannot fetch.
    """
    assert expected is has_unreachable_url(request_)


def test_what_cannot_be_fetched_fails_as_a_task(account: Account) -> None:
    """
    In the words that were seen; it costs nothing.
    """
    record = account.create(VideoToAudio(video_url="https://unreachable.example/clip.mp4"), 0.0)

    assert UNREACHABLE == done(account, record).task_status_msg
    assert 0 == record.units


def test_voice_of_a_text_must_exist(account: Account) -> None:
    """
    In the catalogue of speech.
    """
    with pytest.raises(ApiError, match="Voice id not found"):
        account.create(OneStepLipSync(video_url=CLIP, text="Hi", voice_id="nobody", voice_language="en"), 0.0)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/videos/lip-sync", {"input": {}}, "input.mode: must not be null"),
        ("/v1/videos/lip-sync", {"input": {"mode": "audio2video"}}, "Audio type is null"),
        ("/v1/videos/advanced-lip-sync", {"session_id": "7"}, "face_choose must have one face"),
        ("/v1/videos/avatar/image2video", {"image": URL, "sound_file": PNG_TEXT}, "Audio format is invalid"),
        ("/v1/videos/avatar/image2video", {"image": URL, "sound_file": SHORT_TEXT}, "Audio format is invalid"),
        ("/v1/videos/avatar/image2video", {"image": SHORT_TEXT, "sound_file": SOUND}, "Image pixel is invalid"),
        ("/v1/videos/avatar/image2video", {"image": URL}, "audio_id cannot be empty"),
        ("/v1/audio/video-to-audio", {}, "video_id cannot be empty"),
    ],
)
def test_refusals_have_the_words_of_the_service(path: str, body: dict[str, Any], words: str) -> None:
    """
    As far as they were seen.
    """
    api = EmulatedApi(Account(Settings(dialect=OFFICIAL)))
    headers = {"Authorization": f"Bearer {api.account.settings.api_key}"}
    target = target_of("POST", path)
    answer = api.answer(ApiRequest(target=target, method="POST", path=path, headers=headers, body=body), 0.0)

    assert isinstance(answer, ApiResponse)
    assert (400, 1201, words) == (answer.status, answer.payload["code"], answer.payload["message"])
