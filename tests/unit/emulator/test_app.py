"""
The emulator over a real socket, met with plain aiohttp.
"""

import asyncio
import base64
import io
import json
import shutil
import socket
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import attrs
import jwt
import pytest
from PIL import Image
from yarl import URL

from kling_async.emulator import Emulator, Fault, faults
from kling_async.wire.auth import AccessKey
from kling_async.wire.dialects import GATEWAY, OFFICIAL, Dialect
from tests.fakes.eventually import eventually
from tests.fakes.gate import HELD

PATH = "/v1/images/generations"

GATEWAY_BODY = {
    "prompt": "A girl with pink hair and blue hair, shiny/glossy style, stone forest yellow, light blue and light "
    "black, fairy tale core, cyan, Ron, soft shadows, anime style",
    "model_name": "kling-v1",
    "n": 1,
}


@attrs.define
class Clock:
    """
    Simulated time: it stands until a test moves it.
    """

    now: float = 1_780_000_000.0

    def __call__(self) -> float:
        return self.now


@attrs.define
class Visitor:
    """
    Somebody with the right key, plain aiohttp, and a clock to turn. Tasks take 10 s.
    """

    server: Emulator
    session: aiohttp.ClientSession
    clock: Clock

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.session.request(method, URL(self.server.url + path, encoded=True), **options) as answer:
            return answer.status, await answer.json()

    async def create(self, prompt: str = "a lighthouse", **fields: Any) -> tuple[int, Any]:
        return await self.ask("POST", PATH, json={"prompt": prompt, **fields})

    async def send(self, body: str) -> tuple[int, Any]:
        return await self.ask("POST", PATH, data=io.BytesIO(body.encode()))

    def connections(self) -> int:
        runner = self.server._runner
        return len(runner.server.connections) if runner and runner.server else 0

    async def task_id(self, prompt: str = "a lighthouse", **fields: Any) -> str:
        return str((await self.create(prompt, **fields))[1]["data"]["task_id"])

    async def apply(self, any_id: str) -> Any:
        return (await self.ask("GET", f"{PATH}/{quote(any_id, safe='')}"))[1]["data"]

    async def picture_url(self, any_id: str) -> str:
        return str((await self.apply(any_id))["task_result"]["images"][0]["url"])


@asynccontextmanager
async def visit(*rules: Fault, dialect: Dialect = OFFICIAL, **settings: Any) -> AsyncIterator[Visitor]:
    clock = Clock()
    fixed: dict[str, Any] = {"latency": (10.0, 10.0), "picture_scale": 0.05, **settings}
    async with Emulator(clock=clock, dialect=dialect, faults=rules, **fixed) as server:
        headers = {"Authorization": f"Bearer {server.api_key}"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(5)) as session:
            yield Visitor(server, session, clock)


