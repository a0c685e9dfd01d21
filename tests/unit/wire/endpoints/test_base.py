"""
One row per endpoint.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async import OFFICIAL
from kling_async.errors import InvalidRequest
from kling_async.wire.endpoints.base import ID_LENGTH, Endpoint, may_have_files, sources_of, stands_in_path, with_fields
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, ImageRequest
from kling_async.wire.endpoints.registry import model_of
from kling_async.wire.endpoints.text_to_video import TEXT_TO_VIDEO
from kling_async.wire.request_fields import RequestReader
from tests.fakes.valid_requests.every_endpoint import ENDPOINTS, NAMES, example_of, requests_of


@pytest.mark.parametrize(
    ("any_id", "path"),
    [
        ("867283741759111202", "/v1/images/generations/867283741759111202"),
        ("task_01J9ZQ4X8R7T3V5W6Y2B1C0D9E", "/v1/images/generations/task_01J9ZQ4X8R7T3V5W6Y2B1C0D9E"),
        ("../../account", "/v1/images/generations/..%2F..%2Faccount"),
        ("a?b#c d%2F", "/v1/images/generations/a%3Fb%23c%20d%252F"),
        ("订单", "/v1/images/generations/%E8%AE%A2%E5%8D%95"),
    ],
)
def test_ids_are_quoted(any_id: str, path: str) -> None:
    """
    An id cannot leave its place in the path.
    """
    assert path == IMAGE_GENERATION.one(any_id)


@pytest.mark.parametrize("any_id", ["", " ", ".", "..", "a\nb", "\ud800", "\x00", "x" * 257, "x" * 10**6])
def test_no_task_has_such_an_id(any_id: str) -> None:
    """
    What would ask for the list, for another path or for nothing is refused before it is sent.
    """
    with pytest.raises(InvalidRequest, match="task_id=") as caught:
        IMAGE_GENERATION.one(any_id)

    assert ["task_id"] == [rule.field for rule in caught.value.broken]
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def test_longest_id_fits_into_a_request() -> None:
    """
    An id of the full length, each character of which is quoted at its longest, is well below 8190 bytes.
    """
    assert len(IMAGE_GENERATION.one("\U0001f98a" * ID_LENGTH)) < 4000


@given(st.text().filter(stands_in_path))
def test_any_id_stays_in_its_place(any_id: str) -> None:
    """
    Any id that can stand in a path comes back whole from the last part of it.
    """
    head, _, last = IMAGE_GENERATION.one(any_id).rpartition("/")

    assert "/v1/images/generations" == head
    assert any_id == unquote(last)


def test_page() -> None:
    """
    Pages are counted from 1, in the vendor's words.
    """
    assert "/v1/images/generations?pageNum=2&pageSize=500" == IMAGE_GENERATION.page(2, 500)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=NAMES)
@given(data=st.data())
def test_requests_with_files_are_seen(endpoint: Endpoint[Any], data: st.DataObject) -> None:
    """
    One that has files always may have them.
    """
    request = data.draw(requests_of(endpoint))

    assert may_have_files(endpoint, request) or not sources_of(endpoint, request)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=NAMES)
def test_values_without_a_hash_are_checked(endpoint: Endpoint[Any]) -> None:
    """
    A line of JSON may have a list or an object in every field; some fields take one.
    """
    reader = RequestReader(endpoint)

    for name in reader.names:
        for value in ["std"], {"std": 1}:
            request, _ = reader.make({name: value}, Path(), is_text=False)
            assert all(rule.field for rule in endpoint.rules(request, OFFICIAL, {}))


@pytest.mark.parametrize("endpoint", [IMAGE_GENERATION, TEXT_TO_VIDEO], ids=lambda endpoint: endpoint.name)
@given(data=st.data())
def test_requests_with_one_price_key_cost_the_same(endpoint: Endpoint[Any], data: st.DataObject) -> None:
    """
    They have the same model and number of files, too.
    """
    assert endpoint.price_key is not None
    requests = data.draw(st.lists(requests_of(endpoint), min_size=20, max_size=20))
    facts = defaultdict[Any, set[Any]](set)
    for request in requests:
        if not sources_of(endpoint, request):
            price = endpoint.units(request, OFFICIAL), endpoint.units_at_most(request, OFFICIAL)
            facts[endpoint.price_key(request)].add((price, endpoint.files(request), model_of(request, OFFICIAL)))

    assert all(len(each) == 1 for each in facts.values())


def test_price_keys_are_tested() -> None:
    """
    All that there are.
    """
    assert [IMAGE_GENERATION, TEXT_TO_VIDEO] == [each for each in ENDPOINTS if each.price_key is not None]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=NAMES)
def test_other_fields_make_the_same_request_as_a_constructor(endpoint: Endpoint[Any]) -> None:
    """
    Whether they are set in a copy or given to the constructor; the request itself stays.
    """
    request = example_of(endpoint)
    before = attrs.evolve(request)

    assert attrs.evolve(request, external_task_id="ours") == with_fields(request, external_task_id="ours")
    assert before == request


def test_fields_that_are_converted_are_given_to_the_constructor() -> None:
    """
    A list of elements becomes a tuple, as it does in a new request.
    """
    assert (7,) == with_fields(ImageRequest("a"), element_list=[7]).element_list


def test_constructor_of_a_program_sees_other_fields() -> None:
    """
    A class that checks or computes something when it is constructed does so each time.
    """

    @attrs.frozen
    class Shouted(ImageRequest):
        def __attrs_post_init__(self) -> None:
            object.__setattr__(self, "negative_prompt", str(self.external_task_id).upper())

    assert "OURS" == with_fields(Shouted("a"), external_task_id="ours").negative_prompt


def test_fields_of_a_request_are_known() -> None:
    """
    An unknown one is refused, and nothing is copied.
    """
    with pytest.raises(InvalidRequest, match="prompt"):
        with_fields(ImageRequest("a"), promt="b")
