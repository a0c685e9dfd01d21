"""
The client against the emulator, over a real socket.
"""

import asyncio
import base64
import gc
import io
import itertools
import logging
import pickle
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import PIL.Image
import pytest

from kling_async import (
    GATEWAY,
    OFFICIAL,
    AccessKey,
    AspectRatio,
    Dialect,
    Done,
    Failed,
    HttpOptions,
    ImageRequest,
    KlingClient,
    PollPolicy,
    RetryPolicy,
    SlotPolicy,
    Slots,
    TaskStatus,
    TextToVideo,
)
from kling_async.client import delivery, submitter
from kling_async.client.handle import TaskHandle
from kling_async.emulator import Emulator, faults
from kling_async.errors import (
    ClientClosed,
    ContentRefused,
    DownloadFailed,
    InvalidRequest,
    NoFreeSlot,
    NotAuthenticated,
    RateLimited,
    SubmissionUncertain,
    TaskFailed,
    TaskNotFound,
    UnexpectedAnswer,
    WaitTimeout,
)
from kling_async.media.naming import NameTemplate
from kling_async.policy.host_networks import Network
from tests.fakes.clients import EAGER
from tests.fakes.html_reader import Reader
from tests.fakes.simulated_loop import epoch_now, simulated


@pytest.fixture(params=[GATEWAY, OFFICIAL], ids=lambda dialect: dialect.name)
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Emulator]:
    async with Emulator(dialect=request.param, latency=(0.05, 0.1), pictures="plain", picture_scale=0.1) as server:
        yield server


@pytest.fixture
async def official() -> AsyncIterator[Emulator]:
    async with Emulator(dialect=OFFICIAL, latency=(0.05, 0.1), pictures="plain", picture_scale=0.1) as server:
        yield server


def client_of(server: Emulator, **options: Any) -> KlingClient:
    return KlingClient(
        server.api_key, **{"base_url": server.url, "dialect": server.dialect, "polling": EAGER, **options}
    )


@pytest.fixture
async def client(server: Emulator) -> AsyncIterator[KlingClient]:
    async with client_of(server) as client:
        yield client


def png(width: int = 320, height: int = 300) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (width, height), "teal").save(buffer, format="PNG")
    return buffer.getvalue()