def check_gateway_answer(answer: Any) -> None:
    assert (0, "SUCCEED") == (answer["code"], answer["message"])
    assert isinstance(answer["request_id"], str)
    assert {"task_id", "task_status", "created_at", "updated_at"} == set(answer["data"])
    assert "submitted" == answer["data"]["task_status"]
    assert all(10**12 < answer["data"][name] < 10**13 for name in ("created_at", "updated_at"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
async def test_seeds_curl_gets_its_answer() -> None:
    """
    The documented curl command, with only host and key changed, gets the documented answer.
    """
    async with Emulator(dialect=GATEWAY) as server:
        curl = await asyncio.create_subprocess_exec(
            "curl",
            *("-sS", "-X", "POST", f"{server.url}/v1/images/generations"),
            *("-H", "Content-Type: application/json"),
            *("-H", f"Authorization: Bearer {server.api_key}"),
            *("-d", json.dumps(GATEWAY_BODY, indent=4)),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await curl.communicate()

        assert server.url.endswith("/kling")
        check_gateway_answer(json.loads(output))


async def test_seeds_snippet_gets_its_answer() -> None:
    """
    The documented Python snippet's headers and body get it too, from the standard library in a thread.
    """

    def post(url: str, key: str) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        request = urllib.request.Request(  # noqa: S310 (our own http address)
            f"{url}/v1/images/generations", json.dumps(GATEWAY_BODY).encode(), headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)

    async with Emulator(dialect=GATEWAY) as server:
        check_gateway_answer(await asyncio.to_thread(post, server.url, server.api_key))

        assert GATEWAY_BODY["prompt"] == server.ledger.tasks[0].prompt


async def test_task_from_create_to_picture() -> None:
    """
    A task is created, seen running, seen done, and its pictures are PNG files that anyone with the URL can fetch.
    """
    async with visit() as visitor, aiohttp.ClientSession() as stranger:
        task_id = await visitor.task_id(n=2, aspect_ratio="1:1")
        visitor.clock.now += 5
        running = await visitor.apply(task_id)
        visitor.clock.now += 5
        done = await visitor.apply(task_id)
        pictures = []
        for image in done["task_result"]["images"]:
            async with stranger.get(image["url"]) as answer:
                assert "image/png" == answer.content_type
                pictures.append(await answer.read())

        assert ("processing", "succeed") == (running["task_status"], done["task_status"])
        assert 2 == len(set(pictures))
        with Image.open(io.BytesIO(pictures[0])) as picture:
            assert "PNG" == picture.format
            assert picture.width == picture.height
        assert (2, 0, 16) == (
            visitor.server.ledger.downloads,
            visitor.server.ledger.downloads_with_key,
            visitor.server.ledger.units_billed,
        )


async def test_picture_url_is_checked() -> None:
    """
    A changed signature and an expired URL are 403, by the account's clock; a key that is shown to it is counted.
    """
    async with visit(url_lifetime=60.0) as visitor:
        task_id = await visitor.task_id()
        visitor.clock.now += 10
        url = await visitor.picture_url(task_id)
        async with visitor.session.get(url[:-1] + "!") as forged:
            pass
        visitor.clock.now += 60
        async with visitor.session.get(url) as late:
            pass
        async with visitor.session.get(await visitor.picture_url(task_id)) as fresh:
            pass

        assert (403, 403, 200) == (forged.status, late.status, fresh.status)
        assert 3 == visitor.server.ledger.downloads_with_key


async def test_reference_image_travels() -> None:
    """
    A real picture in Base64 is taken, and one of ten megabytes gets through to be judged.
    """
    file = io.BytesIO()
    Image.effect_noise((400, 300), 80).save(file, format="JPEG")
    image = base64.b64encode(file.getvalue()).decode()
    async with visit() as visitor:
        good, _ = await visitor.create(image=image)
        large, answer = await visitor.send(json.dumps({"prompt": "x", "image": "A" * 14_000_000}))

        assert (200, 400) == (good, large)
        assert "Image pixel is invalid" in answer["message"]


async def test_body_beyond_all_limits() -> None:
    """
    A body that no picture needs is refused with 413 before it is read to the end.
    """
    async with visit() as visitor:
        status, answer = await visitor.send("x" * 33 * 1024 * 1024)

        assert (413, 1200) == (status, answer["code"])


async def test_ids_with_odd_characters_are_found() -> None:
    """
    An external id may hold anything that can be escaped in a path or a query.
    """
    odd = "a/b c?d%e#f&ü"
    async with visit() as visitor:
        await visitor.create(external_task_id=odd)
        seen = await visitor.apply(odd)
        _, several = await visitor.ask("GET", f"/tasks?external_task_ids={quote(odd, safe='')},nope")

        assert odd == seen["task_info"]["external_task_id"]
        assert [odd] == [task["external_id"] for task in several["data"]]


async def test_lists_over_the_socket() -> None:
    """
    The vendor's list takes its page from the query.
    """
    async with visit() as visitor:
        ids = [await visitor.task_id() for _ in range(3)]
        _, page = await visitor.ask("GET", f"{PATH}?pageNum=2&pageSize=2")
        status, refused = await visitor.ask("GET", f"{PATH}?pageSize=501")

        assert [ids[0]] == [task["task_id"] for task in page["data"]]
        assert (400, 1201) == (status, refused["code"])
        assert (2, 0) == (visitor.server.ledger.list_reads, visitor.server.ledger.reads)


@pytest.mark.parametrize(("method", "path"), [("GET", PATH), ("GET", "/tasks"), ("DELETE", f"{PATH}/x"), ("PUT", "/x")])
async def test_gateway_knows_few_paths(method: str, path: str) -> None:
    """
    What a gateway does not route is its 404 error object.
    """
    async with visit(dialect=GATEWAY) as visitor:
        status, answer = await visitor.ask(method, path)

        assert 404 == status
        assert f"Invalid URL ({method} /kling{path})" == answer["error"]["message"]


async def test_signed_token_opens_the_vendors_door() -> None:
    """
    A JWT of the access key is taken for tasks, not for the new standard; an early and a late one have their codes.
    """
    pair = AccessKey("AK-of-the-tests", "a secret key of at least thirty-two bytes")
    async with visit(access_key=pair) as visitor:
        now = visitor.clock.now

        async def ask(path: str, exp: float, nbf: float) -> int:
            claims = {"iss": pair.access_key, "exp": int(exp), "nbf": int(nbf)}
            token = jwt.encode(claims, pair.secret_key, algorithm="HS256")
            _, answer = await visitor.ask("GET", path, headers={"Authorization": f"Bearer {token}"})
            return int(answer["code"])

        codes = [
            await ask(PATH, now + 1800, now - 5),
            await ask(PATH, now + 1800, now + 5),
            await ask(PATH, now - 1, now - 5),
            await ask("/tasks?task_ids=a", now + 1800, now - 5),
        ]

        assert [0, 1003, 1004, 1002] == codes
        assert pair is visitor.server.access_key


async def test_date_is_the_worlds() -> None:
    """
    The Date header tells the account's time, so that a client can find out how far its own clock is off.
    """
    async with visit() as visitor, visitor.session.get(visitor.server.url + PATH) as answer:
        assert "Thu, 28 May 2026 20:26:40 GMT" == answer.headers["Date"]


async def test_ledger_page() -> None:
    """
    The page of the ledger needs the key, and tells what was done and how many connections came.
    """
    async with visit() as visitor:
        await visitor.create("a cat")
        visitor.clock.now += 10
        url, key = visitor.server.url + "/__ledger__", {"Authorization": f"Bearer {visitor.server.api_key}"}
        async with aiohttp.ClientSession() as stranger:
            refused = [(await stranger.get(url, headers=told)).status for told in ({}, {"Authorization": "Bearer x"})]
            page = await (await stranger.get(url, headers=key)).json()

        assert [401, 401] == refused
        assert ["a cat"] == [task["prompt"] for task in page["tasks"]]
        assert (1, 8, 2) == (page["creates_received"], page["units_billed"], page["connections"])
        assert {"create 200": 1} == page["answers"]


# what goes wrong


async def test_reset_before_is_not_heard() -> None:
    """
    The connection breaks and the service has heard nothing.
    """
    async with visit(faults.reset_before("create", times=1)) as visitor:
        with pytest.raises(aiohttp.ClientError):
            await visitor.create()

        assert ([], 1) == (visitor.server.ledger.tasks, visitor.server.ledger.creates_received)
        assert 1 == visitor.server.ledger.answers["create", 0]
        assert 200 == (await visitor.create())[0]


async def test_reset_after_has_been_done() -> None:
    """
    The connection breaks and the task exists.
    """
    async with visit(faults.reset_after("create", times=1)) as visitor:
        with pytest.raises(aiohttp.ClientError):
            await visitor.create(external_task_id="order-17")

        assert "submitted" == (await visitor.apply("order-17"))["task_status"]


async def test_delay_after_holds_the_answer(gate: asyncio.Event) -> None:
    """
    The answer comes late, and what was asked is done by then.
    """
    async with visit(faults.delay_after("create", HELD)) as visitor:
        asking = asyncio.create_task(visitor.create())
        await eventually(lambda: bool(visitor.server.ledger.tasks))

        assert not asking.done()
        gate.set()
        assert 200 == (await asking)[0]


async def test_delay_before_holds_the_request(gate: asyncio.Event) -> None:
    """
    Nothing is done before the delay is over.
    """
    async with visit(faults.delay_before("create", HELD)) as visitor:
        asking = asyncio.create_task(visitor.create())
        await eventually(lambda: bool(visitor.server.ledger.creates_received))

        assert [] == visitor.server.ledger.tasks
        gate.set()
        assert 200 == (await asking)[0]


async def test_sender_who_left_is_heard_all_the_same(gate: asyncio.Event) -> None:
    """
    A request on its way arrives even if its sender gave up waiting: the task exists and will be paid for.
    """
    async with visit(faults.delay_before("create", HELD)) as visitor:
        asking = asyncio.create_task(visitor.create(external_task_id="order-17"))
        await eventually(lambda: bool(visitor.server.ledger.creates_received))
        asking.cancel()
        await asyncio.wait([asking])
        gate.set()
        await eventually(lambda: bool(visitor.server.ledger.tasks))

        assert "order-17" == visitor.server.ledger.tasks[0].external_task_id


@pytest.mark.parametrize(
    ("status", "code"), [(400, 1200), (401, 1002), (403, 1103), (404, 1203), (429, 1302), (500, 5000), (503, 5001)]
)
async def test_status_of_choice(status: int, code: int) -> None:
    """
    A refusal of any status comes in the vendor's envelope, with the code that goes with it.
    """
    async with visit(faults.status("create", status, retry_after="7")) as visitor:
        async with visitor.session.post(visitor.server.url + PATH, json={"prompt": "x"}) as answer:
            told = await answer.json()

        assert (status, code, "7") == (answer.status, told["code"], answer.headers["Retry-After"])
        assert [] == visitor.server.ledger.tasks


async def test_status_after_hides_a_success() -> None:
    """
    The answer says no, and the task exists.
    """
    async with visit(faults.status_after("create", 503)) as visitor:
        status, answer = await visitor.create()

        assert (503, 5001) == (status, answer["code"])
        assert 1 == len(visitor.server.ledger.tasks)


@pytest.mark.parametrize(
    ("rule", "status", "body"),
    [
        (faults.bare_429("create", retry_after="3"), 429, b""),
        (faults.rate_limited("create", retry_after="3"), 429, b'{"code":1302'),
        (faults.html("create"), 502, b"<!DOCTYPE html>"),
    ],
)
async def test_refusals_of_other_kinds(rule: Fault, status: int, body: bytes) -> None:
    """
    An empty 429, the vendor's rate limit and a page of HTML: none of them has made a task.
    """
    async with visit(rule) as visitor:
        async with visitor.session.post(visitor.server.url + PATH, json={"prompt": "x"}) as answer:
            told = await answer.read()

        assert status == answer.status
        assert told.startswith(body)
        assert bool(body) == bool(told)
        assert rule.retry_after == answer.headers.get("Retry-After")
        assert [] == visitor.server.ledger.tasks


async def test_html_after_hides_a_success() -> None:
    """
    A page of HTML with 200 stands where the answer should, and the task exists.
    """
    async with visit(faults.html_after("create")) as visitor:
        async with visitor.session.post(visitor.server.url + PATH, json={"prompt": "x"}) as answer:
            assert (200, "text/html") == (answer.status, answer.content_type)

        assert 1 == len(visitor.server.ledger.tasks)


async def test_truncated_answer() -> None:
    """
    The body ends before its length, and the task exists.
    """
    async with visit(faults.truncated("create")) as visitor:
        with pytest.raises(aiohttp.ClientPayloadError):
            await visitor.create()

        assert 1 == len(visitor.server.ledger.tasks)


async def test_truncated_picture() -> None:
    """
    A download may break in the middle, too.
    """
    async with visit(faults.truncated("download", times=1)) as visitor:
        task_id = await visitor.task_id()
        visitor.clock.now += 10
        url = await visitor.picture_url(task_id)
        async with visitor.session.get(url) as answer:
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        async with visitor.session.get(url) as answer:
            assert await answer.read()


async def test_share_of_a_download() -> None:
    """
    A download may break anywhere; the rest can be requested then.
    """
    async with visit(faults.truncated("download", 0.6, times=1)) as visitor:
        task_id = await visitor.task_id()
        visitor.clock.now += 10
        url = await visitor.picture_url(task_id)
        first = b""
        async with visitor.session.get(url) as answer:
            with pytest.raises(aiohttp.ClientPayloadError):
                async for piece in answer.content.iter_any():
                    first += piece
            size, tag = int(answer.headers["Content-Length"]), answer.headers["ETag"]
        async with visitor.session.get(url, headers={"Range": f"bytes={len(first)}-", "If-Match": tag}) as answer:
            rest = await answer.read()

        assert (int(0.6 * size), 206) == (len(first), answer.status)
        assert Image.open(io.BytesIO(first + rest)).convert("RGB").size


async def test_other_version_of_a_file() -> None:
    """
    The file changes between two downloads, and its ETag with it; conditions and ranges notice.
    """
    async with visit(faults.other_version(after=1), faults.no_ranges(after=3)) as visitor:
        task_id = await visitor.task_id()
        visitor.clock.now += 10
        url = await visitor.picture_url(task_id)
        answers = []
        tag = ""
        for headers in ({}, {"If-Match": "{}"}, {"If-Range": "{}"}, {}):
            asked = {name: value.format(tag) for name, value in headers.items()}
            async with visitor.session.get(url, headers={**asked, "Range": "bytes=9-"}) as answer:
                answers.append((answer.status, answer.headers["ETag"] == tag))
                tag = tag or answer.headers["ETag"]

        assert [(206, False), (412, False), (200, False), (200, False)] == answers


async def test_garbled_answer() -> None:
    """
    The body is whole and no JSON, and the task exists.
    """
    async with visit(faults.garbled("create")) as visitor:
        async with visitor.session.post(visitor.server.url + PATH, json={"prompt": "x"}) as answer:
            body = await answer.read()

        assert (200, len(body)) == (answer.status, answer.content_length)
        with pytest.raises(ValueError, match=r"."):
            json.loads(body)
        assert 1 == len(visitor.server.ledger.tasks)


async def test_stalled_answer() -> None:
    """
    Headers come and no body; the server lets go once the client has left.
    """
    async with visit(faults.stall("query", times=1)) as visitor:
        task_id = await visitor.task_id()
        async with visitor.session.get(f"{visitor.server.url}{PATH}/{task_id}") as answer:
            assert 200 == answer.status
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(answer.read(), 0.1)
        await eventually(lambda: not visitor.connections())

        assert "submitted" == (await visitor.apply(task_id))["task_status"]


async def test_fates_over_the_socket() -> None:
    """
    Failing, strange, late and lean tasks, each picked by its prompt; a stuck one never ends.
    """
    rules = [
        faults.failing_task(prompt="storm"),
        faults.unknown_status(prompt="dream"),
        faults.late_files(5, prompt="late"),
        faults.fewer_files(prompt="lean"),
        faults.stuck_task(prompt="stuck"),
    ]
    async with visit(*rules, slots=None) as visitor:
        ids = {word: await visitor.task_id(f"a {word}", n=2) for word in ("storm", "dream", "late", "lean", "stuck")}
        visitor.clock.now += 5
        dreaming = await visitor.apply(ids["dream"])
        visitor.clock.now += 5
        seen = {word: await visitor.apply(task_id) for word, task_id in ids.items()}
        visitor.clock.now += 5

        assert "painting" == dreaming["task_status"]
        assert ["failed", "succeed", "succeed", "succeed", "processing"] == [
            task["task_status"] for task in seen.values()
        ]
        assert "Failure to pass the risk control system" == seen["storm"]["task_status_msg"]
        assert {} == seen["late"]["task_result"]
        assert 2 == len((await visitor.apply(ids["late"]))["task_result"]["images"])
        assert 1 == len(seen["lean"]["task_result"]["images"])


async def test_expired_url_is_healed_by_reading() -> None:
    """
    A URL is suddenly worthless, again and again, until the task is read once more.
    """
    async with visit(faults.expired_url(times=1)) as visitor:
        task_id = await visitor.task_id()
        visitor.clock.now += 10
        old = await visitor.picture_url(task_id)
        statuses = []
        for url in (old, old, await visitor.picture_url(task_id)):
            async with visitor.session.get(url) as answer:
                statuses.append(answer.status)
        again = await visitor.picture_url(task_id)
        async with visitor.session.get(old) as answer:
            statuses.append(answer.status)
        async with visitor.session.get(again) as answer:
            statuses.append(answer.status)

        assert [403, 403, 403, 403, 200] == statuses


async def test_expired_url_of_no_task() -> None:
    """
    The rule may also meet a picture that never was.
    """
    async with visit(faults.expired_url(), faults.crazy_shape()) as visitor:
        async with visitor.session.get(visitor.server.url + "/files/nope/0.png") as answer:
            status, body = answer.status, await answer.read()

        assert (404, b"<Error>") == (status, body[:7])


async def test_seconds_in_place_of_milliseconds() -> None:
    """
    Times of all answers about tasks are in seconds.
    """
    async with visit(faults.seconds_for_times()) as visitor:
        _, created = await visitor.create()
        _, page = await visitor.ask("GET", PATH)

        assert int(visitor.clock.now) == created["data"]["created_at"] == page["data"][0]["updated_at"]


@pytest.mark.parametrize(("rule", "word"), [(faults.crazy_shape(), "succeeded"), (faults.new_api_shape(), "SUCCESS")])
async def test_reshaped_answers(rule: Fault, word: str) -> None:
    """
    A gateway that knows tasks from videos answers in its own shapes; lists and pictures are as ever.
    """
    async with visit(rule, dialect=attrs.evolve(GATEWAY, lists=True)) as visitor:
        _, created = await visitor.create(model_name="kling-v2")
        visitor.clock.now += 10
        _, seen = await visitor.ask("GET", f"{PATH}/{created['task_id']}")
        _, page = await visitor.ask("GET", PATH)

        assert ("video", "kling-v2", int(visitor.clock.now) - 10) == (
            created["object"],
            created["model"],
            created["created_at"],
        )
        assert ("success", word) == (seen["code"], seen["data"]["status"])
        assert "succeed" == page["data"][0]["task_status"]


async def test_reshaped_refusals() -> None:
    """
    New-api puts the vendor's no into a string, and leaves its own as they are.
    """
    async with visit(faults.new_api_shape(), dialect=GATEWAY, slots=1) as visitor:
        status, full = await visitor.create(n=2)
        _, unknown = await visitor.ask("GET", f"{PATH}/nope")

        _, long = await visitor.create(prompt="x" * 501)

        assert (429, "fail_to_fetch_task") == (status, full["code"])
        assert "饱和" in full["message"]
        assert 1201 == json.loads(long["message"])["code"]
        assert "task_not_exist" == unknown["code"]


async def test_crazy_refusals_are_the_vendors() -> None:
    """
    The other shape leaves refusals alone.
    """
    async with visit(faults.crazy_shape(), dialect=GATEWAY, slots=1) as visitor:
        assert 1303 == (await visitor.create(n=2))[1]["code"]


async def test_raw_socket_that_says_nothing_useful() -> None:
    """
    A connection that speaks no HTTP does no harm, and is counted.
    """
    async with visit() as visitor:
        url = URL(visitor.server.url)
        reader, writer = await asyncio.open_connection(url.host, url.port, family=socket.AF_INET)
        writer.write(b"hello?\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()

        assert 200 == (await visitor.create())[0]
        assert 2 == visitor.server.ledger.connections


async def test_upload_that_breaks_off(caplog: pytest.LogCaptureFixture) -> None:
    """
    A sender who leaves in the middle of a body has asked nothing, and leaves no noise.
    """
    async with visit() as visitor:
        url = URL(visitor.server.url)
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{{".encode())
        await eventually(lambda: bool(visitor.server.ledger.creates_received))
        writer.close()
        await writer.wait_closed()

        assert 200 == (await visitor.create())[0]
        assert 1 == len(visitor.server.ledger.tasks)
        assert [] == caplog.records


@pytest.mark.parametrize(
    ("host", "is_served"),
    [
        ("127.0.0.1:{port}", True),
        ("localhost:{port}", True),
        ("LOCALHOST.", True),
        ("kling.localhost:{port}", True),
        ("[::1]:{port}", True),
        ("192.168.1.7:{port}", True),
        ("emulator:{port}", True),
        ("", True),
        ("evil.example", False),
        ("evil.example:{port}", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("xlocalhost", False),
        ("[::1].evil.example", False),
    ],
)
@pytest.mark.parametrize("path", [PATH, "/__ledger__", "/pictures/x/0.png", "/"])
async def test_name_of_somebody_else_is_refused(path: str, host: str, is_served: bool) -> None:  # noqa: FBT001
    """
    A web page that makes a browser call this machine under the page's own name is refused, whatever it asks for; by
    addresses, names of this machine and names of your own it is served.
    """
    async with visit(host_names=["emulator"]) as visitor:
        url = URL(visitor.server.url)
        headers = {"Host": host.format(port=url.port)}
        async with visitor.session.get(url.origin() / path.lstrip("/"), headers=headers) as answer:
            assert is_served is (421 != answer.status)
            assert is_served or b"host_names" in await answer.read()
        assert is_served or not visitor.server.ledger.arrivals


async def test_watermark_over_the_socket() -> None:
    """
    The marked copy is a picture of the same size, and not the same picture.
    """
    async with visit(picture_scale=0.1) as visitor:
        _, created = await visitor.create("a cat", watermark_info={"enabled": True})
        visitor.clock.now += 10
        _, seen = await visitor.ask("GET", f"{PATH}/{created['data']['task_id']}")
        (image,) = seen["data"]["task_result"]["images"]
        plain, marked = [
            await (await visitor.session.get(URL(image[name], encoded=True), headers={})).read()
            for name in ("url", "watermark_url")
        ]

        assert plain != marked
        assert Image.open(io.BytesIO(plain)).size == Image.open(io.BytesIO(marked)).size


async def test_same_seed_same_troubles() -> None:
    """
    Two servers of one seed treat equal requests alike.
    """

    async def statuses(seed: int) -> list[int]:
        async with visit(faults.status("create", rate=0.5), seed=seed, slots=None) as visitor:
            return [(await visitor.create())[0] for _ in range(20)]

    first = await statuses(1)

    assert {200, 500} == set(first)
    assert first == await statuses(1) != await statuses(2)
