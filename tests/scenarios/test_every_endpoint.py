"""
What holds for every endpoint: valid requests are accepted and priced, and each is paid for exactly once whatever
happens on its way.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async import GATEWAY, OFFICIAL, CallbackReceiver, TextToVideo
from kling_async.emulator import Fault, faults
from kling_async.emulator.account import Account
from kling_async.emulator.api import ApiRequest, ApiResponse, EmulatedApi
from kling_async.emulator.routing import target_of
from kling_async.emulator.settings import Settings
from kling_async.errors import InvalidRequest, SubmissionUncertain
from kling_async.media.input_files import read_inputs, with_texts
from kling_async.wire import (
    Answer,
    Endpoint,
    TaskRequest,
    broken_rules,
    endpoint_named,
    endpoint_of,
    read_created,
    read_request,
    write_request,
)
from tests.fakes.clients import client_of, emulator
from tests.fakes.valid_requests.every_endpoint import ENDPOINTS, NAMES, example_of, requests_of, why_unpriced

EXAMPLES = [example_of(endpoint) for endpoint in ENDPOINTS]

LOST_ANSWERS = {
    "reset": faults.reset_after("create"),
    "503": faults.status_after("create", 503),
    "a page of HTML": faults.html_after("create"),
    "cut short": faults.truncated("create"),
    "broken JSON": faults.garbled("create"),
}
"""
The service has made the task, and its answer does not arrive.
"""


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=NAMES)
@given(data=st.data())
async def test_valid_requests_are_accepted_and_priced(endpoint: Endpoint[Any], data: st.DataObject) -> None:
    """
    A request that breaks no rule reads back as it was written, and the service takes it, for what we say it costs.
    """
    drawn = data.draw(requests_of(endpoint))
    request = endpoint.complete(drawn, OFFICIAL)
    files, broken = await read_inputs(request, OFFICIAL)
    assert () == broken
    sent = with_texts(request, files)
    assert sent == read_request(write_request(sent), endpoint.request_class)

    account = Account(Settings(dialect=OFFICIAL, slots=None))
    body = write_request(sent) if endpoint.to_body is None else endpoint.to_body(write_request(sent))
    answer = EmulatedApi(account).answer(
        ApiRequest(
            target=target_of("POST", endpoint.path),
            method="POST",
            path=endpoint.path,
            headers={"Authorization": f"Bearer {account.settings.api_key}"},
            body=body,
        ),
        now=0.0,
    )
    assert isinstance(answer, ApiResponse)
    created = read_created(Answer(answer.status, {}, answer.content()))

    record = account.find_task(created.task_id)
    assert record is not None
    assert sent == record.request
    units = endpoint.units(request, OFFICIAL)
    most = endpoint.units_at_most(request, OFFICIAL) if units is None else units
    assert record.price == (most or 0) or (units is None and record.price < (most or 0))  # by the length of an input
    assert Decimal(0) < record.price or why_unpriced(endpoint)


@pytest.mark.parametrize("trouble", LOST_ANSWERS.values(), ids=LOST_ANSWERS)
async def test_every_task_with_a_lost_answer_is_found(trouble: Fault) -> None:
    """
    On OFFICIAL each request has one task, and each caller gets its result, although no create was answered.
    """
    requests = [example for example in EXAMPLES if is_found_for_sure(example)]
    async with emulator(OFFICIAL, trouble) as server, client_of(server) as client:
        results = await asyncio.gather(*map(client.generate, requests))

        assert Counter(task.endpoint for task in server.ledger.tasks) == Counter(map(name_of, requests))
        assert {task.task_id for task in server.ledger.tasks} == {result.task_id for result in results}


@pytest.mark.parametrize("trouble", LOST_ANSWERS.values(), ids=LOST_ANSWERS)
async def test_a_task_that_may_not_be_found_is_not_sent_again(trouble: Fault) -> None:
    """
    Of some tasks it is not documented that they are found by an id of ours: they are uncertain, though one is sent.
    """
    requests = [example for example in EXAMPLES if not is_found_for_sure(example)]
    async with emulator(OFFICIAL, trouble) as server, client_of(server) as client:
        outcomes = await asyncio.gather(*map(client.generate, requests), return_exceptions=True)

        assert {SubmissionUncertain} == set(map(type, outcomes))
        assert Counter(task.endpoint for task in server.ledger.tasks) == Counter(map(name_of, requests))


async def test_a_callback_finds_what_a_lookup_does_not() -> None:
    """
    A task whose answer is lost is shown by its callback.
    """
    requests = [example for example in EXAMPLES if not is_found_for_sure(example)]
    async with serving() as receiver, emulator(OFFICIAL, faults.reset_after("create")) as server:
        async with client_of(server, callbacks=receiver) as client:
            results = await asyncio.gather(*map(client.generate, requests))

        assert {task.task_id for task in server.ledger.tasks} == {result.task_id for result in results}


@pytest.mark.parametrize("trouble", LOST_ANSWERS.values(), ids=LOST_ANSWERS)
async def test_every_task_of_the_new_standard_with_a_lost_answer_is_found(trouble: Fault) -> None:
    """
    There too each request has one task; the tasks are read, and found by our ids, with those of all endpoints.
    """
    dialect = attrs.evolve(OFFICIAL, standard="new")
    twins = [
        (each, example) for each, example in zip(ENDPOINTS, EXAMPLES, strict=True) if each.new_standard is not None
    ]
    requests = [example for _, example in twins]
    async with emulator(dialect, trouble) as server, client_of(server) as client:
        results = await asyncio.gather(*map(client.generate, requests))

        assert Counter(task.endpoint for task in server.ledger.tasks) == Counter(map(name_of, requests))
        assert {task.task_id for task in server.ledger.tasks} == {result.task_id for result in results}
        for task in server.ledger.tasks:
            found = await client.core.tasks.look_up(task.external_task_id or "", endpoint_named(task.endpoint))
            assert task.task_id == found.task_id


async def test_odd_values_are_refused_before_the_standard_is_chosen() -> None:
    """
    A model that is no text names no path.
    """
    dialect = attrs.evolve(OFFICIAL, standard="new")
    odd: Any = ["kling-v3"]
    async with emulator(dialect) as server, client_of(server) as client:
        for endpoint, example in zip(ENDPOINTS, EXAMPLES, strict=True):
            if endpoint.new_standard is not None:
                with pytest.raises(InvalidRequest, match="model_name"):
                    await client.generate(example, model_name=odd)

        assert not server.ledger.tasks


async def test_a_task_of_the_new_standard_is_picked_up_by_its_id() -> None:
    """
    Of an id nothing shows in which standard its task was created: the client asks in both.
    """
    request = TextToVideo("a boat", duration=3, model_name="kling-3.0-turbo")
    async with emulator(OFFICIAL, latency=(0.2, 0.2)) as server:
        async with client_of(server) as client:
            task_id = (await client.submit(request)).task_id
        async with client_of(server) as client:
            result = await client.handle(task_id, endpoint="text-to-video").wait()
            snapshot = await client.get(task_id, endpoint="text-to-video")

    assert (task_id, task_id) == (result.task_id, snapshot.task_id)
    assert 1 == len(result.videos)


@pytest.mark.parametrize("trouble", LOST_ANSWERS.values(), ids=LOST_ANSWERS)
async def test_a_lost_answer_of_a_gateway_is_uncertain(trouble: Fault) -> None:
    """
    On GATEWAY, which knows no ids of ours, nothing is sent again, and the error has the request.
    """
    requests = [example for example in EXAMPLES if not broken_rules(GATEWAY, example)]
    async with emulator(GATEWAY, trouble) as server, client_of(server) as client:
        outcomes = await asyncio.gather(*map(client.generate, requests), return_exceptions=True)

        assert Counter(task.endpoint for task in server.ledger.tasks) == Counter(map(name_of, requests))
        assert {SubmissionUncertain} == set(map(type, outcomes))
        assert [endpoint_of(type(request)) for request in requests] == [
            endpoint_of(type(outcome.request)) for outcome in outcomes if isinstance(outcome, SubmissionUncertain)
        ]


async def test_callbacks_settle_every_endpoint() -> None:
    """
    With callbacks, which come in any order, all results arrive; each has the lists of files that its endpoint names.
    """
    async with serving() as receiver, emulator(OFFICIAL, faults.callback_reordered()) as server:
        async with client_of(server, callbacks=receiver) as client:
            results = await asyncio.gather(*map(client.generate, EXAMPLES))

        assert dict.fromkeys(NAMES, 1) == Counter(task.endpoint for task in server.ledger.tasks)
        assert 0 < receiver.counts.received
    for endpoint, result in zip(ENDPOINTS, results, strict=True):
        assert all(getattr(result, name) for name in endpoint.results)


async def test_every_result_is_saved_whole(tmp_path: Path) -> None:
    """
    Each file of each result is saved, with the extension of its content.
    """
    async with emulator(OFFICIAL) as server, client_of(server) as client:
        results = await asyncio.gather(*map(client.generate, EXAMPLES))
        for endpoint, result in zip(ENDPOINTS, results, strict=True):
            paths = await client.save(result, tmp_path / endpoint.name)

            kinds = {"image": {".png"}, "video": {".mp4"}, "audio": {".mp3", ".wav"}}
            assert len(result.files) == len(paths)
            assert all(path.suffix in kinds[file.kind] for file, path in zip(result.files, paths, strict=True))


def is_found_for_sure(request: TaskRequest) -> bool:
    """
    Return whether the task of a request is found by an id of ours, or certainly does not exist.
    """
    endpoint = endpoint_of(type(request))
    return endpoint.external_ids and endpoint.lookup_proves_absence


def name_of(request: TaskRequest) -> str:
    """
    Return the name of the endpoint of a request.
    """
    return endpoint_of(type(request)).name


@asynccontextmanager
async def serving() -> AsyncIterator[CallbackReceiver]:
    """
    Serve a receiver of callbacks on an unused port.
    """
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    receiver = CallbackReceiver(f"http://127.0.0.1:{port}/kling")
    async with receiver.serve(port=port):
        yield receiver
