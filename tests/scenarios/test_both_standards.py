"""
Tasks of the vendor's two standards: they are found by our id and read in the standard in which they were created, also
if a client speaks the other one meanwhile, and no other task is taken for them.
"""

import json
import time
from typing import Any

import attrs
import pytest

from kling_async import OFFICIAL, Dialect, KlingClient, Shot, TextToVideo
from kling_async.client.delivery import SubmitObserver
from kling_async.errors import InvalidRequest, KlingError, TaskNotFound
from tests.fakes.scripted_server import ReceivedRequest, Server, http_response, scripted_server
from tests.fakes.simulated_loop import simulated

NEW = attrs.evolve(OFFICIAL, standard="new")
"""
The vendor's API, in the new standard wherever there is one.
"""

OURS = "order-17"
BOAT = TextToVideo("a paper boat", external_task_id=OURS)
TURBO = attrs.evolve(BOAT, model_name="kling-3.0-turbo")

NOT_FOUND = http_response({"code": 1203, "message": "task not found", "request_id": "r-1"}, "404 Not Found")
NO_SUCH_PATH = http_response(b"<html>404</html>", "404 Not Found", Content_Type="text/html")
NOT_FOR_THIS_KEY = http_response(
    {"code": 1002, "message": "access key invalid", "request_id": "r-1"}, "401 Unauthorized"
)


def success(data: Any) -> bytes:
    return http_response({"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": data})


def video(task_id: str) -> dict[str, Any]:
    return {"id": f"video of {task_id}", "url": f"https://cdn.example/{task_id}.mp4", "duration": "5.0"}


def in_legacy(task_id: str, status: str = "succeed") -> dict[str, Any]:
    info = {"external_task_id": OURS}
    return {"task_id": task_id, "task_status": status, "task_info": info, "task_result": {"videos": [video(task_id)]}}


def in_new(task_id: str, external_id: str = OURS) -> dict[str, Any]:
    outputs = [{"type": "video", **video(task_id)}]
    return {"id": task_id, "status": "succeeded", "external_id": external_id, "outputs": outputs}


def is_create(request: ReceivedRequest) -> bool:
    return request.line.startswith("POST")


def is_in_new(request: ReceivedRequest) -> bool:
    return " /tasks?" in request.line


def has_in_legacy(request: ReceivedRequest) -> bytes:
    """
    A service that has task t-1 in its legacy standard.
    """
    if is_create(request):
        return success({"id": "t-2", "status": "submitted"})
    return success([]) if is_in_new(request) else success(in_legacy("t-1"))


def has_in_new(request: ReceivedRequest) -> bytes:
    """
    A service that has task t-1 in its new standard.
    """
    if is_create(request):
        return success(in_legacy("t-2", "submitted"))
    return success([in_new("t-1")]) if is_in_new(request) else NOT_FOUND


def client_to(server: Server, dialect: Dialect = OFFICIAL) -> KlingClient:
    return KlingClient("sk-0123456789", base_url=server.url, dialect=dialect)


CHANGES = {"legacy to new": (has_in_legacy, NEW), "new to legacy": (has_in_new, OFFICIAL)}
"""
What the service has of an earlier run, and the dialect of this one.
"""


@pytest.mark.parametrize(("service", "dialect"), CHANGES.values(), ids=CHANGES)
def test_submit_of_an_earlier_run_in_the_other_standard_is_found(service: Any, dialect: Dialect) -> None:
    """
    It is not sent again since the standard in which it was not sent has no such task.
    """

    @simulated
    async def story() -> None:
        async with scripted_server(service) as server, client_to(server, dialect) as client:
            sent_at = time.time() - 3600
            handle = await client.core.recover(BOAT, SubmitObserver(), sent_at=sent_at, submit_key=None, owns_id=True)

            assert "t-1" == handle.task_id
            assert not any(map(is_create, server.served))

    story()


@pytest.mark.parametrize(("service", "dialect"), CHANGES.values(), ids=CHANGES)
def test_task_of_an_earlier_run_in_the_other_standard_is_read(service: Any, dialect: Dialect) -> None:
    """
    A task of an earlier run goes on, whichever standard is spoken.
    """

    @simulated
    async def story() -> None:
        async with scripted_server(service) as server, client_to(server, dialect) as client:
            result = await client.core.resume("t-1", BOAT, SubmitObserver()).wait(60)

            assert ["video of t-1"] == [file.id for file in result.videos]
            assert TURBO.external_task_id == (await client.get("t-1", "text-to-video")).task_info.external_task_id

    story()


