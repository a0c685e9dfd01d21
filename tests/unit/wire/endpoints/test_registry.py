"""
The class of a request decides its endpoint.
"""

import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from kling_async import GATEWAY, OFFICIAL, Dialect, ImageRequest, OmniVideo, TextToAudio, TextToVideo
from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.endpoints import registry
from kling_async.wire.endpoints.base import Endpoint, TaskRequest
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION
from kling_async.wire.endpoints.inputs import FileFacts
from kling_async.wire.endpoints.registry import (
    broken_rules,
    caption_of,
    endpoint_named,
    endpoint_of,
    endpoints,
    model_of,
    register,
    registered,
    request_of,
)


@attrs.frozen
class Dance:
    """
    A request of an endpoint that nobody offers.
    """

    steps: int
    callback_url: str | None = None
    external_task_id: str | None = None


def rules(request: Dance, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    """
    Refuse to dance too long.
    """
    assert {} == files
    if request.steps > len(dialect.models):
        yield BrokenRule("steps", str(request.steps), "must be few")


DANCE = Endpoint(
    name="dance",
    title="dance",
    path="/v1/dances",
    request_class=Dance,
    results=("videos",),
    rules=rules,
    bucket=lambda _request, _dialect: "dances",
    caption=lambda request: f"{request.steps} steps",
)


def test_image_generation_is_registered() -> None:
    """
    It is there from the beginning, and a slot for each picture is what it takes.
    """
    assert IMAGE_GENERATION in endpoints()
    assert IMAGE_GENERATION is endpoint_of(ImageRequest) is endpoint_named("image-generation")
    assert "/v1/images/generations" == IMAGE_GENERATION.path
    assert "<Endpoint image-generation>" == repr(IMAGE_GENERATION)
    assert 9 == IMAGE_GENERATION.slots(ImageRequest("a lighthouse", n=9))


def test_made_up_endpoint_is_known_while_it_is_registered() -> None:
    """
    By its class, classes that derive from it, and its name.
    """

    @attrs.frozen
    class Waltz(Dance):
        pass

    with registered(DANCE):
        assert DANCE is endpoint_of(Dance) is endpoint_of(Waltz) is endpoint_named("dance")
        assert (BrokenRule("steps", "9", "must be few"),) == broken_rules(OFFICIAL, Dance(9))
        assert "3 steps" == caption_of(Dance(3))

    assert DANCE not in endpoints()
    with pytest.raises(InvalidRequest, match="no endpoint takes a Dance: .* one of ImageRequest"):
        endpoint_of(Dance)
    with pytest.raises(InvalidRequest, match="'dance' is not registered. Registered are image-generation"):
        endpoint_named("dance")


def test_registered_twice_changes_nothing() -> None:
    """
    A module may be imported by several ways.
    """
    register(IMAGE_GENERATION)

    assert 1 == endpoints().count(IMAGE_GENERATION)


@pytest.mark.parametrize(
    "changes", [{"name": "image-generation"}, {"path": "/v1/images/generations"}, {"request_class": ImageRequest}]
)
def test_names_paths_and_classes_are_unique(changes: dict[str, Any]) -> None:
    """
    Else a journal or an answer could be read as the wrong one.
    """
    with pytest.raises(ValueError, match="cannot be registered beside 'image-generation'"):
        register(attrs.evolve(DANCE, **changes))


@pytest.mark.parametrize(
    ("given", "fields", "meant"),
    [
        ("a cat", {}, ImageRequest("a cat")),
        ("a cat", {"n": 2}, ImageRequest("a cat", n=2)),
        (ImageRequest("a cat", n=3), {"n": 2}, ImageRequest("a cat", n=2)),
    ],
)
def test_request_is_what_a_program_means(given: object, fields: dict[str, object], meant: ImageRequest) -> None:
    """
    Text is a prompt for pictures, and fields override.
    """
    assert meant == request_of(given, fields)


def test_unknown_fields_are_named() -> None:
    """
    All at once, with their values, the names that were probably meant, and the fields, once.
    """
    with pytest.raises(InvalidRequest) as caught:
        request_of("a cat", {"zoom": 1, "size": "2k", "n": 3})

    assert ["size", "zoom"] == [broken.field for broken in caught.value.broken]
    assert (
        "size='2k': is not a field of ImageRequest; did you mean resolution or aspect_ratio?; "
        "zoom=1: is not a field of ImageRequest. Its fields are prompt, negative_prompt, image, "
    ) in caught.value.message


def test_fields_alone_are_a_request() -> None:
    """
    The prompt may be given by name, and then it is the request.
    """
    assert ImageRequest("a cat", n=2) == request_of(fields={"prompt": "a cat", "n": 2})


def test_prompt_is_needed_once() -> None:
    """
    Without one, and with two, the error says what to write, beside what else is wrong.
    """
    with pytest.raises(InvalidRequest, match="^prompt=None: is missing: give it first") as missing:
        request_of(fields={"n": 2, "ratio": "1:1"})
    with pytest.raises(InvalidRequest, match="^prompt='b': is a second prompt, beside 'a'; give one$"):
        request_of("a", {"prompt": "b"})

    assert ["prompt", "ratio"] == [broken.field for broken in missing.value.broken]
    assert ImageRequest("b") == request_of(ImageRequest("a"), {"prompt": "b"})


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("request", ImageRequest("a"), "is no field: give the request first, without a name"),
        ("timeout", 5, "is no field: `generate` and `TaskHandle.wait` take it"),
    ],
)
def test_arguments_of_others_are_explained(field: str, value: object, rule: str) -> None:
    """
    A name that belongs elsewhere is not taken for a misspelled field.
    """
    with pytest.raises(InvalidRequest) as caught:
        request_of("a cat", {field: value})

    assert [rule] == [broken.rule for broken in caught.value.broken]


