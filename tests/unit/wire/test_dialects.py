"""
What a service accepts and offers.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async.errors import InvalidRequest
from kling_async.wire.dialects import (
    DIALECTS,
    GATEWAY,
    OFFICIAL,
    Dialect,
    dialect_of,
    read_dialect,
    toml_fields,
)


def test_dialects_of_the_design() -> None:
    """
    What a dialect can do besides its limits.
    """
    assert (False, False, 1) == (GATEWAY.external_ids, GATEWAY.lists, GATEWAY.ids_per_read)
    assert (True, True, 20) == (OFFICIAL.external_ids, OFFICIAL.lists, OFFICIAL.ids_per_read)
    assert GATEWAY.default_model in GATEWAY.models
    assert OFFICIAL.default_model in OFFICIAL.models


@pytest.mark.parametrize(
    ("base_url", "dialect"),
    [
        ("https://api-singapore.klingai.com", OFFICIAL),
        ("https://api-beijing.klingai.com/", OFFICIAL),
        ("https://API.KLINGAI.COM:443/x", OFFICIAL),
        ("https://kling.ai", OFFICIAL),
        ("https://api.gpt.ge/kling", GATEWAY),
        ("https://evilklingai.com", GATEWAY),
        ("https://klingai.com.example", GATEWAY),
        ("http://127.0.0.1:8000", GATEWAY),
        ("no url", GATEWAY),
    ],
)
def test_dialect_of_a_host(base_url: str, dialect: Dialect) -> None:
    """
    The vendor's hosts speak OFFICIAL, any other GATEWAY.
    """
    assert dialect is dialect_of(base_url)


# TOML

TEXTS: Final = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1)
VALUES: Final[Mapping[object, st.SearchStrategy[Any]]] = {
    bool: st.booleans(),
    int: st.integers(1, 2**63 - 1),
    str: TEXTS,
    tuple[str, ...]: st.lists(TEXTS).map(tuple),
    float | None: st.floats(1, allow_infinity=False) | st.none(),
}


def dialects() -> st.SearchStrategy[Dialect]:
    """
    Any dialect that a file can say.
    """
    kinds = {name: kind for name, kind in get_type_hints(Dialect).items() if name != "name"}
    values = {name: VALUES[kind] if kind in VALUES else st.sampled_from(get_args(kind)) for name, kind in kinds.items()}
    values["aspect_ratios"] = st.just(("21:9", "1:1"))
    built = st.builds(Dialect, name=st.sampled_from(list(DIALECTS)), **values)
    return built.map(lambda one: attrs.evolve(one, models=(*one.models, one.default_model)))


@given(dialects())
def test_every_dialect_can_be_written_and_read(dialect: Dialect) -> None:
    """
    The file says the same, whatever its base says.
    """
    lines = [f'base = "{dialect.name}"', *(f"{name} = {text}" for name, text in toml_fields(dialect).items())]

    assert dialect == read_dialect("\n".join(lines), "a.toml")


def test_a_file_says_what_evolve_says() -> None:
    """
    A list replaces the one of the base; no limit is infinity.
    """
    text = 'base = "official"\nimage_max_ratio = inf\nprompt_max = 99\nmodels = ["kling-v3", "kling-v9"]'
    said = attrs.evolve(OFFICIAL, image_max_ratio=None, prompt_max=99, models=("kling-v3", "kling-v9"))

    assert said == read_dialect(text, "a.toml")
    assert read_dialect('base = "gateway"', "a.toml") == GATEWAY


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("prompt_max = true", "prompt_max=True: must be a whole number of at least 1"),
        ("prompt_max = 0", "prompt_max=0: must be a whole number of at least 1"),
        ("prompt_max = 2.5", "prompt_max=2.5: must be a whole number of at least 1"),
        ("prompt_max = 0x" + "f" * 9000, "prompt_max=<int>: must be a whole number of at least 1"),
        ("lists = 1", "lists=1: must be true or false"),
        ("default_model = ''", "default_model='': must be text, not empty and without control characters"),
        ("models = 'kling-v1'", "models='kling-v1': must be a list of texts, none of them empty"),
        ("models = ['kling-v1', 2]", "models=['kling-v1', 2]: must be a list of texts, none of them empty"),
        (
            "models = ['kling-v2']",
            "default_model='kling-v1': must be one of models (kling-v2), unless unknown",
        ),
        ("aspect_ratios = ['16x9']", "aspect_ratios=['16x9']: must be a list such as"),
        ("aspect_ratios = ['0:9']", "aspect_ratios=['0:9']: must be a list such as"),
        ("image_max_ratio = nan", "image_max_ratio=nan: must be a number of at least 1, or inf for no limit"),
        ("unknown_models = ['pass']", "unknown_models=['pass']: must be 'refuse' or 'pass'"),
        ("standard = 'old'", "standard='old': must be 'legacy only' or 'legacy' or 'new'"),
        ("promt_max = 500", "promt_max=500: is not a field of a dialect; did you mean prompt_max?"),
        ("external_id = true", "external_id=True: is not a field of a dialect; did you mean external_ids?"),
        ("key = 'sk-1'", "key=<str>: is not a field of a dialect. Its fields are base, prompt_max,"),
        ("name = 'mine'", "name='mine': is not a field of a dialect"),
        ("prompt_max = ", "is not a TOML file: Invalid value"),
        ("models = " + "[" * 9000, "is not a TOML file"),
    ],
)
def test_a_mistake_is_told_with_field_value_and_rule(line: str, rule: str) -> None:
    """
    Behind the name of the file; what stands in an unknown field may be a key, and is not shown.
    """
    with pytest.raises(InvalidRequest) as caught:
        read_dialect(f'base = "gateway"\n{line}\n', "a.toml")

    assert f"a.toml: {rule}" == caught.value.message[: len(rule) + 8]


def test_all_mistakes_are_told_at_once() -> None:
    """
    Each as a broken rule of its own.
    """
    text = 'base = "gatway"\nlists = "no"\nmodel = "kling-v1"\nn_max = -1\nids_per_read = 20'

    with pytest.raises(InvalidRequest) as caught:
        read_dialect(text, "a.toml")

    assert {"base", "lists", "model", "n_max"} == {rule.field for rule in caught.value.broken}
    assert all(str(rule) in caught.value.message for rule in caught.value.broken)


def test_a_file_needs_a_base() -> None:
    """
    Nothing is assumed.
    """
    with pytest.raises(InvalidRequest, match="base=<missing>: must be 'gateway' or 'official'"):
        read_dialect("prompt_max = 500", "a.toml")


def test_load_takes_a_name_or_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file that has the name of a dialect is a path; some editors begin a file with a byte order mark.
    """
    monkeypatch.chdir(tmp_path)
    Path("official").write_bytes(b'\xef\xbb\xbfbase = "gateway"\nn_max = 4\n')

    assert OFFICIAL is Dialect.load("official")
    assert attrs.evolve(GATEWAY, n_max=4) == Dialect.load(Path("official")) == Dialect.load("./official")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ofical", "ofical: No such file or directory; a dialect is gateway or official, or the path of a TOML file"),
        ("ofical", "; did you mean official?"),
        ("", "'': Is a directory"),
        (".", ".: Is a directory"),
        ("a\0b", "a\ufffdb: embedded null byte"),
        ("binary.toml", "binary.toml: is not a TOML file: it is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read(source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error says what a dialect can be.
    """
    monkeypatch.chdir(tmp_path)
    Path("binary.toml").write_bytes(b"\xff\xd8\xff")

    with pytest.raises(InvalidRequest, match=re.escape(message)):
        Dialect.load(source)
