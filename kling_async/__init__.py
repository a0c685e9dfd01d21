"""
The asyncio client for Kling, which generates images, videos and sounds.

A *client* lives as long as your program, a *handle* as long as one task, a *batch* as long as its journal.
"""

import importlib
import logging
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kling_async.batch.batch import Added, Batch
    from kling_async.batch.keyed import Keyed
    from kling_async.batch.records import Summary
    from kling_async.client.budget import Budget
    from kling_async.client.callbacks.receiver import CallbackReceiver
    from kling_async.client.client import KlingClient
    from kling_async.client.events import EventKind, TaskEvent
    from kling_async.client.handle import TaskHandle
    from kling_async.client.limits.limiter import Slots
    from kling_async.client.outcomes import Done, Failed
    from kling_async.errors import KlingError
    from kling_async.policy.http import HttpOptions
    from kling_async.policy.policies import PollPolicy, RetryPolicy, SlotPolicy
    from kling_async.policy.spending import Amount, Spent
    from kling_async.wire.auth import AccessKey
    from kling_async.wire.calls.account import Deduction, ResourcePack
    from kling_async.wire.calls.faces import Face, FaceSession
    from kling_async.wire.calls.recognition import Recognition, Segment
    from kling_async.wire.calls.speech import Speech
    from kling_async.wire.dialects import GATEWAY, OFFICIAL, Dialect
    from kling_async.wire.endpoints.avatar import Avatar
    from kling_async.wire.endpoints.custom_element import ElementRequest
    from kling_async.wire.endpoints.custom_voice import VoiceRequest
    from kling_async.wire.endpoints.expand_image import ExpandImage
    from kling_async.wire.endpoints.image_generation import AspectRatio, ImageReference, ImageRequest, Model, Resolution
    from kling_async.wire.endpoints.image_to_video import DynamicMask, ImageToVideo
    from kling_async.wire.endpoints.lip_sync import LipSync
    from kling_async.wire.endpoints.motion_control import MotionControl
    from kling_async.wire.endpoints.multi_image_to_image import MultiImageToImage
    from kling_async.wire.endpoints.omni_image import OmniImage
    from kling_async.wire.endpoints.omni_inputs import Frame, InputVideo
    from kling_async.wire.endpoints.omni_video import OmniVideo
    from kling_async.wire.endpoints.one_step_lip_sync import OneStepLipSync
    from kling_async.wire.endpoints.text_to_audio import TextToAudio
    from kling_async.wire.endpoints.text_to_video import TextToVideo
    from kling_async.wire.endpoints.video_effect import VideoEffect
    from kling_async.wire.endpoints.video_extend import VideoExtend
    from kling_async.wire.endpoints.video_models import VideoModel
    from kling_async.wire.endpoints.video_rules import Shot
    from kling_async.wire.endpoints.video_to_audio import VideoToAudio
    from kling_async.wire.endpoints.virtual_try_on import VirtualTryOn
    from kling_async.wire.library import Element, Voice
    from kling_async.wire.tasks import Audio, Image, TaskResult, TaskSnapshot, TaskStatus, Video

__version__ = "0.1.0"

__all__ = [
    "GATEWAY",
    "OFFICIAL",
    "AccessKey",
    "Added",
    "Amount",
    "AspectRatio",
    "Audio",
    "Avatar",
    "Batch",
    "Budget",
    "CallbackReceiver",
    "Deduction",
    "Dialect",
    "Done",
    "DynamicMask",
    "Element",
    "ElementRequest",
    "EventKind",
    "ExpandImage",
    "Face",
    "FaceSession",
    "Failed",
    "Frame",
    "HttpOptions",
    "Image",
    "ImageReference",
    "ImageRequest",
    "ImageToVideo",
    "InputVideo",
    "Keyed",
    "KlingClient",
    "KlingError",
    "LipSync",
    "Model",
    "MotionControl",
    "MultiImageToImage",
    "OmniImage",
    "OmniVideo",
    "OneStepLipSync",
    "PollPolicy",
    "Recognition",
    "Resolution",
    "ResourcePack",
    "RetryPolicy",
    "Segment",
    "Shot",
    "SlotPolicy",
    "Slots",
    "Speech",
    "Spent",
    "Summary",
    "TaskEvent",
    "TaskHandle",
    "TaskResult",
    "TaskSnapshot",
    "TaskStatus",
    "TextToAudio",
    "TextToVideo",
    "Video",
    "VideoEffect",
    "VideoExtend",
    "VideoModel",
    "VideoToAudio",
    "VirtualTryOn",
    "Voice",
    "VoiceRequest",
    "__version__",
]

