"""
`client.faces`: faces in videos, for lip syncs.
"""

import attrs

from kling_async.client.calls.one_shot import OneShotCalls
from kling_async.wire.calls.faces import FACE_IDENTIFICATION, FaceRequest, FaceSession
from kling_async.wire.endpoints.video_source import video_fields
from kling_async.wire.tasks import Video

__all__ = ["FacesApi"]


@attrs.frozen(eq=False, repr=False)
class FacesApi:
    """
    Finds faces in videos.
    """

    _calls: OneShotCalls

    async def identify(self, video: Video | str) -> FaceSession:
        """
        Find the faces in a video: the first step of a lip sync, whose second takes the session and one of the faces.

        A call costs 0.05 units, and cannot be looked up. So it is sent once, as `SpeechApi.generate` says.

        Args:
            video:
                A `Video` of a result, the id of one, or a URL that the service can fetch: mp4 or mov, at most 100 MB,
                2 to 60 seconds, 720p or 1080p. A `Video` is named by its id, which is good for 30 days. A relay that
                serves its clients from several accounts may not know it: pass the video's `url` there.

        Raises:
            InvalidRequest: It names no video, or a local file, and nothing was sent; or the service does not accept it.
            SubmissionUncertain: A session may have been made and charged.
            KlingError: It was certainly not made: as for `KlingClient.submit`.
        """
        return await self._calls.make(FACE_IDENTIFICATION, FaceRequest(**video_fields(video)))