class TestGenerate:
    async def test_a_prompt_becomes_pictures_on_the_disk(self, client: KlingClient, tmp_path: Path) -> None:
        """
        The main job: prompt in, real pictures out, in their order and of their shape.
        """
        result = await client.generate("a lighthouse at dusk", n=2, aspect_ratio="16:9")
        paths = await client.save(result, tmp_path)

        assert [0, 1] == [image.index for image in result.images]
        assert [f"{result.task_id}-0.png", f"{result.task_id}-1.png"] == [path.name for path in paths]
        for path in paths:
            with PIL.Image.open(path) as picture:
                picture.verify()
                assert 16 / 9 == pytest.approx(picture.width / picture.height, rel=0.1)

    async def test_fields_override_those_of_the_request(self, client: KlingClient, server: Emulator) -> None:
        """
        A request can be sent with changes, and stays as it was.
        """
        request = ImageRequest("a lighthouse", n=3)
        handle = await client.submit(request, n=1, prompt="a harbour")

        assert ("a harbour", 1) == (server.ledger.tasks[0].prompt, server.ledger.tasks[0].n)
        assert isinstance(handle.request, ImageRequest)
        assert ("a harbour", 1) == (handle.request.prompt, handle.request.n)
        assert 3 == request.n

    @pytest.mark.parametrize("form", ["bytes", "path", "data URL", "Base64", "file", "Pillow"])
    async def test_a_reference_image_is_taken_in_every_form(
        self, official: Emulator, form: str, tmp_path: Path
    ) -> None:
        """
        The service gets the same picture whatever it was given as.
        """
        path = tmp_path / "reference.png"
        path.write_bytes(png())
        text = base64.b64encode(png()).decode()
        image: Any = {
            "bytes": png(),
            "path": path,
            "data URL": f"data:image/png;base64,{text}",
            "Base64": text,
            "file": io.BytesIO(png()),
            "Pillow": PIL.Image.new("RGB", (320, 300), "teal"),
        }[form]
        async with client_of(official) as client:
            result = await client.generate("a lighthouse", image=image, image_fidelity=1.0)

        assert TaskStatus.SUCCEEDED is result.snapshot.task_status

    async def test_a_reference_of_megabytes_is_sent_without_a_warning(self, official: Emulator) -> None:
        """
        More than 1 MiB of a body goes out in pieces; at once it would make the loop wait, of which aiohttp warns.
        """
        noise = io.BytesIO()
        PIL.Image.effect_noise((1200, 1200), 90).save(noise, format="PNG")
        async with client_of(official) as client:
            result = await client.generate("a lighthouse", image=noise.getvalue())

        assert 2**20 < noise.tell()
        assert TaskStatus.SUCCEEDED is result.snapshot.task_status

    async def test_a_failed_task_raises_its_reason(self) -> None:
        """
        The service's own words are the message, never the "SUCCEED" of the envelope.
        """
        async with Emulator(latency=(0, 0), faults=[faults.failing_task("too many cats")]) as server:
            async with client_of(server) as client:
                with pytest.raises(TaskFailed, match="too many cats") as caught:
                    await client.generate("cats")

        assert caught.value.task_id == server.ledger.tasks[0].task_id
        assert caught.value.snapshot is not None
        assert TaskStatus.FAILED is caught.value.snapshot.task_status

    async def test_a_deadline_leaves_the_task_and_its_handle_alone(self) -> None:
        """
        After WaitTimeout the same task can be waited for again.
        """
        async with Emulator(latency=(0.2, 0.2)) as server, client_of(server) as client:
            with pytest.raises(WaitTimeout) as caught:
                await client.generate("a lighthouse", timeout=0.01)
            task_id = caught.value.task_id
            assert task_id is not None
            result = await client.handle(task_id)

            assert task_id == result.task_id
            assert 1 == len(server.ledger.tasks)

    async def test_words_nobody_knows_are_waited_out(self) -> None:
        """
        An unknown status is never final and never an error.
        """
        async with Emulator(latency=(0.1, 0.1), faults=[faults.unknown_status("painting")]) as server:
            async with client_of(server) as client:
                handle = await client.submit("a lighthouse")
                seen = [snapshot async for snapshot in handle.updates()]

        assert "painting" in [snapshot.status_word for snapshot in seen]
        assert TaskStatus.SUCCEEDED is seen[-1].task_status

    async def test_another_word_for_success_ends_the_wait(self) -> None:
        """
        A success word of another standard is as good as "succeed", in a poll.
        """
        async with Emulator(latency=(0, 0), faults=[faults.success_word("completed")]) as server:
            async with client_of(server) as client:
                result = await client.generate("a lighthouse")

        assert (1, "completed") == (len(result.images), result.snapshot.status_word)

    async def test_pictures_that_come_later_than_the_word_are_waited_for(self) -> None:
        """
        "succeed" without pictures is read again.
        """
        async with Emulator(latency=(0, 0), faults=[faults.late_files(0.2)]) as server, client_of(server) as client:
            result = await client.generate("a lighthouse")

        assert 1 == len(result.images)

    async def test_pictures_that_never_come_are_an_error_that_names_the_task(self) -> None:
        """
        Beyond the grace the caller hears of it.
        """
        polling = PollPolicy(first_delay=0.02, max_delay=0.05, pictures_grace=0.1)
        async with Emulator(latency=(0, 0), faults=[faults.late_files(60)]) as server:
            async with client_of(server, polling=polling) as client:
                with pytest.raises(UnexpectedAnswer) as caught:
                    await client.generate("a lighthouse")

        assert server.ledger.tasks[0].task_id == caught.value.task_id

    async def test_fewer_pictures_than_asked_are_a_result(self) -> None:
        """
        What the service made is what the caller gets.
        """
        async with Emulator(latency=(0, 0), faults=[faults.fewer_files(1)]) as server, client_of(server) as client:
            result = await client.generate("a lighthouse", n=3)

        assert 2 == len(result.images)

    @pytest.mark.parametrize("shape", [faults.crazy_shape, faults.new_api_shape, faults.seconds_for_times])
    async def test_answers_that_gateways_reshape_are_read(self, shape: Any, tmp_path: Path) -> None:
        """
        The shapes of crazyrouter and new-api lead to pictures like the vendor's own.
        """
        async with Emulator(latency=(0.05, 0.05), faults=[shape("any")], pictures="plain", picture_scale=0.1) as server:
            async with client_of(server) as client:
                paths = await client.save(await client.generate("a lighthouse"), tmp_path)

        assert 1 == len(paths)


