"""
Wrong names and what they probably mean.
"""

import inspect

import attrs
import pytest

from kling_async import KlingClient
from kling_async.media.naming import ROW_FIELDS
from kling_async.wire.endpoints.registry import endpoints
from kling_async.wire.suggestions import _SYNONYMS, nearest_names, show_unknown, unknown_field_rule

IMAGE = (
    *("prompt", "negative_prompt", "image", "image_fidelity", "n", "aspect_ratio", "callback_url", "model_name"),
    *("image_reference", "human_fidelity", "resolution", "external_task_id"),
)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("model", ("model_name",)),
        ("size", ("resolution", "aspect_ratio")),
        ("num_images", ("n",)),
        ("numImages", ("n",)),
        ("ratio", ("aspect_ratio",)),
        ("aspectRatio", ("aspect_ratio",)),
        ("aspect-ratio", ("aspect_ratio",)),
        ("Aspect ratio", ("aspect_ratio",)),
        ("promt", ("prompt",)),
        ("prompts", ("prompt",)),
        ("text", ("prompt",)),
        ("negativ_prompt", ("negative_prompt",)),
        ("webhook_url", ("callback_url",)),
        ("image_url", ("image",)),
        ("aspect", ("aspect_ratio",)),
        ("fide", ("image_fidelity", "human_fidelity")),
        ("my_prompt_text", ("prompt",)),
        ("seed", ()),
        ("x", ()),
        ("", ()),
        pytest.param("x" * 100_000, (), id="long"),
    ],
)
def test_nearest_name(name: str, meant: tuple[str, ...]) -> None:
    """
    Another spelling, a typing error or another service's word; for what exists nowhere, nothing.
    """
    assert meant == nearest_names(name, IMAGE)[: len(meant) or None]


def test_words_mean_what_the_request_has() -> None:
    """
    A synonym counts only where the request has the field.
    """
    assert ("mode",) == nearest_names("quality", ("prompt", "mode"))
    assert () == nearest_names("quality", ("prompt", "sound"))


def test_every_synonym_is_a_field() -> None:
    """
    Of some request, the client, or the templates of file names, so that none is a field of the past.
    """
    fields = {field for endpoint in endpoints() for field in attrs.fields_dict(endpoint.request_class)}
    arguments = inspect.signature(KlingClient).parameters

    assert set() == {field for meant in _SYNONYMS.values() for field in meant} - fields - {*ROW_FIELDS} - {*arguments}


def test_rule_lists_the_fields() -> None:
    """
    With a question where a name is near.
    """
    assert "is not a field of Cat; did you mean fur? Its fields are fur, paws" == unknown_field_rule(
        "Cat", "furr", ("fur", "paws")
    )
    assert "is not a field of Cat. Its fields are fur, paws" == unknown_field_rule("Cat", "wings", ("fur", "paws"))


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("size", "1024x1024", "'1024x1024'"),
        ("api_key", "not-a-real-key", "<str>"),
        ("picture", b"\x89PNG", "<bytes>"),
        ("header", "Bearer not-a-real-key", "'…'"),
        ("link", "https://example.org/a.png?token=x", "'https://example.org/a.png?…'"),
        pytest.param("number", 10**5000, "<int>", id="number"),
        ("thing", Unprintable(), "<Unprintable>"),
        ("long", "a b " * 99, "'a b" + " a b" * 13 + " a …"),
    ],
)
def test_value_is_shown_without_secrets(name: str, value: object, shown: str) -> None:
    """
    The value of an unknown field may be anything: a key, a picture, a signed URL.
    """
    assert shown == show_unknown(name, value)
