"""
The rules of image generation: each one, per dialect.
"""

from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async.errors import BrokenRule
from kling_async.wire.codec import read_request, write_request
from kling_async.wire.dialects import GATEWAY, OFFICIAL, Dialect
from kling_async.wire.endpoints.image_generation import AspectRatio, ImageReference, ImageRequest, Model, Resolution
from kling_async.wire.endpoints.inputs import FileFacts
from kling_async.wire.endpoints.registry import broken_rules

URL = "https://pictures.example/cat.png"
PICTURE = FileFacts(1000, "png", 300, 300)

ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**5000)
    | st.floats()
    | st.text(st.characters(), max_size=600)
    | st.text(st.characters(categories=["Cs"]), max_size=3)
    | st.binary(max_size=5)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=1)
    | st.sampled_from([*Model, *AspectRatio, *ImageReference, *Resolution, URL, "http://[", "https://h:x/"])
)


def broken_fields(dialect: Dialect, request: ImageRequest, image: FileFacts | None = None) -> list[str]:
    """
    Name the fields that break a rule.
    """
    return [rule.field for rule in broken_rules(dialect, request, {} if image is None else {"image": image})]


def asking(**fields: Any) -> ImageRequest:
    """
    Make a request with *fields*, of whatever type.
    """
    return ImageRequest(**{"prompt": "a lighthouse", **fields})


@pytest.mark.parametrize("dialect", [GATEWAY, OFFICIAL])
@pytest.mark.parametrize(
    "request_",
    [
        asking(),
        asking(prompt="x"),
        asking(prompt="灯塔" * 250, negative_prompt="雾" * 200),
        asking(n=9, image_fidelity=0, human_fidelity=1.0, aspect_ratio="2:3"),
        asking(image=URL, image_fidelity=0.5),
        asking(image=URL, image_reference="face", model_name="kling-v1-5"),
        asking(image=URL, image_reference=ImageReference.SUBJECT, model_name=Model.V1_5),
        asking(model_name="kling-v1-5"),
        asking(model_name=Model.V2, aspect_ratio=AspectRatio.SQUARE),
        asking(callback_url="http://hooks.example:8080/kling?token=abc"),
        asking(negative_prompt=""),
    ],
)
def test_good_request(dialect: Dialect, request_: ImageRequest) -> None:
    """
    What both services take breaks no rule.
    """
    assert () == broken_rules(dialect, request_, {"image": PICTURE} if request_.image else None)


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"prompt": "x" * 500}, []),
        ({"prompt": "x" * 501}, ["prompt"]),
        ({"negative_prompt": "x" * 200}, []),
        ({"negative_prompt": "x" * 201}, ["negative_prompt"]),
        ({"model_name": "kling-v1"}, []),
        ({"model_name": "kling-v3"}, ["model_name"]),
        ({"model_name": "kling-v2-1"}, ["model_name"]),
        ({"aspect_ratio": "21:9"}, ["aspect_ratio"]),
        ({"resolution": "1k"}, ["resolution"]),
        ({"external_task_id": "order-17"}, ["external_task_id"]),
        ({"image": URL, "negative_prompt": "fog"}, []),
    ],
)
def test_gateway(fields: dict[str, Any], broken: list[str]) -> None:
    """
    The limits of the gateway's page.
    """
    assert broken == broken_fields(GATEWAY, asking(**fields))


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"prompt": "x" * 2500, "negative_prompt": "x" * 2500}, []),
        ({"prompt": "x" * 2501}, ["prompt"]),
        ({"negative_prompt": "x" * 2501}, ["negative_prompt"]),
        ({"model_name": "kling-v3"}, []),
        ({"model_name": "kling-v4"}, ["model_name"]),
        ({"aspect_ratio": "21:9"}, []),
        ({"aspect_ratio": "auto"}, ["aspect_ratio"]),
        ({"resolution": "2k"}, []),
        ({"resolution": "4k"}, ["resolution"]),
        ({"external_task_id": "order-17"}, []),
        ({"external_task_id": ""}, ["external_task_id"]),
        ({"external_task_id": ".."}, ["external_task_id"]),
        ({"external_task_id": "a\nb"}, ["external_task_id"]),
        ({"external_task_id": "\ud800"}, ["external_task_id"]),
        ({"external_task_id": 5}, ["external_task_id"]),
        ({"image": URL, "negative_prompt": "fog"}, ["negative_prompt"]),
    ],
)
def test_official(fields: dict[str, Any], broken: list[str]) -> None:
    """
    The limits of the vendor's own page.
    """
    assert broken == broken_fields(OFFICIAL, asking(**fields))