class TestFanOut:
    @simulated
    async def test_two_hundred_gathered_prompts_run_at_full_width(self) -> None:
        """
        No create is refused, all nine slots are used, and at most 16 connections are made.
        """
        server = Emulator(dialect=OFFICIAL, latency=(0.2, 0.2), slots=9, clock=epoch_now)
        async with server, client_of(server) as client:
            results = await asyncio.gather(*(client.generate(f"lighthouse {number}") for number in range(200)))

        assert 200 == len({result.task_id for result in results})
        assert {} == server.ledger.refusals
        assert {"kling-v3": 9} == server.ledger.peak_slots
        assert 200 == server.ledger.creates_received
        assert server.ledger.connections <= 16

    async def test_requests_of_several_pictures_take_that_many_slots(self) -> None:
        """
        With n = 3 there are never more than three tasks at once.
        """
        async with Emulator(latency=(0.02, 0.05), slots=9) as server, client_of(server) as client:
            await asyncio.gather(*(client.generate(f"lighthouse {number}", n=3) for number in range(20)))

        assert {} == server.ledger.refusals
        assert {"kling-v1": 9} == server.ledger.peak_slots

    async def test_refusals_that_pass_are_waited_out(self) -> None:
        """
        A rate limit, with a body or without, costs time and nothing else.
        """
        rules = [faults.rate_limited("create", times=2), faults.bare_429("create", times=2)]
        retry = RetryPolicy(first_delay=0.01, max_delay=0.02)
        async with Emulator(latency=(0, 0), faults=rules) as server, client_of(server, retry=retry) as client:
            await client.generate("a lighthouse")

        assert 5 == server.ledger.creates_received
        assert 1 == len(server.ledger.tasks)

    async def test_slots_used_by_others_are_refused_only_for_a_while(self) -> None:
        """
        If no task of this client runs and the refusals last, the caller gets NoFreeSlot.
        """
        retry = RetryPolicy(first_delay=0.01, max_delay=0.02, refused_for=0.1)
        async with Emulator(latency=(30, 30), slots=1) as server:
            async with client_of(server) as other, client_of(server, retry=retry) as client:
                await other.submit("a lighthouse")
                with pytest.raises(NoFreeSlot):
                    await client.submit("a harbour")

        assert 1 == len(server.ledger.tasks)

    async def test_retry_after_above_the_limit_goes_to_the_caller(self) -> None:
        """
        The error has the seconds that the service asked for.
        """
        rule = faults.rate_limited("create", retry_after="3600")
        async with Emulator(faults=[rule]) as server, client_of(server) as client:
            with pytest.raises(RateLimited) as caught:
                await client.submit("a lighthouse")

        assert 3600.0 == caught.value.retry_after

    async def test_slots_are_shared_between_clients_of_one_account(self) -> None:
        """
        Two clients with the same Slots never take more than there are.
        """
        slots = Slots(2)
        async with Emulator(latency=(0.02, 0.02), slots=2) as server:
            async with client_of(server, slots=slots) as one, client_of(server, slots=slots) as two:
                await asyncio.gather(*(client.generate("a lighthouse") for client in (one, two) for _ in range(6)))

        assert {} == server.ledger.refusals

    async def test_slots_come_back_when_nobody_waits(self) -> None:
        """
        Tasks whose handle is not awaited give their slots back at their end all the same.
        """
        async with Emulator(latency=(0, 0), slots=1) as server, client_of(server, slots=1) as client:
            for number in range(3):
                await client.submit(f"lighthouse {number}")

        assert 3 == len(server.ledger.tasks)

    async def test_more_pictures_than_slots_are_refused_at_once(self, server: Emulator) -> None:
        """
        A request that could never run is told so.
        """
        async with client_of(server, slots=2) as client:
            with pytest.raises(InvalidRequest, match="takes 3 slots"):
                await client.submit("a lighthouse", n=3)

        assert 0 == server.ledger.creates_received

    @simulated
    async def test_failed_polls_never_end_a_wait(self) -> None:
        """
        A third of the polls fails in any way; each task succeeds.
        """
        rules = [
            faults.status("query", 500, rate=0.1),
            faults.html("query", rate=0.1),
            faults.bare_429("query", rate=0.1),
            faults.reset_after("query", rate=0.1),
            faults.truncated("query", rate=0.1),
        ]
        server = Emulator(latency=(5, 10), faults=rules, seed=7, clock=epoch_now)
        async with server, client_of(server) as client:
            results = await asyncio.gather(*(client.generate(f"lighthouse {number}") for number in range(30)))

        assert 30 == len(results)


class TestStream:
    async def test_outcomes_come_as_they_are_done_and_count_the_input(self, client: KlingClient) -> None:
        """
        Each outcome tells its place in the input; one bad request stops nothing.
        """
        requests: list[Any] = ["a lighthouse", ImageRequest("a harbour", n=2), ImageRequest("a mole", n=99), 17]
        outcomes = {outcome.index: outcome async for outcome in client.stream(requests)}

        assert [Done, Done, Failed, Failed] == [type(outcomes[index]) for index in range(4)]
        assert isinstance(outcomes[2], Failed)
        assert isinstance(outcomes[2].error, InvalidRequest)
        assert outcomes[3].request is None

    async def test_an_endless_input_is_read_lazily(self, client: KlingClient) -> None:
        """
        Only so much is read ahead as is worked on.
        """
        read = itertools.count()

        def prompts() -> Iterator[str]:
            while True:
                yield f"lighthouse {next(read)}"

        async with aclosing(client.stream(prompts(), concurrency=3)) as outcomes:
            async for outcome in outcomes:
                if outcome.index >= 3:
                    break

        assert next(read) < 12

    async def test_a_prompt_alone_is_no_input(self, client: KlingClient, server: Emulator) -> None:
        """
        A text in place of a list would be as many requests as it has letters, each paid for.
        """
        with pytest.raises(TypeError, match="put a single request into a list"):
            client.stream("a lighthouse")

        assert 0 == server.ledger.creates_received

    async def test_an_exception_of_the_input_comes_last(self, client: KlingClient) -> None:
        """
        What was accepted before it is yielded first.
        """

        async def prompts() -> AsyncIterator[str]:
            yield "a lighthouse"
            raise OSError("the file ended")

        outcomes = []
        with pytest.raises(OSError, match="the file ended"):
            async for outcome in client.stream(prompts()):
                outcomes.append(outcome)  # noqa: PERF401 (the exception must not take the list with it)

        assert [Done] == [type(outcome) for outcome in outcomes]


