"""
The objects of a client that make calls. Each is loaded when it is first used: most programs only generate.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kling_async.client.calls.account import AccountApi
    from kling_async.client.calls.elements import ElementsApi
    from kling_async.client.calls.faces import FacesApi
    from kling_async.client.calls.images import ImagesApi
    from kling_async.client.calls.speech import SpeechApi
    from kling_async.client.calls.voices import VoicesApi
    from kling_async.client.core import ClientCore

__all__ = ["HasCallApis"]


class HasCallApis:
    """
    The part of a client whose attributes make calls.
    """

    def __init__(self, core: "ClientCore") -> None:
        self.core: Final = core

    @cached_property
    def speech(self) -> "SpeechApi":
        """
        Has text read aloud.
        """
        from kling_async.client.calls.speech import SpeechApi  # noqa: PLC0415 (see above, as for the others)

        return SpeechApi(self.core.calls)

    @cached_property
    def faces(self) -> "FacesApi":
        """
        Finds faces in videos.
        """
        from kling_async.client.calls.faces import FacesApi  # noqa: PLC0415

        return FacesApi(self.core.calls)

    @cached_property
    def images(self) -> "ImagesApi":
        """
        Recognizes what is in pictures.
        """
        from kling_async.client.calls.images import ImagesApi  # noqa: PLC0415

        return ImagesApi(self.core)

    @cached_property
    def voices(self) -> "VoicesApi":
        """
        Creates, lists and deletes voices for videos.
        """
        from kling_async.client.calls.voices import VoicesApi  # noqa: PLC0415

        return VoicesApi(self.core)

    @cached_property
    def elements(self) -> "ElementsApi":
        """
        Creates, lists and deletes persons and things for videos.
        """
        from kling_async.client.calls.elements import ElementsApi  # noqa: PLC0415

        return ElementsApi(self.core)

    @cached_property
    def account(self) -> "AccountApi":
        """
        Reads the account's packs and deductions.
        """
        from kling_async.client.calls.account import AccountApi  # noqa: PLC0415

        return AccountApi(self.core.free_calls)
