"""
Makes requests of the arguments of tools. The signatures are what a model sees, with the limits of the dialect.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import attrs

from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.integrations.mcp.arguments import choice, flag, number, object_of, text, whole
from kling_async.integrations.mcp.reports import FieldReport, KindReport
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint, TaskRequest, sources_of, with_sources
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageReference
from kling_async.wire.endpoints.image_to_video import IMAGE_TO_VIDEO
from kling_async.wire.endpoints.inputs import describe_source
from kling_async.wire.endpoints.registry import endpoint_named, endpoints
from kling_async.wire.endpoints.text_to_video import TEXT_TO_VIDEO
from kling_async.wire.endpoints.video_models import MODES, VideoModel
from kling_async.wire.endpoints.video_rules import PROMPT_MAX, RATIOS
from kling_async.wire.request_fields import field_names, make_request
from kling_async.wire.suggestions import show_unknown, unknown_field_rule

__all__ = ["Draft", "Drafts"]

Draft: TypeAlias = Callable[..., TaskRequest]
"""
A function whose parameters are the arguments of a tool; it returns the request.
"""

_HIDDEN: Final = ("callback_url", "external_task_id")
"""
Fields that are no business of a model: the server itself watches its tasks.
"""

_IMAGE_HELP: Final = "the path of a jpg or png file, or its http(s) URL; at least 300 pixels a side"

_ATTRIBUTE: Final = re.compile(r"^    (\w+):(.*(?:\n     .*)*)", re.MULTILINE)


@attrs.frozen
class Drafts:
    """
    The drafts for one service.

    Attributes:
        folder: Where files are saved. Relative paths of input files start there.
        is_remote: Whether the caller may be on another machine. It can then name no files but those in the folder.
    """

    dialect: Dialect
    folder: Path
    is_remote: bool = False

    def images(self) -> Draft:
        """
        Return the draft of pictures.
        """
        dialect = self.dialect

        def draft(
            prompt: Annotated[str, text("What the pictures show.", least=1, most=dialect.prompt_max)],
            n: Annotated[int, whole("Pictures to make. Each costs the price of one.", 1, dialect.n_max)] = 1,
            aspect_ratio: Annotated[str, choice("Width to height.", dialect.aspect_ratios)] = "",
            negative_prompt: Annotated[str, text("What not to show.", most=dialect.negative_prompt_max)] = "",
            model_name: Annotated[str, self._image_model()] = "",
            resolution: Annotated[str, choice("How large the pictures are.", dialect.resolutions)] = "",
            image: Annotated[str, text(f"A reference picture: {_IMAGE_HELP}.")] = "",
            image_reference: Annotated[str, choice("What to take from the image.", list(ImageReference))] = "",
            image_fidelity: Annotated[float | None, number("How closely to follow the image.", 0, 1)] = None,
            human_fidelity: Annotated[float | None, number("How closely to keep its subject.", 0, 1)] = None,
        ) -> TaskRequest:
            return self.request(IMAGE_GENERATION, locals_of(draft, locals()))

        return draft if dialect.resolutions else _without(draft, "resolution")

    def video(self) -> Draft:
        """
        Return the draft of a video, from text or from pictures.
        """
        models = f"{VideoModel.V3}, {VideoModel.V2_6} or {VideoModel.V2_5_TURBO}"

        def draft(
            prompt: Annotated[str, text("What happens.", most=PROMPT_MAX)] = "",
            image: Annotated[str, text(f"The first frame: {_IMAGE_HELP}.")] = "",
            image_tail: Annotated[str, text("The last frame, given like the first.")] = "",
            duration: Annotated[int, whole("Seconds: 5 or 10; kling-v3 takes 3 to 15. Each second costs.", 3, 15)] = 5,
            mode: Annotated[
                str, choice("std (default) is 720p, pro 1080p; 4k is for kling-v3. More costs more.", MODES)
            ] = "",
            sound: Annotated[bool | None, flag("Whether the model makes sound, which costs more.")] = None,
            aspect_ratio: Annotated[str, choice("Width to height; only for a video from text.", RATIOS)] = "",
            negative_prompt: Annotated[str, text("What not to show.", most=PROMPT_MAX)] = "",
            model_name: Annotated[
                str, text(f"Such as {models}; the default is {self.dialect.default_video_model}.")
            ] = "",
        ) -> TaskRequest:
            fields = locals_of(draft, locals())
            if not image and not image_tail:
                return self.request(TEXT_TO_VIDEO, {**fields, "image": "", "image_tail": ""})
            if aspect_ratio:
                raise _refused(
                    "aspect_ratio", repr(aspect_ratio), "must be left out: the video has its picture's ratio"
                )
            return self.request(IMAGE_TO_VIDEO, fields)

        return draft

    def any_kind(self) -> Draft:
        """
        Return the draft of a request of any kind.
        """

        def draft(
            kind: Annotated[str, choice("The kind of task.", self.kinds())],
            fields: Annotated[dict[str, Any], object_of("The request, by field; describe_kind lists the fields.")],
        ) -> TaskRequest:
            return self.request_of_kind(kind, fields)

        return draft

    def kinds(self) -> list[str]:
        """
        Return the names of all kinds of tasks.
        """
        return [endpoint.name for endpoint in endpoints()]

    def request_of_kind(self, kind: str, fields: Mapping[str, Any]) -> TaskRequest:
        """
        Return a request of any kind.

        Raises:
            InvalidRequest: There is no such kind, it has no such field, or a field cannot be read.
        """
        endpoint = endpoint_named(kind)
        known = _shown_fields(endpoint)
        unknown = [
            BrokenRule(name, show_unknown(name, value), unknown_field_rule(kind, name, known))
            for name, value in fields.items()
            if name not in known
        ]
        if unknown:
            raise InvalidRequest("; ".join(map(str, unknown)), broken=tuple(unknown))
        return self.request(endpoint, fields)

    def request(self, endpoint: Endpoint[Any], fields: Mapping[str, Any]) -> TaskRequest:
        """
        Return a request of *endpoint*. Fields that are empty are not given.

        Raises:
            InvalidRequest: A field cannot be read, or names a file that the caller may not send.
        """
        request, broken = make_request(endpoint, fields, self.folder, is_text=False)
        if broken:
            raise InvalidRequest("; ".join(map(str, broken)), broken=broken)
        paths = {
            place: self._input_path(place, source)
            for place, source in sources_of(endpoint, request).items()
            if isinstance(source, Path)
        }
        return with_sources(endpoint, request, paths) if paths else request

    def describe(self, kind: str) -> KindReport:
        """
        Return what a kind of task takes.

        Raises:
            InvalidRequest: There is no such kind.
        """
        endpoint = endpoint_named(kind)
        known = attrs.fields_dict(endpoint.request_class)
        documented = inspect.cleandoc(endpoint.request_class.__doc__ or "")
        summary, _, attributes = documented.partition("Attributes:\n")
        texts = {name: " ".join(words.split()) for name, words in _ATTRIBUTE.findall(attributes)}
        return KindReport(
            kind=kind,
            description=" ".join(summary.partition("Nothing is checked here")[0].split()),
            makes=list(endpoint.results),
            fields=[
                FieldReport(
                    name=name,
                    type=_json_type(known[name].type),
                    is_required=known[name].default is attrs.NOTHING,
                    description=texts.get(name, ""),
                )
                for name in _shown_fields(endpoint)
            ],
        )

    def _image_model(self) -> Any:
        dialect = self.dialect
        description = f"The default is {dialect.default_model}."
        if dialect.unknown_models == "pass":
            return text(f"Such as {', '.join(dialect.models)}. {description}")
        return choice(description, dialect.models)

    def _input_path(self, place: str, path: Path) -> Path:
        given = path.relative_to(self.folder) if path.is_relative_to(self.folder) else path
        if not self.is_remote:
            return given.expanduser() if given.parts[:1] and given.parts[0].startswith("~") else path
        if not path.resolve().is_relative_to(self.folder.resolve()):
            rule = f"must be a URL, or a file in {self.folder}: over HTTP, this server reads no other files"
            raise _refused(place, describe_source(path), rule)
        return path


def locals_of(draft: Draft, values: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the arguments of *draft* among its local variables.
    """
    return {name: values[name] for name in inspect.signature(draft).parameters}


def _without(draft: Draft, name: str) -> Draft:
    def reduced(**fields: Any) -> TaskRequest:
        return draft(**fields)

    signature = inspect.signature(draft)
    kept = [parameter for parameter in signature.parameters.values() if parameter.name != name]
    reduced.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return reduced


def _shown_fields(endpoint: Endpoint[Any]) -> list[str]:
    return [name for name in field_names(endpoint) if name not in _HIDDEN]


def _refused(field: str, value: str, rule: str) -> InvalidRequest:
    broken = BrokenRule(field, value, rule)
    return InvalidRequest(str(broken), broken=(broken,))


def _json_type(kind: Any) -> str:
    # The word of JSON for a type of a field; for one of several, the first that JSON has.
    words = re.findall(r"tuple|Mapping|bool|int|float|str|Path|bytes", str(kind))
    names = {"tuple": "array", "Mapping": "object", "bool": "boolean", "int": "integer", "float": "number"}
    return names.get(words[0], "string") if words else "string"