class TestRefusals:
    async def test_all_broken_rules_come_at_once_and_nothing_is_sent(self, server: Emulator) -> None:
        """
        Each with its field, its value and its rule.
        """
        async with client_of(server) as client:
            with pytest.raises(InvalidRequest) as caught:
                await client.submit("", n=10, aspect_ratio="5:4", image=b"no picture", human_fidelity=2)

        fields = {rule.field for rule in caught.value.broken}
        assert {"prompt", "n", "aspect_ratio", "image", "human_fidelity"} <= fields
        assert 0 == server.ledger.creates_received

    async def test_a_field_that_is_none_is_named(self, client: KlingClient) -> None:
        """
        A slip of the pen is no TypeError in the middle of a fan-out.
        """
        with pytest.raises(InvalidRequest, match="aspect_ration"):
            await client.submit("a lighthouse", aspect_ration="16:9")  # type: ignore[call-overload]

    async def test_models_pass_where_the_dialect_says_so(self, official: Emulator) -> None:
        """
        A new model is one `attrs.evolve` away.
        """
        dialect = attrs.evolve(OFFICIAL, unknown_models="pass")
        async with client_of(official) as strict, client_of(official, dialect=dialect) as lax:
            with pytest.raises(InvalidRequest, match="kling-v2-1"):
                await strict.submit("a lighthouse", model_name="kling-v9")
            with pytest.raises(InvalidRequest) as caught:
                await lax.submit("a lighthouse", model_name="kling-v9")

        assert 1201 == caught.value.code  # by the service, which was asked this time

    async def test_a_wrong_key_is_reported_and_not_shown(self, server: Emulator) -> None:
        """
        The error says what to do; the key is in neither its text nor its repr.
        """
        async with KlingClient("sk-wrong-123456", base_url=server.url, dialect=server.dialect) as client:
            with pytest.raises(NotAuthenticated) as caught:
                await client.submit("a lighthouse")

        assert "sk-wrong" not in f"{caught.value} {caught.value!r} {client!r}"

    async def test_refused_content_is_reported(self) -> None:
        """
        The content policy has its own class of error.
        """
        async with Emulator(refused_words=["storm"]) as server, client_of(server) as client:
            with pytest.raises(ContentRefused):
                await client.submit("a lighthouse in a storm")

    async def test_an_access_key_signs(self) -> None:
        """
        The vendor's pair of keys opens the vendor's own API.
        """
        key = AccessKey("access-1", "secret-of-a-proper-length-for-hs256-0123")
        async with Emulator(dialect=OFFICIAL, latency=(0, 0), access_key=key) as server:
            async with KlingClient(key, base_url=server.url, dialect=OFFICIAL, polling=EAGER) as client:
                result = await client.generate("a lighthouse")

        assert 1 == len(result.images)