@pytest.mark.parametrize("given", [None, 7, ["a cat"], b"a cat", Dance(3)])
def test_no_request_is_refused(given: object) -> None:
    """
    With the classes that are taken.
    """
    with pytest.raises(InvalidRequest, match="no endpoint takes a .*: a request is a prompt as text, or one of Image"):
        request_of(given)


def test_default_model_is_named_where_it_counts() -> None:
    """
    OFFICIAL's own default is contradictory, so that it is always named there.
    """
    lighthouse = ImageRequest("a lighthouse")

    assert lighthouse is IMAGE_GENERATION.complete(lighthouse, GATEWAY)
    assert attrs.evolve(lighthouse, model_name="kling-v3") == IMAGE_GENERATION.complete(lighthouse, OFFICIAL)
    assert ("kling-v1", "kling-v3") == tuple(IMAGE_GENERATION.bucket(lighthouse, each) for each in (GATEWAY, OFFICIAL))


def test_model_of_a_request() -> None:
    """
    The one that it names, or else that of its endpoint at this service; some endpoints have no choice.
    """
    requests: list[TaskRequest] = [ImageRequest("a"), ImageRequest("a", model_name="kling-v2"), TextToVideo("a")]
    requests.append(OmniVideo("a"))

    assert ["kling-v3", "kling-v2", "kling-v3", "kling-v3-omni"] == [model_of(each, OFFICIAL) for each in requests]
    assert GATEWAY.default_model == model_of(ImageRequest("a"), GATEWAY)
    assert model_of(TextToAudio("waves"), OFFICIAL) is None


def test_endpoints_are_loaded_when_they_are_used(tmp_path: Path) -> None:
    """
    By the class of a request or by name; another class or name, or a list of all, loads the others.
    """
    program = """
import sys
from kling_async import KlingClient, TextToVideo
from kling_async.wire import endpoint_named, endpoint_of, endpoints

def loaded(*modules):
    print([f"kling_async.wire.endpoints.{module}" in sys.modules for module in modules])

loaded("text_to_video", "avatar", "lip_sync")
print(endpoint_of(type("Derived", (TextToVideo,), {})).name, endpoint_named("avatar").name)
loaded("text_to_video", "avatar", "lip_sync")
print(*(each.name for each in endpoints()))
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)

    names = " ".join(each.name for each in endpoints())
    lines = ["[True, False, False]", "text-to-video avatar", "[True, True, False]", names]
    assert lines == ended.stdout.splitlines()


def test_order_is_that_of_the_names() -> None:
    """
    After images, the default; it does not depend on which endpoints a program has used first.
    """
    names = [each.name for each in endpoints()]

    assert ["image-generation", *sorted({*names} - {"image-generation"})] == names


@pytest.mark.parametrize("endpoint", endpoints(), ids=lambda endpoint: endpoint.name)
def test_endpoint_can_be_found_unloaded(endpoint: Endpoint[Any]) -> None:
    """
    Its module has its name, and its class of requests, which explains wrong fields before any endpoint is loaded.
    """
    assert f"kling_async.wire.endpoints.{endpoint.name.replace('-', '_')}" == endpoint.request_class.__module__
    assert inspect.getsource(endpoint.request_class).startswith("@explained\n")


@pytest.mark.parametrize("name", ["base", "registry", "Image-Generation", "image_generation", "", ".", "../avatar"])
def test_other_names_are_no_endpoints(name: str) -> None:
    """
    Nor are those of other modules of the folder.
    """
    with pytest.raises(InvalidRequest, match="is not registered"):
        endpoint_named(name)


def test_endpoints_of_the_folder_are_found() -> None:
    """
    A module in the folder is enough, as CONTRIBUTING.md says: nothing lists its endpoint.
    """
    names = [path.stem for path in Path(registry.__file__).parent.glob("*.py") if path.stem != "__init__"]
    modules = [importlib.import_module(f"kling_async.wire.endpoints.{name}") for name in names]
    declared = {value for module in modules for value in vars(module).values() if isinstance(value, Endpoint)}

    assert declared
    assert declared == set(endpoints())