@pytest.mark.parametrize("dialect", [GATEWAY, OFFICIAL])
@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"prompt": ""}, ["prompt"]),
        ({"prompt": " \n"}, ["prompt"]),
        ({"prompt": None}, ["prompt"]),
        ({"prompt": b"a lighthouse"}, ["prompt"]),
        ({"prompt": "half \ud83d"}, ["prompt"]),
        ({"negative_prompt": 5}, ["negative_prompt"]),
        ({"negative_prompt": "\udc00"}, ["negative_prompt"]),
        ({"n": 0}, ["n"]),
        ({"n": 10}, ["n"]),
        ({"n": 1.0}, ["n"]),
        ({"n": "1"}, ["n"]),
        ({"n": True}, ["n"]),
        ({"n": None}, ["n"]),
        ({"image_fidelity": -0.01}, ["image_fidelity"]),
        ({"image_fidelity": 1.01}, ["image_fidelity"]),
        ({"image_fidelity": float("nan")}, ["image_fidelity"]),
        ({"image_fidelity": "0.5"}, ["image_fidelity"]),
        ({"human_fidelity": True}, ["human_fidelity"]),
        ({"human_fidelity": float("inf")}, ["human_fidelity"]),
        ({"aspect_ratio": "16x9"}, ["aspect_ratio"]),
        ({"aspect_ratio": ""}, ["aspect_ratio"]),
        ({"aspect_ratio": 1.78}, ["aspect_ratio"]),
        ({"model_name": ""}, ["model_name"]),
        ({"model_name": 2}, ["model_name"]),
        ({"image_reference": "face"}, ["image_reference"]),
        ({"image": URL, "image_reference": "style"}, ["image_reference"]),
        ({"image_reference": "style"}, ["image_reference", "image_reference"]),
        ({"image": URL, "model_name": "kling-v1-5"}, ["image_reference"]),
        ({"callback_url": "hooks.example/kling"}, ["callback_url"]),
        ({"callback_url": "/kling"}, ["callback_url"]),
        ({"callback_url": "ftp://hooks.example/kling"}, ["callback_url"]),
        ({"callback_url": "https:///kling"}, ["callback_url"]),
        ({"callback_url": "https://hooks.example/a b"}, ["callback_url"]),
        ({"callback_url": "https://hooks.example:port/"}, ["callback_url"]),
        ({"callback_url": "https://["}, ["callback_url"]),
        ({"callback_url": ""}, ["callback_url"]),
        ({"callback_url": 5}, ["callback_url"]),
    ],
)
def test_every_service(dialect: Dialect, fields: dict[str, Any], broken: list[str]) -> None:
    """
    The rules that no service differs in.
    """
    assert broken == broken_fields(dialect, asking(**fields))


@pytest.mark.parametrize(
    ("picture", "rules"),
    [
        (FileFacts(10 * 1024 * 1024, "jpg", 300, 300), []),
        (FileFacts(10 * 1024 * 1024 + 1, "jpg", 300, 300), ["at most 10485760 bytes"]),
        (FileFacts(5, None), ["must be a jpg or png"]),
        (FileFacts(5, "png"), ["damaged header"]),
        (FileFacts(5, "png", 0, 300), ["damaged header"]),
        (FileFacts(5, "png", 299, 300), ["at least 300 pixels; it has 299x300"]),
        (FileFacts(5, "png", 300, 299), ["at least 300 pixels; it has 300x299"]),
        (FileFacts(10**8, None), ["at most", "jpg or png"]),
    ],
)
@pytest.mark.parametrize("dialect", [GATEWAY, OFFICIAL])
def test_pictures(dialect: Dialect, picture: FileFacts, rules: list[str]) -> None:
    """
    The rules for a reference image: its size, its kind by content, its sides.
    """
    broken = broken_rules(dialect, asking(image=b"12345"), {"image": picture})

    assert len(rules) == len(broken)
    assert all(text in rule.rule for text, rule in zip(rules, broken, strict=True))
    assert all(BrokenRule("image", "<5 bytes>", rule.rule) == rule for rule in broken)


@pytest.mark.parametrize(
    ("width", "height", "is_good"),
    [(750, 300, True), (300, 750, True), (751, 300, False), (300, 751, False), (4000, 4000, True)],
)
def test_only_the_vendor_limits_the_ratio(width: int, height: int, *, is_good: bool) -> None:
    """
    1:2.5 to 2.5:1 is the vendor's rule; the gateway's page has none.
    """
    picture = FileFacts(5, "png", width, height)

    assert () == broken_rules(GATEWAY, asking(image=b"12345"), {"image": picture})
    assert is_good == (() == broken_rules(OFFICIAL, asking(image=b"12345"), {"image": picture}))