_HOMES: Final[Mapping[str, tuple[str, ...]]] = {
    "batch.batch": ("Added", "Batch"),
    "batch.keyed": ("Keyed",),
    "batch.records": ("Summary",),
    "client.budget": ("Budget",),
    "client.callbacks.receiver": ("CallbackReceiver",),
    "client.client": ("KlingClient",),
    "client.events": ("EventKind", "TaskEvent"),
    "client.handle": ("TaskHandle",),
    "client.limits.limiter": ("Slots",),
    "client.outcomes": ("Done", "Failed"),
    "errors": ("KlingError",),
    "policy.http": ("HttpOptions",),
    "policy.policies": ("PollPolicy", "RetryPolicy", "SlotPolicy"),
    "policy.spending": ("Amount", "Spent"),
    "wire.auth": ("AccessKey",),
    "wire.calls.account": ("Deduction", "ResourcePack"),
    "wire.calls.faces": ("Face", "FaceSession"),
    "wire.calls.recognition": ("Recognition", "Segment"),
    "wire.calls.speech": ("Speech",),
    "wire.dialects": ("GATEWAY", "OFFICIAL", "Dialect"),
    "wire.endpoints.avatar": ("Avatar",),
    "wire.endpoints.custom_element": ("ElementRequest",),
    "wire.endpoints.custom_voice": ("VoiceRequest",),
    "wire.endpoints.expand_image": ("ExpandImage",),
    "wire.endpoints.image_generation": ("AspectRatio", "ImageReference", "ImageRequest", "Model", "Resolution"),
    "wire.endpoints.image_to_video": ("DynamicMask", "ImageToVideo"),
    "wire.endpoints.lip_sync": ("LipSync",),
    "wire.endpoints.motion_control": ("MotionControl",),
    "wire.endpoints.multi_image_to_image": ("MultiImageToImage",),
    "wire.endpoints.omni_image": ("OmniImage",),
    "wire.endpoints.omni_inputs": ("Frame", "InputVideo"),
    "wire.endpoints.omni_video": ("OmniVideo",),
    "wire.endpoints.one_step_lip_sync": ("OneStepLipSync",),
    "wire.endpoints.text_to_audio": ("TextToAudio",),
    "wire.endpoints.text_to_video": ("TextToVideo",),
    "wire.endpoints.video_effect": ("VideoEffect",),
    "wire.endpoints.video_extend": ("VideoExtend",),
    "wire.endpoints.video_models": ("VideoModel",),
    "wire.endpoints.video_rules": ("Shot",),
    "wire.endpoints.video_to_audio": ("VideoToAudio",),
    "wire.endpoints.virtual_try_on": ("VirtualTryOn",),
    "wire.library": ("Element", "Voice"),
    "wire.tasks": ("Audio", "Image", "TaskResult", "TaskSnapshot", "TaskStatus", "Video"),
}
"""
The modules that have the public names. Each is imported when the first of its names is used: what has no client, such
as `kling-async --help`, does without aiohttp, and most programs have no batch and do without SQLite.
"""

_loading = threading.RLock()
"""
Held while the home of a name, or a folder, is imported. Modules import each other by several ways, and threads that
begin at different ends would meet: Python then lets one go on with a module that is not complete.
"""


def _renew_lock() -> None:
    global _loading  # noqa: PLW0603 (a lock cannot be released for a thread that is gone)
    _loading = threading.RLock()


if hasattr(os, "register_at_fork"):  # a thread that holds it is not in the child, where each name would wait for ever
    os.register_at_fork(after_in_child=_renew_lock)

_FOLDERS: Final = ("batch", "client", "errors", "integrations", "media", "policy", "wire")

logging.getLogger(__name__).addHandler(logging.NullHandler())

if not TYPE_CHECKING:  # type checkers know the names from above, and that there are no others

    def __getattr__(name: str) -> object:
        home = next((home for home, names in _HOMES.items() if name in names), None)
        if home is None and name not in _FOLDERS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with _loading:
            module = importlib.import_module(f"{__name__}.{home or name}")
        value = module if home is None else getattr(module, name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
