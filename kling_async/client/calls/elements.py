"""
`client.elements`: persons and things that videos can show.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import attrs

from kling_async.client.calls.library import create, outputs
from kling_async.client.core import ClientCore
from kling_async.client.handle import Timeout
from kling_async.wire.calls.deletes import DELETE_ELEMENT, ElementToDelete
from kling_async.wire.calls.presets import PRESET_ELEMENTS
from kling_async.wire.endpoints.custom_element import CUSTOM_ELEMENT, ElementRequest
from kling_async.wire.library import Element, Voice

__all__ = ["ElementsApi"]


@attrs.frozen(eq=False, repr=False)
class ElementsApi:
    """
    Creates, lists and deletes elements.
    """

    _core: ClientCore

    async def create(
        self,
        element_name: str,
        element_description: str,
        *,
        frontal_image: Any = None,
        refer_images: Sequence[Any] = (),
        refer_video: str | None = None,
        element_voice_id: Voice | str | None = None,
        tag_list: Sequence[str] = (),
        timeout: float | Timeout | None = Timeout.OF_ENDPOINT,
    ) -> Element:
        """
        Create an element from pictures or from a video, and return it once the service keeps it. It is a task like
        others, and is known to be free; `client.generate(ElementRequest(...))` does the same.

        Args:
            element_name: 1 to 20 characters.
            element_description: What it is: 1 to 100 characters.
            frontal_image: A picture of it from the front, as `ImageRequest.image` takes it.
            refer_images: 1 to 3 further pictures of it.
            refer_video: URL of a video that shows it, in place of the pictures: 3 to 8 seconds, 1080p, at most 200 MB.
            element_voice_id: The voice that it speaks with, or its id; only with a video.
            tag_list: Ids of tags, "o_101" to "o_108".
            timeout: Seconds from acceptance; None waits for ever. The default is 600.

        Raises:
            KlingError: As `KlingClient.generate`.
        """
        request = ElementRequest(
            element_name,
            element_description=element_description,
            frontal_image=frontal_image,
            refer_images=refer_images,
            refer_video=refer_video,
            element_voice_id=element_voice_id,
            tag_list=tag_list,
        )
        result = await create(self._core, request, timeout)
        return result.elements[0]

    async def list(self, *, page_size: int = 100) -> AsyncGenerator[Element, None]:
        """
        Yield the account's own elements, in the service's order; deleted ones have that `status`.

        Args:
            page_size: Elements asked for at a time, 1 to 500.

        Raises:
            InvalidRequest: The service does not list them.
        """
        async for output in outputs(self._core, CUSTOM_ELEMENT, page_size):
            for element in output.elements:
                yield element

    async def presets(self, *, page_size: int = 100) -> AsyncGenerator[Element, None]:
        """
        Yield the elements of the service itself, in its order.

        Args:
            page_size: Elements asked for at a time, 1 to 500.

        Raises:
            InvalidRequest: The service does not list them.
        """
        async for output in outputs(self._core, PRESET_ELEMENTS, page_size):
            for element in output.elements:
                yield element

    async def delete(self, element: Element | int) -> None:
        """
        Delete an element of the account. It is free, and sent again if the answer is lost.

        Args:
            element: The element, or its id.

        Raises:
            InvalidRequest: The account has no such element, or it is deleted already.
        """
        element_id = element.element_id if isinstance(element, Element) else element
        await self._core.free_calls.delete(DELETE_ELEMENT, ElementToDelete(element_id))
