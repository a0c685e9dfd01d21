"""
Custom elements: a person or a thing that videos can show, from pictures or from a video.

Facts are from the vendor's page "Elements" of September 2026; that a task takes 5 s and costs nothing was seen live.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.custom_voice import NAME_MAX
from kling_async.wire.endpoints.inputs import (
    FileFacts,
    FileInput,
    FileSource,
    describe_source,
    take_in,
    take_in_all,
)
from kling_async.wire.endpoints.rules import address_rules, broken, image_rules, one_of, text_rule, unicode_rules
from kling_async.wire.endpoints.video_source import url_rule
from kling_async.wire.library import id_of
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["CUSTOM_ELEMENT", "DESCRIPTION_MAX", "IMAGES_MAX", "TAGS", "ElementRequest"]

DESCRIPTION_MAX: Final = 100
"""
Characters of the description of an element.
"""

IMAGES_MAX: Final = 3
"""
Further pictures of an element.
"""

TAGS: Final = tuple(f"o_{number}" for number in range(101, 109))
"""
The ids of the tags that an element can have.
"""


def _frontal_image(source: Any) -> Any:
    return take_in(source, "frontal_image")


def _refer_images(sources: Any) -> Any:
    return take_in_all(sources, "refer_images")


def _tags(tags: Any) -> Any:
    return tuple(tags) if isinstance(tags, list) else tags


def _shown_images(sources: Any) -> str:
    return f"<{len(sources)} pictures>" if isinstance(sources, tuple) else describe_source(sources)


@explained
@attrs.frozen
class ElementRequest:
    """
    A new element, which the service keeps for the account. It is made from pictures (`frontal_image` and
    `refer_images`) or from a video (`refer_video`).

    Pictures are given as in `ImageRequest.image`: jpg or png, at most 10 MiB, each side at least 300 pixels, their
    sides at most 2.5:1 at OFFICIAL.

    Attributes:
        element_name: 1 to 20 characters.
        element_description: What it is: 1 to 100 characters.
        frontal_image: A picture of it from the front.
        refer_images: 1 to 3 further pictures of it.
        refer_video: URL of a video that shows it, which the service fetches: 3 to 8 seconds, 1080p, 16:9 or 9:16, at
            most 200 MB.
        element_voice_id: The `Voice` that it speaks with, or the id of one; only with a video.
        tag_list: Ids of tags, "o_101" to "o_108".
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    element_name: str
    element_description: str = attrs.field(kw_only=True, repr=shown_text)
    frontal_image: FileSource | None = attrs.field(
        default=None, kw_only=True, converter=_frontal_image, repr=describe_source
    )
    refer_images: tuple[FileSource, ...] = attrs.field(
        default=(), kw_only=True, converter=_refer_images, repr=_shown_images
    )
    refer_video: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    element_voice_id: str | None = attrs.field(default=None, kw_only=True, converter=id_of)
    tag_list: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=_tags)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def _rules(request: ElementRequest, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    yield from text_rule("element_name", request.element_name, NAME_MAX, is_required=True)
    yield from text_rule("element_description", request.element_description, DESCRIPTION_MAX, is_required=True)
    texts = ("element_name", "element_description", "refer_video", "element_voice_id", "callback_url")
    yield from unicode_rules(request, texts)
    yield from _source_rules(request, dialect, files)
    yield from _voice_rules(request)
    tags: Any = request.tag_list
    if not isinstance(tags, tuple) or not all(isinstance(tag, str) and tag in TAGS for tag in tags):
        yield broken("tag_list", tags, f"must be a list of tags, each {one_of(TAGS)}")
    yield from address_rules(dialect, request)


def _source_rules(request: ElementRequest, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    images: Any = request.refer_images
    if request.refer_video is not None:
        yield from url_rule("refer_video", request.refer_video)
        if request.frontal_image is not None or images:
            yield broken("refer_video", request.refer_video, "cannot be combined with pictures")
        return
    if request.frontal_image is None:
        yield broken("frontal_image", None, "is required, with 1 to 3 refer_images; or a refer_video")
    if not isinstance(images, tuple) or not 1 <= len(images) <= IMAGES_MAX:
        count = f"; it has {len(images)}" if isinstance(images, tuple) else ""
        yield BrokenRule("refer_images", _shown_images(images), f"must be a list of 1 to {IMAGES_MAX} pictures{count}")
    yield from image_rules("frontal_image", request.frontal_image, files.get("frontal_image"), dialect)
    for index, image in enumerate(images if isinstance(images, tuple) else ()):
        place = f"refer_images[{index}]"
        yield from image_rules(place, image, files.get(place), dialect)


def _voice_rules(request: ElementRequest) -> Iterator[BrokenRule]:
    voice_id: Any = request.element_voice_id
    if voice_id is None:
        return
    if not isinstance(voice_id, str) or not voice_id.strip():
        yield broken("element_voice_id", voice_id, "must be the id of a voice")
    if request.refer_video is None:
        yield broken("element_voice_id", voice_id, "needs a refer_video")


def _to_body(fields: dict[str, Any]) -> dict[str, Any]:
    body = {name: value for name, value in fields.items() if name not in _NESTED}
    if "refer_video" in fields:
        body["reference_type"] = "video_refer"
        body["element_video_list"] = {"refer_videos": [{"video_url": fields["refer_video"]}]}
    else:
        body["reference_type"] = "image_refer"
        body["element_image_list"] = {
            "frontal_image": fields.get("frontal_image"),
            "refer_images": [{"image_url": image} for image in fields.get("refer_images", ())],
        }
    if "tag_list" in fields:
        body["tag_list"] = [{"tag_id": tag_id} for tag_id in fields["tag_list"]]
    return body


_NESTED: Final = ("frontal_image", "refer_images", "refer_video", "tag_list")


def _from_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    lists = ("reference_type", "element_image_list", "element_video_list", "tag_list")
    fields = {name: value for name, value in body.items() if name not in lists}
    try:
        if body["reference_type"] == "video_refer":
            (video,) = body["element_video_list"]["refer_videos"]
            fields["refer_video"] = video["video_url"]
        elif body["reference_type"] == "image_refer":
            images = body["element_image_list"]
            fields["frontal_image"] = images["frontal_image"]
            fields["refer_images"] = [image["image_url"] for image in images["refer_images"]]
        else:
            raise ValueError("reference_type must be image_refer or video_refer")
        if body.get("tag_list"):
            fields["tag_list"] = [tag["tag_id"] for tag in body["tag_list"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"a field of the element is missing: {error}") from error
    return fields


def _largest(dialect: Dialect) -> int:
    return dialect.image_max_bytes


CUSTOM_ELEMENT: Final = Endpoint(
    name="custom-element",
    title="custom element",
    path="/v1/general/advanced-custom-elements",
    request_class=ElementRequest,
    results=("elements",),
    inputs=(FileInput("frontal_image", _largest), FileInput("refer_images", _largest, is_list=True)),
    rules=_rules,
    bucket=lambda _request, _dialect: "custom-element",
    units=lambda _request, _dialect: Decimal(0),
    unit_price=Decimal("0.14"),
    to_body=_to_body,
    from_body=_from_body,
    caption=lambda request: str(request.element_name),
    several_ids=False,  # how the new standard shows elements is not known
)
"""
The number of its slots is not documented; one is counted.
"""