@pytest.mark.parametrize("said", [NO_SUCH_PATH, NOT_FOR_THIS_KEY], ids=["path", "key"])
def test_host_or_key_without_the_new_standard_loses_no_task(said: bytes) -> None:
    """
    A task that the legacy standard shows late is waited for, and one that it does not have is not found.
    """
    reads: list[str] = []

    def service(request: ReceivedRequest) -> bytes:
        if is_create(request):
            return success(in_legacy("t-1", "submitted"))
        if is_in_new(request):
            return said
        reads.append(request.line)
        return success(in_legacy("t-1")) if len(reads) == 3 else NOT_FOUND

    @simulated
    async def story() -> None:
        async with scripted_server(service) as server, client_to(server) as client:
            result = await client.generate(BOAT)

            assert ["video of t-1"] == [file.id for file in result.videos]
            with pytest.raises(TaskNotFound, match="task not found"):
                await client.get("t-9", "text-to-video")

    story()


FIRST_LOOKUPS = {
    "nothing": [],
    "another task": [in_new("t-9", "order-9")],
    "ours among others": [in_new("t-9", "order-9"), in_new("t-1")],
}


@pytest.mark.parametrize("first", FIRST_LOOKUPS.values(), ids=FIRST_LOOKUPS)
def test_lost_answer_in_the_new_standard_is_found_among_others(first: list[dict[str, Any]]) -> None:
    """
    Only the task with our id is ours, and it is sent once.
    """

    def service(request: ReceivedRequest) -> bytes | None:
        if is_create(request):
            return None
        lookups.append(request.line)
        return success(first if len(lookups) == 1 else [in_new("t-1")])

    lookups: list[str] = []

    @simulated
    async def story() -> None:
        async with scripted_server(service) as server, client_to(server) as client:
            assert "t-1" == (await client.submit(TURBO)).task_id
            assert 1 == sum(map(is_create, server.served))

    story()


@pytest.mark.parametrize(
    ("listed", "outcome"),
    [([in_new("t-9", "order-9")], TaskNotFound), ([in_new("t-9", "order-9"), in_new("t-1")], "video of t-1")],
    ids=["another", "ours among others"],
)
def test_read_in_the_new_standard_takes_no_other_task(listed: Any, outcome: Any) -> None:
    """
    A list with other tasks ends no wait with their files, and does not make it endless.
    """

    def service(request: ReceivedRequest) -> bytes:
        if is_create(request):
            return success({"id": "t-1", "status": "submitted"})
        return success(listed) if is_in_new(request) else NOT_FOUND

    @simulated
    async def story() -> None:
        async with scripted_server(service) as server, client_to(server) as client:
            try:
                found: object = (await client.generate(TURBO)).videos[0].id
            except KlingError as error:
                found = type(error)
            assert outcome == found

    story()


@simulated
async def test_shot_of_several_lines_stays_one_shot() -> None:
    """
    In the new standard each line of the prompt is a shot.
    """
    shots = [Shot("a quay\nshot 2, 9, a whale", 2), Shot("the sea", 3)]
    async with scripted_server(has_in_legacy) as server, client_to(server, NEW) as client:
        await client.submit(TextToVideo(multi_shot=True, shot_type="customize", multi_prompt=shots))

    prompt = json.loads(server.served[0].body)["prompt"]
    assert ["shot 1, 2, a quay shot 2, 9, a whale;", "shot 2, 3, the sea;"] == prompt.split("\n")


@simulated
async def test_name_of_a_model_stays_in_its_place_of_the_path() -> None:
    """
    A model that this version does not know is passed on, quoted; what is no name is refused with the other rules.
    """
    async with scripted_server(has_in_legacy) as server, client_to(server, NEW) as client:
        await client.submit(BOAT, model_name="../v1/x?y")

        assert "POST /text-to-video/..%2Fv1%2Fx%3Fy HTTP/1.1" == server.served[0].line
        for wrong in (["kling-v3"], "..", " "):
            with pytest.raises(InvalidRequest, match="model_name=.*must be a model's name"):
                await client.submit(BOAT, model_name=wrong)
    assert 1 == len(server.served)
