"""
`client.images`: what is in a picture.
"""

from typing import Any

import attrs

from kling_async.client.core import ClientCore
from kling_async.errors import InvalidRequest
from kling_async.media.input_files import read_reference
from kling_async.wire.calls.recognition import IMAGE_RECOGNITION, Recognition, RecognitionRequest
from kling_async.wire.endpoints.inputs import take_in
from kling_async.wire.endpoints.rules import image_rules

__all__ = ["ImagesApi"]


@attrs.frozen(eq=False, repr=False)
class ImagesApi:
    """
    Recognizes what is in pictures.
    """

    _core: ClientCore

    async def recognize(self, image: Any) -> Recognition:
        """
        Find the object, heads, faces and clothes in a picture.

        A call costs 0.1 units, and cannot be looked up. So it is sent once, as `SpeechApi.generate` says.

        Args:
            image: As `ImageRequest.image` takes it.

        Raises:
            InvalidRequest: The picture breaks a rule, and nothing was sent; or the service does not accept it.
            SubmissionUncertain: The call may have been made and charged.
            KlingError: It was certainly not made: as for `KlingClient.submit`.
        """
        dialect = self._core.dialect
        source = take_in(image, "image")
        reference = await read_reference(source, field="image", max_bytes=dialect.image_max_bytes)
        if broken := tuple(image_rules("image", source, reference.facts, dialect)):
            raise InvalidRequest("; ".join(map(str, broken)), broken=broken)
        return await self._core.calls.make(IMAGE_RECOGNITION, RecognitionRequest(reference.text))
