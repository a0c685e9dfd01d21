"""
Video extend: a video that goes on for four or five seconds more.

Facts are from the vendor's reference of early 2026 and from gateways' pages. The vendor extends only videos of models
that it has retired, so this is for gateways that still run them.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts
from kling_async.wire.endpoints.rules import address_rules, flag_rule, unicode_rules
from kling_async.wire.endpoints.video_models import UNIT_PRICE
from kling_async.wire.endpoints.video_rules import prompt_rules
from kling_async.wire.endpoints.video_source import id_of, id_rules
from kling_async.wire.field_metadata import WATERMARK
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["VIDEO_EXTEND", "VideoExtend"]


@explained
@attrs.frozen
class VideoExtend:
    """
    A longer version of a video. Nothing is checked here: `submit` checks it before anything is sent.

    The result is the whole video. Model and mode are those of the given one; both together last three minutes at most.

    Attributes:
        video_id: A `Video` of a result, or the id of one, for 30 days: of kling-v1, kling-v1-5 or kling-v1-6. A relay
            that serves its clients from several accounts may not know it.
        prompt: What happens; 2500 characters at most, 500 at some gateways.
        watermark_info: Whether to make a second file with the vendor's watermark.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    video_id: str | None = attrs.field(converter=id_of)
    prompt: str | None = attrs.field(default=None, kw_only=True, repr=shown_text)
    watermark_info: bool | None = attrs.field(default=None, kw_only=True, metadata=WATERMARK)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def _rules(request: VideoExtend, dialect: Dialect, _: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    yield from id_rules("video_id", request.video_id)
    yield from prompt_rules(request, is_required=False)
    yield from unicode_rules(request, ("prompt", "callback_url"))
    yield from flag_rule("watermark_info", request.watermark_info)
    yield from address_rules(dialect, request)


VIDEO_EXTEND: Final = Endpoint(
    name="video-extend",
    title="video extend",
    path="/v1/videos/video-extend",
    request_class=VideoExtend,
    results=("videos",),
    rules=_rules,
    bucket=lambda _request, _dialect: "video/video-extend",
    unit_price=UNIT_PRICE,
    caption=lambda request: request.prompt or "",
    timeout=1800.0,
)
"""
The price depends on the model of the given video, which the request does not say.
"""