class TestHandles:
    async def test_a_task_of_an_earlier_run_is_picked_up_by_its_id(self, server: Emulator) -> None:
        """
        Another client waits for it, without taking slots.
        """
        async with client_of(server) as client:
            handle = await client.submit("a lighthouse")
        async with client_of(server, slots=1) as another:
            again = another.handle(handle.task_id)
            unseen = (again.request, again.snapshot, again.status)
            result = await again

            assert (None, None, TaskStatus.UNKNOWN) == unseen
            assert handle.task_id == result.task_id
            assert again is another.handle(handle.task_id)
            assert {} == dict(another.slots)

    async def test_the_same_id_is_the_same_handle(self, client: KlingClient) -> None:
        """
        A submitted task is known by its id.
        """
        handle = await client.submit("a lighthouse")

        assert handle is client.handle(handle.task_id)
        assert (handle,) == client.unfinished

    async def test_get_asks_and_feeds_the_handle(self, client: KlingClient) -> None:
        """
        A look on request counts like any other.
        """
        handle = await client.submit("a lighthouse")
        snapshot = await client.get(handle.task_id)

        assert handle.task_id == snapshot.task_id
        assert handle.snapshot is not None

    async def test_blanks_around_an_id_are_ignored(self, client: KlingClient) -> None:
        """
        They came along when it was copied.
        """
        handle = await client.submit("a lighthouse")
        copied = f" {handle.task_id}\n"

        assert handle is client.handle(copied)
        assert handle.task_id == (await client.get(copied)).task_id

    async def test_a_task_that_does_not_exist_is_told(self, client: KlingClient) -> None:
        """
        By the vendor's words and by a gateway's.
        """
        with pytest.raises(TaskNotFound):
            await client.get("900000000000000099")

    @pytest.mark.parametrize("task_id", ["", ".", ".."])
    async def test_what_is_no_id_is_refused(self, client: KlingClient, task_id: str) -> None:
        """
        An empty id would ask for the list, and dots for another path.
        """
        with pytest.raises(InvalidRequest):
            client.handle(task_id)

    async def test_an_id_with_odd_characters_stays_one_path_segment(self, client: KlingClient) -> None:
        """
        It asks for that id and for nothing else.
        """
        with pytest.raises(TaskNotFound):
            await client.get("../../account/costs?x=1#y")

    async def test_unfinished_forgets_what_has_ended(self, client: KlingClient) -> None:
        """
        Only tasks that may still take money or slots are listed.
        """
        await client.generate("a lighthouse")

        assert () == client.unfinished

    async def test_results_and_snapshots_pickle(self, client: KlingClient) -> None:
        """
        Values hold no client.
        """
        result = await client.generate("a lighthouse")

        assert result == pickle.loads(pickle.dumps(result))  # noqa: S301 (our own bytes)


class TestTasks:
    async def test_the_list_is_read_to_its_end(self, official: Emulator) -> None:
        """
        Page by page, each task once.
        """
        async with client_of(official) as client:
            handles = [await client.submit(f"lighthouse {number}") for number in range(5)]
            listed = [snapshot.task_id async for snapshot in client.tasks(page_size=2)]

        assert sorted(handle.task_id for handle in handles) == sorted(listed)

    async def test_where_nothing_is_listed_it_says_so(self) -> None:
        """
        The caller learns what to do instead.
        """
        async with Emulator() as server, client_of(server) as client:
            with pytest.raises(InvalidRequest, match="keep the task ids"):
                await anext(client.tasks())

    async def test_a_page_of_no_sensible_size_is_refused(self, official: Emulator) -> None:
        """
        The vendor takes 1 to 500.
        """
        async with client_of(official) as client:
            with pytest.raises(InvalidRequest, match="page_size"):
                await anext(client.tasks(page_size=0))


