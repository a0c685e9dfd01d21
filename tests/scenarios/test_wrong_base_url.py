"""
Addresses without a Kling API: one free read shows it, nothing is uncertain, and no slots are held.
"""

from typing import Any

import pytest

from kling_async import GATEWAY, OFFICIAL, Dialect, Failed, HttpOptions, KlingClient, PollPolicy, RetryPolicy
from kling_async.client.retries import is_no_api
from kling_async.emulator import Emulator, faults
from kling_async.errors import SubmissionUncertain, UnexpectedAnswer
from tests.fakes.scripted_server import ReceivedRequest, http_response, scripted_server
from tests.fakes.transports import TASK

PAGE = http_response(b"<!doctype html><html><body>New API</body></html>", Content_Type="text/html; charset=utf-8")
PICTURE = "https://cdn.example/lighthouse.png?signature=abc"
OF_OPENAI = http_response({"created": 1, "data": [{"url": PICTURE}]})
INVALID_URL = {"error": {"message": "Invalid URL (GET /v1/images)", "type": "invalid_request_error"}}
NO_ROUTE = http_response(INVALID_URL, "404 Not Found")
FASTAPI = http_response({"detail": "Not Found"}, "404 Not Found")

BRISK = RetryPolicy(first_delay=0.01, max_delay=0.02, give_up_after=1.0, look_for=0.1, hear_for=0.1)

BOTH = pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY], ids=lambda dialect: dialect.name)


def client_to(url: str, dialect: Dialect, key: str = "sk-0123456789", **options: Any) -> KlingClient:
    given: dict[str, Any] = {"retry": BRISK, "http": HttpOptions(), "polling": PollPolicy(first_delay=0.01)}
    return KlingClient(key, base_url=url, dialect=dialect, **{**given, **options})


def answering(create: bytes, read: bytes) -> Any:
    return lambda request: create if request.line.startswith("POST") else read


@BOTH
@pytest.mark.parametrize(
    ("create", "read"),
    [(PAGE, PAGE), (OF_OPENAI, NO_ROUTE), (OF_OPENAI, FASTAPI), (FASTAPI, FASTAPI)],
    ids=["a page for everything", "OpenAI's pictures", "OpenAI's pictures by FastAPI", "a 404 of FastAPI"],
)
async def test_address_without_a_kling_api_is_told_and_holds_nothing(
    dialect: Dialect, create: bytes, read: bytes
) -> None:
    """
    The error says what to check, the create was sent once, no task is in doubt and no slot is taken.
    """
    async with scripted_server(answering(create, read)) as server, client_to(server.url, dialect) as client:
        with pytest.raises(UnexpectedAnswer, match="base_url") as caught:
            await client.submit("a lighthouse")

        assert is_no_api(caught.value)
        assert 1 == sum(request.line.startswith("POST") for request in server.served)
        assert sum(request.line.startswith("GET") for request in server.served) <= 1
        assert 0 == sum(usage.used for usage in client.slots.values())


async def test_page_after_a_task_was_accepted_leaves_the_fate_open() -> None:
    """
    A service that has made a task is a Kling API, though all that is asked of it now is answered by a page: of a
    firewall, say, that let the create through. It is not sent again, and nothing tells the caller to.
    """
    answers = [http_response(TASK)]

    def answer(_: ReceivedRequest) -> bytes:
        return answers.pop() if answers else PAGE

    async with scripted_server(answer) as server, client_to(server.url, GATEWAY) as client:
        await client.submit("a lighthouse")
        with pytest.raises(SubmissionUncertain):
            await client.submit("a harbour")

    assert 2 == sum(request.line.startswith("POST") for request in server.served)


@BOTH
async def test_pictures_of_another_api_are_kept(dialect: Dialect) -> None:
    """
    What was paid for at the wrong address can be saved from the error.
    """
    async with scripted_server(answering(OF_OPENAI, NO_ROUTE)) as server, client_to(server.url, dialect) as client:
        with pytest.raises(UnexpectedAnswer) as caught:
            await client.submit("a lighthouse")

    assert (PICTURE,) == caught.value.urls
    assert "signature" not in str(caught.value)


async def test_stream_does_not_stall_at_an_address_without_an_api() -> None:
    """
    Forty prompts end in forty errors, though there are nine slots.
    """
    async with scripted_server(answering(PAGE, PAGE)) as server, client_to(server.url, GATEWAY, slots=9) as client:
        outcomes = [outcome async for outcome in client.stream(f"lighthouse {number}" for number in range(40))]

    assert 40 == len(outcomes)
    assert all(isinstance(outcome, Failed) and is_no_api(outcome.error) for outcome in outcomes)


async def test_page_before_a_service_that_is_there_leaves_a_doubt() -> None:
    """
    Something on the way answered a create that was accepted: it is uncertain as ever, after one read.
    """
    rules = [faults.html_after("create")]
    async with (
        Emulator(dialect=GATEWAY, faults=rules) as server,
        client_to(server.url, GATEWAY, server.api_key) as client,
    ):
        for _ in range(2):
            with pytest.raises(SubmissionUncertain):
                await client.submit("a lighthouse")

        assert 2 == len(server.ledger.tasks)
        assert 1 == server.ledger.reads  # what a read has shown is not asked again


async def test_service_that_does_not_answer_the_read_leaves_a_doubt() -> None:
    """
    A read that fails tells nothing.
    """
    unavailable = http_response(b"", "503 Service Unavailable")
    async with scripted_server(answering(PAGE, unavailable)) as server, client_to(server.url, GATEWAY) as client:
        with pytest.raises(SubmissionUncertain):
            await client.submit("a lighthouse")
