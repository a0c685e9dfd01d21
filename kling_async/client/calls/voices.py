"""
`client.voices`: voices for videos.
"""

from collections.abc import AsyncGenerator

import attrs

from kling_async.client.calls.library import create, outputs
from kling_async.client.core import ClientCore
from kling_async.client.handle import Timeout
from kling_async.wire.calls.deletes import DELETE_VOICE, VoiceToDelete
from kling_async.wire.calls.presets import PRESET_VOICES
from kling_async.wire.endpoints.custom_voice import CUSTOM_VOICE, VoiceRequest
from kling_async.wire.endpoints.video_source import video_fields
from kling_async.wire.library import Voice
from kling_async.wire.tasks import Video

__all__ = ["VoicesApi"]


@attrs.frozen(eq=False, repr=False)
class VoicesApi:
    """
    Creates, lists and deletes voices that speak in videos. For reading text aloud, `client.speech` has others.
    """

    _core: ClientCore

    async def create(
        self, voice_name: str, source: Video | str, *, timeout: float | Timeout | None = Timeout.OF_ENDPOINT
    ) -> Voice:
        """
        Create a voice, and return it once the service keeps it. It is a task like others: it costs 0.05 units, is never
        paid for twice, and `client.generate(VoiceRequest(...))` does the same.

        Args:
            voice_name: 1 to 20 characters.
            source:
                The URL of a sound or a video (mp3, wav, mp4, mov) with one clean voice, 5 to 30 seconds long, which the
                service fetches. Or a `Video` of a result, or the id of one: of kling-v2-6 with sound, of an avatar or a
                lip sync. A relay that serves its clients from several accounts may not know it.
            timeout: Seconds from acceptance; None waits for ever. The default is 600.

        Raises:
            KlingError: As `KlingClient.generate`.
        """
        request = VoiceRequest(voice_name, **video_fields(source, "voice_url"))
        result = await create(self._core, request, timeout)
        return result.voices[0]

    async def list(self, *, page_size: int = 100) -> AsyncGenerator[Voice, None]:
        """
        Yield the account's own voices, in the service's order.

        Args:
            page_size: Voices asked for at a time, 1 to 500.

        Raises:
            InvalidRequest: The service does not list them.
        """
        async for output in outputs(self._core, CUSTOM_VOICE, page_size):
            for voice in output.voices:
                yield voice

    async def presets(self, *, page_size: int = 100) -> AsyncGenerator[Voice, None]:
        """
        Yield the voices of the service itself, in its order.

        Args:
            page_size: Voices asked for at a time, 1 to 500.

        Raises:
            InvalidRequest: The service does not list them.
        """
        async for output in outputs(self._core, PRESET_VOICES, page_size):
            for voice in output.voices:
                yield voice

    async def delete(self, voice: Voice | str) -> None:
        """
        Delete a voice of the account. It is free, and sent again if the answer is lost.

        Args:
            voice: The voice, or its id.

        Raises:
            InvalidRequest: The account has no such voice, or it is deleted already.
        """
        voice_id = voice.voice_id if isinstance(voice, Voice) else voice
        await self._core.free_calls.delete(DELETE_VOICE, VoiceToDelete(voice_id))
