"""
`client.speech`: text that is read aloud.
"""

import attrs

from kling_async.client.calls.one_shot import OneShotCalls
from kling_async.wire.calls.speech import SPEECH, Speech, SpeechRequest

__all__ = ["SpeechApi"]


@attrs.frozen(eq=False, repr=False)
class SpeechApi:
    """
    Has text read by a voice of the service's own catalogue.
    """

    _calls: OneShotCalls

    async def generate(
        self, text: str, *, voice_id: str, voice_language: str, voice_speed: float | None = None
    ) -> Speech:
        """
        Have *text* read, and return the sound. There is no task: the service answers after 10 seconds or more.

        A call costs 0.05 units, and cannot be looked up. So it is sent once: if its answer is lost, this raises
        SubmissionUncertain, and never sends it again. Cancelling this aborts it only if it has not been sent;
        otherwise it is finished, and its outcome logged as a warning.

        Args:
            text: 1 to 1000 characters.
            voice_id: Of the catalogue for speech, such as "oversea_male1"; the voices of `client.voices` are others.
            voice_language: "zh" or "en"; it must fit the voice.
            voice_speed: 0.8 to 2, with one decimal at most; None is the service's default, 1.

        Raises:
            InvalidRequest: A rule is broken, and nothing was sent; or the service does not know the voice.
            SubmissionUncertain: The text may have been read and charged.
            TaskFailed: The service could not read it; its reason is the message.
            KlingError: It was certainly not read: as for `KlingClient.submit`.
        """
        request = SpeechRequest(text, voice_id=voice_id, voice_language=voice_language, voice_speed=voice_speed)
        return await self._calls.make(SPEECH, request)