def test_all_broken_rules_at_once() -> None:
    """
    One look at the refusal is enough to put the whole request right.
    """
    request = asking(
        prompt="",
        negative_prompt="x" * 201,
        image=b"12345",
        image_fidelity=2,
        n=10,
        aspect_ratio="1:3",
        callback_url="nowhere",
        model_name="kling-v9",
        image_reference="style",
        human_fidelity=-1,
        resolution="8k",
        external_task_id="order-17",
        element_list=["829836802793406551"],
        watermark_info="yes",
    )

    broken = broken_fields(GATEWAY, request, FileFacts(5, None))

    assert {field.name for field in attrs.fields(ImageRequest)} == set(broken)


def test_refusal_names_field_value_and_rule() -> None:
    """
    A broken rule says what was wrong with what, shortly; a signed address shows no signature.
    """
    request = asking(prompt="x" * 501, callback_url="ftp://user:pass@hooks.example/kling?token=abc")

    prompt, address = broken_rules(GATEWAY, request)

    assert "prompt" == prompt.field
    assert 62 == len(prompt.value)
    assert "must be text of 1 to 500 characters, not all blank; it has 501" == prompt.rule
    assert "callback_url='ftp://hooks.example/kling?…': must be an absolute http(s) URL" == str(address)


def test_unknown_model_is_refused_with_the_list() -> None:
    """
    The refusal tells the models, and how to send another one all the same.
    """
    (broken,) = broken_rules(GATEWAY, asking(model_name="kling-v9"))

    assert "'kling-v9'" == broken.value
    assert "must be one of kling-v1, kling-v1-5, kling-v2;" in broken.rule
    assert 'unknown_models="pass"' in broken.rule


def test_unknown_model_passes() -> None:
    """
    A service that allows more is one `attrs.evolve` away; nonsense stays refused.
    """
    dialect = attrs.evolve(GATEWAY, unknown_models="pass")

    assert [] == broken_fields(dialect, asking(model_name="kling-v9"))
    assert ["model_name"] == broken_fields(dialect, asking(model_name=""))
    assert ["model_name"] == broken_fields(dialect, asking(model_name="\ud800"))


def test_limits_belong_to_the_dialect() -> None:
    """
    Another prompt limit, another default model: the rules follow.
    """
    dialect = attrs.evolve(GATEWAY, prompt_max=3, default_model="kling-v1-5")

    assert ["prompt", "image_reference"] == broken_fields(dialect, asking(image=URL))


def test_elements() -> None:
    """
    The newest model takes elements, ten at most with the reference image; a model that is not known may take them.
    """
    ten = list(range(1, 11))

    assert [] == broken_fields(OFFICIAL, asking(element_list=[829836802793406551], image=URL))
    assert [] == broken_fields(OFFICIAL, asking(element_list=ten))
    assert ["element_list"] == broken_fields(OFFICIAL, asking(element_list=ten, image=URL))
    assert ["element_list"] == broken_fields(OFFICIAL, asking(element_list=[1], model_name="kling-v2-1"))
    assert ["element_list"] == broken_fields(GATEWAY, asking(element_list=[1]))
    passing = attrs.evolve(GATEWAY, unknown_models="pass")
    assert [] == broken_fields(passing, asking(element_list=[1], model_name="kling-v9"))


@pytest.mark.parametrize("elements", [[0], [True], ["1"], [1.0], "1", 1])
def test_elements_are_ids(elements: Any) -> None:
    """
    An element is named by its id, a whole number.
    """
    (broken,) = broken_rules(OFFICIAL, asking(element_list=elements))

    assert "must be a list of elements' ids, which are whole numbers" == broken.rule


def test_elements_and_watermark_on_the_wire() -> None:
    """
    Both have a form of their own there, and are read back; a request without them is sent as before.
    """
    request = asking(element_list=[829836802793406551, 2], watermark_info=False)

    body = write_request(request)

    assert [{"element_id": 829836802793406551}, {"element_id": 2}] == body["element_list"]
    assert {"enabled": False} == body["watermark_info"]
    assert request == read_request(body, ImageRequest)
    assert {"prompt", "n"} == write_request(asking()).keys()


@given(
    st.sampled_from([GATEWAY, OFFICIAL, attrs.evolve(GATEWAY, unknown_models="pass", external_ids=True)]),
    st.fixed_dictionaries({field.name: ANYTHING for field in attrs.fields(ImageRequest)}),
    st.none() | st.builds(FileFacts, st.integers(0), st.sampled_from(["png", "jpg", None]), st.integers(0) | st.none()),
)
def test_any_request_is_judged(dialect: Dialect, fields: dict[str, Any], picture: FileFacts | None) -> None:
    """
    Whatever a request holds, it gets rules and no exception; each rule can be printed and names a field.
    """
    broken = broken_rules(dialect, ImageRequest(**fields), {} if picture is None else {"image": picture})

    assert {rule.field for rule in broken} <= fields.keys()
    assert all(str(rule).encode() and len(rule.value) < 200 for rule in broken)
