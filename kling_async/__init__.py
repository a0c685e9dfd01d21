"""
The asyncio client for Kling, which generates images, videos and sounds.

A *client* lives as long as your program, a *handle* as long as one task, a *batch* as long as its journal.
"""

import logging
from typing import TYPE_CHECKING

__version__ = "0.1.0"  # first: the modules below read it

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
from kling_async.wire.notebook_html import load_drawings_with
from kling_async.wire.tasks import Audio, Image, TaskResult, TaskSnapshot, TaskStatus, Video

if TYPE_CHECKING:
    from kling_async.batch.batch import Added, Batch
    from kling_async.batch.inputs import Keyed
    from kling_async.batch.records import Summary

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

logging.getLogger(__name__).addHandler(logging.NullHandler())


def _load_drawings() -> None:
    from kling_async.integrations import value_cards  # noqa: F401, PLC0415 (only notebooks need them)


load_drawings_with(_load_drawings)

if not TYPE_CHECKING:  # type checkers know the names from above, and that there are no others

    def __getattr__(name: str) -> object:
        # What is of batches is loaded with the first of its names, SQLite too: most programs have no batch.
        if name not in ("Added", "Batch", "Keyed", "Summary"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from kling_async.batch import batch  # noqa: PLC0415

        return getattr(batch, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