class TestSave:
    async def test_an_expired_url_is_renewed(self, tmp_path: Path) -> None:
        """
        The task is read again for a fresh one.
        """
        rules = [faults.expired_url(times=1)]
        async with (
            Emulator(latency=(0, 0), faults=rules, pictures="plain", picture_scale=0.1) as server,
            client_of(server) as client,
        ):
            paths = await client.save(await client.generate("a lighthouse", n=2), tmp_path)

        assert 2 == len(paths)

    async def test_an_expired_url_of_a_video_is_renewed_by_another_client(self, tmp_path: Path) -> None:
        """
        The result says at which endpoint, as no handle does.
        """
        rules = [faults.expired_url(times=1)]
        async with Emulator(latency=(0, 0), faults=rules, pictures="plain", picture_scale=0.1) as server:
            async with client_of(server) as client:
                result = await client.generate(TextToVideo("a boat"))
            async with client_of(server) as another:
                paths = await another.save(result, tmp_path)

        assert "text-to-video" == result.endpoint
        assert [".mp4"] == [path.suffix for path in paths]

    async def test_many_that_begin_at_once_look_the_host_up_once(
        self, client: KlingClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A look-up takes a thread, and the loop stood still for as long as hundreds of them took to begin.
        """
        looked_up: list[str] = []

        async def note(host: str) -> frozenset[Network]:
            looked_up.append(host)
            await asyncio.sleep(0)
            return frozenset({Network.LOOPBACK})

        monkeypatch.setattr("kling_async.media.network.networks_of", note)
        result = await client.generate("a lighthouse")
        await asyncio.gather(*(client.save(result, tmp_path / str(number)) for number in range(5)))

        assert ["127.0.0.1"] == looked_up

    async def test_each_picture_is_saved_or_told(self, client: KlingClient, tmp_path: Path) -> None:
        """
        Under names that may hold a key, all but those that are there; what fails is told rather than raised.
        """
        result = await client.generate("a lighthouse", n=3)
        names = NameTemplate("{key}-{index}{ext}", result.task_id, "order-17")
        outcome = await client.core.files.save(result, tmp_path, names, skip={("image", 1)})

        assert outcome.error is None
        assert ["order-17-0.png", "order-17-2.png"] == [Path(picture.place).name for picture in outcome.files]
        assert all(picture.size_in_bytes == Path(picture.place).stat().st_size for picture in outcome.files)

        (tmp_path / "order-17-1.png").mkdir()
        outcome = await client.core.files.save(result, tmp_path, names, skip={("image", 0), ("image", 2)})

        assert isinstance(outcome.error, DownloadFailed)
        assert ((), 1) == (outcome.files, outcome.error.index)

    async def test_a_picture_is_read_into_memory_without_a_key(self, client: KlingClient, server: Emulator) -> None:
        """
        What comes is a picture, and the key stayed at home.
        """
        result = await client.generate("a lighthouse")
        content = await client.read(result.images[0])

        assert content.startswith(b"\x89PNG")
        assert 0 == server.ledger.downloads_with_key
        with pytest.raises(DownloadFailed, match="larger than 100 bytes"):
            await client.read(result.images[0], max_bytes=100)
        with pytest.raises(InvalidRequest, match=r"max_bytes=0: must be a whole number of at least 1"):
            await client.read(result.images[0], max_bytes=0)


class TestLife:
    async def test_it_opens_itself_and_closes_twice(self, server: Emulator) -> None:
        """
        `async with` is not needed, and `aclose` may be called again.
        """
        client = client_of(server)
        await client.generate("a lighthouse")
        await client.aclose()
        await client.aclose()

        assert "closed" in repr(client)

    async def test_a_borrowed_session_stays_open(self, server: Emulator) -> None:
        """
        Who opens, closes.
        """
        async with aiohttp.ClientSession() as session:
            async with client_of(server, session=session) as client:
                await client.generate("a lighthouse")

            assert not session.closed

    async def test_after_closing_it_says_so(self, client: KlingClient) -> None:
        """
        In each of its verbs.
        """
        result = await client.generate("a lighthouse")
        handle = client.handle("900000000000000001")
        await client.aclose()

        for late in (
            client.submit("a harbour"),
            client.get("900000000000000001"),
            client.save(result, "."),
            client.read(result.images[0]),
            handle.wait(),
        ):
            with pytest.raises(ClientClosed):
                await late

    async def test_closing_ends_every_wait_with_the_ids(self) -> None:
        """
        Those who wait for a task learn its id; those who queue learn that nothing was sent.
        """
        async with Emulator(latency=(60, 60)) as server:
            client = client_of(server, slots=1)
            waiting = asyncio.ensure_future(client.generate("a lighthouse"))
            queued = asyncio.ensure_future(client.generate("a harbour"))
            while not client.unfinished:
                await asyncio.sleep(0.01)
            await client.aclose()
            errors = await asyncio.gather(waiting, queued, return_exceptions=True)

        task_id = server.ledger.tasks[0].task_id
        assert [(task_id,), ()] == [error.task_ids for error in errors if isinstance(error, ClientClosed)]
        assert [task_id] == [handle.task_id for handle in client.unfinished]

    def test_another_loop_is_refused_in_words(self) -> None:
        """
        One client for each `asyncio.run`.
        """
        client = KlingClient("sk-1", base_url="http://127.0.0.1:9/kling", retry=RetryPolicy(give_up_after=0.01))

        async def use() -> None:
            with pytest.raises(Exception, match="no connection|another event loop"):
                await client.get("1")

        asyncio.run(use())
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(client.get("1"))
        asyncio.run(client.aclose())

    def test_wait_in_another_loop_is_refused_while_the_task_is_polled(self) -> None:
        """
        The end of the task would never reach it there, and neither would the end of its time.
        """

        clients: list[KlingClient] = []

        async def submit() -> TaskHandle:
            async with Emulator(latency=(60, 60)) as server, aiohttp.ClientSession() as session:
                clients.append(client_of(server, slots=1, session=session))
                return await clients[0].submit("a lighthouse")

        handle = asyncio.run(submit())
        for timeout in (0.01, None):
            with pytest.raises(RuntimeError, match="another event loop"):
                asyncio.run(handle.wait(timeout))
        asyncio.run(clients[0].aclose())

    async def test_closing_leaves_no_timer(self, server: Emulator) -> None:
        """
        Otherwise a program with many short-lived clients would have one of each for as long as a wait could have taken.
        """
        async with client_of(server) as client:
            await client.generate("a lighthouse")

        timers = getattr(asyncio.get_running_loop(), "_scheduled")  # noqa: B009 (type checkers do not know it)
        owners = {type(getattr(each._callback, "__self__", None)) for each in timers if not each.cancelled()}
        assert not [owner for owner in owners if owner.__module__.startswith("kling_async.client.")]

    async def test_dropped_while_open_it_warns(self, server: Emulator) -> None:
        """
        A leak is not silent.
        """
        client = client_of(server)
        await client.generate("a lighthouse")
        transport = client.core.transport
        await asyncio.sleep(0)  # the look that brought the news ends after those who waited for it are told
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del client
            gc.collect()
        await transport.aclose()

        assert any("dropped while open" in str(warning.message) for warning in caught)

    def test_unknown_argument_leaves_no_second_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        What Python could not even construct is dropped in silence.
        """
        unraisable: list[object] = []
        monkeypatch.setattr("sys.unraisablehook", unraisable.append)
        arguments: dict[str, Any] = {"poll": PollPolicy()}
        with pytest.raises(InvalidRequest, match="poll=.* did you mean polling"):
            KlingClient("sk-1", **arguments)
        gc.collect()

        assert [] == unraisable

    def test_fingerprint_tells_keys_apart_and_shows_none(self) -> None:
        """
        It is the same for the same key and salt, another for any other, and holds nothing of the key.
        """
        url = "http://127.0.0.1:1"
        keys: list[str | AccessKey] = [
            "sk-0123456789",
            "sk-0123456788",
            AccessKey("sk-01234", "56789"),
            AccessKey("sk-0123456789", "a" * 16),
            AccessKey("sk-0123456789", "b" * 16),
        ]
        prints = [
            KlingClient(key, base_url=url).core.transport.fingerprint(salt) for key in keys for salt in ("a", "b")
        ]

        assert prints == [
            KlingClient(key, base_url=url).core.transport.fingerprint(salt) for key in keys for salt in ("a", "b")
        ]
        assert 10 == len({*prints})
        assert all("0123" not in fingerprint for fingerprint in prints)

    async def test_prompts_are_logged_at_debug_only(self, server: Emulator, caplog: pytest.LogCaptureFixture) -> None:
        """
        What users ask for stays out of ordinary logs.
        """
        caplog.set_level(logging.INFO)
        async with client_of(server) as client:
            await client.generate("a very private lighthouse")

        assert "private" not in caplog.text

    async def test_enums_are_their_wire_strings(self, client: KlingClient, server: Emulator) -> None:
        """
        Either form is sent alike.
        """
        await client.generate("a lighthouse", aspect_ratio=AspectRatio.SQUARE)

        assert 1 == len(server.ledger.tasks)

    async def test_task_is_unfinished_until_its_pictures_are_told(self, emulator_in_thread: Any) -> None:
        """
        One that has succeeded without pictures takes no slots any more, but what was paid for is not all there yet.
        """
        server = emulator_in_thread(dialect=OFFICIAL, latency=(0.0, 0.0), faults=[faults.late_files(seconds=1e6)])
        polling = PollPolicy(first_delay=0.01, max_delay=0.02, pictures_grace=0.1)
        async with client_of(server, polling=polling) as client:
            handle = await client.submit("a lighthouse")
            with pytest.raises(UnexpectedAnswer, match="has listed no files of it"):
                await handle.wait()

            assert handle.done
            assert (handle,) == client.unfinished
            assert 0 == sum(usage.used for usage in client.slots.values())

    async def test_the_bound_on_requests_holds(self, server: Emulator) -> None:
        """
        Not more than `max_connections` sockets are opened, however many tasks are waited for; but for one for each
        submit that could not be looked up.
        """
        submits = 20
        async with client_of(server, http=HttpOptions(max_connections=2), slots=None) as client:
            await asyncio.gather(*(client.generate(f"lighthouse {number}") for number in range(submits)))

        assert server.ledger.connections <= 2 + (0 if server.dialect.external_ids else submits)


class TestLosses:
    async def test_a_picture_that_is_gone_when_its_turn_comes_gives_the_slots_back(self, tmp_path: Path) -> None:
        """
        It is read again after the queue, since thousands may wait there with megabytes each.
        """
        path = tmp_path / "reference.png"
        path.write_bytes(png())
        async with Emulator(latency=(0.1, 0.1)) as server, client_of(server, slots=1) as client:
            first = await client.submit("a lighthouse")
            queued = asyncio.ensure_future(client.submit("a harbour", image=path))
            while not client.slots["kling-v1"].waiting:
                await asyncio.sleep(0)
            path.unlink()
            await first
            with pytest.raises(InvalidRequest, match="image"):
                await queued

            assert 0 == client.slots["kling-v1"].used
            assert 1 == len(server.ledger.tasks)

    async def test_a_picture_that_is_gone_is_told_with_all_else(self, client: KlingClient, tmp_path: Path) -> None:
        """
        A file that cannot be read is one broken rule among others.
        """
        with pytest.raises(InvalidRequest) as caught:
            await client.submit("", image=tmp_path / "none.png", image_reference="face")

        assert {"prompt", "image"} == {rule.field for rule in caught.value.broken}

    async def test_an_uncertain_submit_holds_its_slots_for_a_while(self) -> None:
        """
        A task of it may be running; nobody can tell when it ends.
        """
        slots = Slots(9, SlotPolicy(uncertain_for=0.2))
        async with Emulator(faults=[faults.reset_after("create")]) as server, client_of(server, slots=slots) as client:
            with pytest.raises(SubmissionUncertain):
                await client.submit("a lighthouse", n=3)
            held = client.slots["kling-v1"].used
            while client.slots["kling-v1"].used:
                await asyncio.sleep(0.01)

        assert 3 == held

    async def test_closing_has_an_end_to_its_patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A submit whose answer does not come is uncertain, and its request is in the error.
        """
        monkeypatch.setattr(submitter, "CLOSE_TIMEOUT", 0.05)
        async with Emulator(faults=[faults.delay_after("create", 60)]) as server:
            client = client_of(server)
            submitting = asyncio.ensure_future(client.submit("a lighthouse"))
            while not server.ledger.tasks:
                await asyncio.sleep(0)
            await client.aclose()
            with pytest.raises(SubmissionUncertain) as caught:
                await submitting

        assert isinstance(caught.value.request, ImageRequest)

    async def test_closing_while_it_is_looked_up_keeps_what_is_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        URLs of an answer that named no task are in the error, as when the client is not closed.
        """

        def read_pictures_alone(_: object) -> None:
            raise UnexpectedAnswer("pictures, and no task", http_status=200, urls=("http://127.0.0.1/1.png",))

        monkeypatch.setattr(submitter, "CLOSE_TIMEOUT", 0.05)
        monkeypatch.setattr(delivery, "read_created", read_pictures_alone)
        async with Emulator(dialect=OFFICIAL, faults=[faults.delay_after("query", 60)]) as server:
            client = client_of(server)
            submitting = asyncio.ensure_future(client.submit("a lighthouse"))
            while not server.ledger.reads:
                await asyncio.sleep(0)
            await client.aclose()
            with pytest.raises(SubmissionUncertain, match="client was closed") as caught:
                await submitting

        assert ("http://127.0.0.1/1.png",) == caught.value.urls
        assert isinstance(caught.value.request, ImageRequest)
        assert "a lighthouse" == caught.value.request.prompt

    async def test_closing_calls_off_what_is_refused_again_and_again(self) -> None:
        """
        Nothing was made, so there is nothing to wait for.
        """
        async with Emulator(faults=[faults.rate_limited("create")]) as server:
            client = client_of(server, retry=RetryPolicy(first_delay=30))
            submitting = asyncio.ensure_future(client.submit("a lighthouse"))
            while not server.ledger.answers:
                await asyncio.sleep(0.01)
            while any(delivery.is_exposed for delivery in client.core.submitter._deliveries.values()):
                await asyncio.sleep(0)
            await client.aclose()
            with pytest.raises(ClientClosed):
                await submitting

        assert not server.ledger.tasks

    async def test_a_cancelled_submit_that_ends_badly_leaves_no_noise(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        Its error was nobody's to see; one of unknown fate is told in the log.
        """
        caplog.set_level(logging.WARNING)
        for rules, is_told in (([faults.rate_limited("create", retry_after="999")], False), (LOST, True)):
            async with Emulator(faults=[faults.delay_after("create", 0.1), *rules]) as server:
                async with client_of(server) as client:
                    submitting = asyncio.ensure_future(client.submit("a lighthouse"))
                    while not server.ledger.arrivals:
                        await asyncio.sleep(0)
                    submitting.cancel()
                    await asyncio.wait({submitting})

            assert is_told == ("its fate is unknown" in caplog.text)

    async def test_a_list_that_grows_meanwhile_shows_no_task_twice(self, official: Emulator) -> None:
        """
        Newer tasks push older ones to the next page.
        """
        async with client_of(official) as client:
            for number in range(4):
                await client.submit(f"lighthouse {number}")
            listed = []
            async for snapshot in client.tasks(page_size=2):
                listed.append(snapshot.task_id)
                if len(listed) == 2:
                    await client.submit("a late lighthouse")

        assert 4 == len(listed)
        assert len(set(listed)) == len(listed)


LOST = [faults.reset_after("create")]


def test_dialects_are_values() -> None:
    """
    They compare and hash, so that they can be shared and evolved.
    """
    assert {GATEWAY} == {attrs.evolve(GATEWAY)}
    assert isinstance(GATEWAY, Dialect)


async def test_client_shows_its_slots(server: Emulator) -> None:
    """
    In a notebook: host and state, and of each model the slots that are taken and who waits for some; never a key.
    """
    async with KlingClient(
        server.api_key, base_url=server.url, dialect=server.dialect, slots=2, polling=EAGER
    ) as client:
        assert Reader(client._repr_html_()).text.endswith(f"● open{server.dialect.name} · 0 submitting · 0 unfinished")
        handles = [await client.submit("a fox", model_name="kling-v1") for _ in range(2)]
        queued = asyncio.ensure_future(client.submit("a fox", model_name="kling-v1"))
        await asyncio.sleep(0)
        page = client._repr_html_()
        await asyncio.gather(*handles, await queued)

    assert "kling-v12 of 2 slots taken, 1 waiting" in Reader(page).text
    assert server.api_key not in page
