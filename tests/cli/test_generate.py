import asyncio
import signal

import attrs
import PIL.Image
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kling_async import OFFICIAL
from kling_async.cli.generate import RequestFields
from kling_async.emulator import faults
from kling_async.emulator.library import PRESET_ELEMENT_IDS
from kling_async.wire.endpoints.image_generation import ImageRequest
from tests.cli.conftest import Command, Here, lines_of, service
from tests.fakes.eventually import eventually


async def test_json(command: Command) -> None:
    """
    With `--json` stdout has one object per task and nothing else, good or bad; the exit code tells that one failed.
    """
    async with service(faults=[faults.failing_task(prompt="storm")]) as server:
        ended = await command.to(server)("generate", "--json", "-n", "2", "a fox", "-", stdin=b"a storm\n\n\xc3\xbc\n")

    lines = {line["prompt"]: line for line in lines_of(ended.out)}
    fox, storm = lines["a fox"], lines["a storm"]
    ledger = {task.prompt: task.task_id for task in server.ledger.tasks}
    assert 1 == ended.code
    assert {"a fox", "a storm", "ü"} == lines.keys()
    assert (ledger["a fox"], "succeed", 2, None) == (fox["task_id"], fox["status"], fox["units"], fox["error"])
    for image in fox["images"]:
        assert image["url"].startswith("http://127.0.0.1:")
        with PIL.Image.open(command.folder / image["path"]) as picture:
            assert "PNG" == picture.format
    assert (ledger["a storm"], "failed", []) == (storm["task_id"], storm["status"], storm["images"])
    assert "TaskFailed" == storm["error"]["class"]
    assert "risk control" in storm["error"]["message"]
    assert "2 done, 1 failed" in ended.err


async def test_pictures_of_another_api_are_told(command: Command) -> None:
    """
    Where OpenAI's API answers, which names no task, the whole addresses of its pictures are told, in both ways: they
    may be paid for.
    """
    address = "https://pictures.example/0.png?Signature=abc"

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET":
            raise web.HTTPNotFound(text="404 page not found")
        return web.json_response({"created": 1, "data": [{"url": address}]})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    async with TestServer(app) as server:
        call = command.with_env(KLING_BASE_URL=str(server.make_url("")).rstrip("/"), KLING_API_KEY="sk-of-the-tests")
        plain = await call("generate", "a fox")
        ended = await call("generate", "--json", "a storm")

    (line,) = lines_of(ended.out)
    assert 0 not in (plain.code, ended.code)
    assert address in plain.out + plain.err
    assert [address] == line["error"]["urls"]
    assert address not in line["error"]["message"]


async def test_every_field(command: Command) -> None:
    """
    Each option reaches the service as the field of its name.
    """
    PIL.Image.new("RGB", (300, 300)).save(command.folder / "cat.png")
    options = {
        "--n": "1",
        "--aspect-ratio": "21:9",
        "--model-name": "kling-v2-1",
        "--resolution": "2k",
        "--image": "cat.png",
        "--image-reference": "subject",
        "--image-fidelity": "0.25",
        "--human-fidelity": "0.75",
        "--callback-url": "https://example.com/kling?token=t",
        "--external-task-id": "mine-1",
    }
    words = [word for pair in options.items() for word in pair]
    others = ["--negative-prompt", "dogs", "--watermark", *(f"--element={each}" for each in PRESET_ELEMENT_IDS[:2])]
    async with service(dialect=OFFICIAL) as server:
        words = ["a cat", "--dialect", "official", "--json", *words]
        ended, negative = await asyncio.gather(
            command.to(server)("generate", *words),
            command.to(server)("generate", "a cat", "--dialect", "official", *others),
        )

    (line,) = lines_of(ended.out)
    assert 0 == negative.code
    (other,) = (record.request for record in server.account.page(1, 2) if record.request.external_task_id != "mine-1")
    assert ("dogs", PRESET_ELEMENT_IDS[:2], True) == (other.negative_prompt, other.element_list, other.watermark_info)
    record = server.account.find_external("mine-1")
    assert record is not None
    sent = record.request
    assert (0, "mine-1") == (ended.code, line["external_task_id"])
    assert ("a cat", 1, "21:9", "kling-v2-1", "2k") == (
        sent.prompt,
        sent.n,
        sent.aspect_ratio,
        sent.model_name,
        sent.resolution,
    )
    assert ("subject", 0.25, 0.75) == (sent.image_reference, sent.image_fidelity, sent.human_fidelity)
    assert options["--callback-url"] == sent.callback_url
    assert isinstance(sent.image, str)
    assert sent.image.startswith("iVBOR")


async def test_broken_rules(command: Command) -> None:
    """
    All broken rules of all prompts are named in the options' own words, and nothing is sent.
    """
    words = ["--aspect-ratio", "5:1", "-n", "12", "--model", "kling-x", "--image", "none.png", "--image-fidelity", "2"]
    async with service() as server:
        ended = await command.to(server)("generate", "a fox", "  ", *words)

    named = [line.split(" ")[2] for line in ended.err.splitlines()[1:]]
    assert (2, "") == (ended.code, ended.out)
    assert ["--n", "--image-fidelity", "--aspect-ratio", "--model-name", "--image", "prompt"] == named
    assert "attrs" not in ended.err
    assert 0 == server.ledger.creates_received
    assert not (command.folder / "pictures").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a", "b", "--external-task-id", "x"], "--external-task-id"),
        (["a", "-n", "9", "--slots", "4"], "--slots 4"),
        (["a", "--base-url", "ftp://host"], "base_url"),
        (["a", "--out", "/dev/null/here"], "/dev/null/here"),
        ([], "PROMPT"),
        (["a", "--dialect", "klingon"], "klingon"),
    ],
)
def test_wrong_usage(here: Here, words: list[str], told: str) -> None:
    """
    What cannot be meant is told by its name, with exit code 2.
    """
    ended = here("generate", *words)

    assert 2 == ended.code
    assert told in ended.err
    assert "Traceback" not in ended.err


async def test_keys(command: Command) -> None:
    """
    No key and a wrong key are exit code 3, and the way to go on is named.
    """
    async with service() as server:
        without, wrong = await asyncio.gather(
            command("generate", "a fox", "--base-url", server.url),
            command.to(server).with_env(KLING_API_KEY="sk-wrong")("generate", "a fox"),
        )

    assert (3, 3) == (without.code, wrong.code)
    assert "KLING_API_KEY" in without.err
    assert "--emulator" in without.err
    assert "NotAuthenticated" in wrong.out
    assert "sk-wrong" not in wrong.out + wrong.err


async def test_money(command: Command) -> None:
    """
    An account without money is exit code 4.
    """
    async with service(units=0) as server:
        ended = await command.to(server)("generate", "a fox")

    assert 4 == ended.code
    assert "AccountProblem: top up" in ended.out


async def test_dead_service(command: Command) -> None:
    """
    A service that is not there is exit code 5; what is tried meanwhile is told.
    """
    env = {"KLING_API_KEY": "sk-x", "KLING_BASE_URL": "http://127.0.0.1:9"}

    ended = await command.with_env(**env)("generate", "a fox", "--give-up-after", "0.1")

    assert 5 == ended.code
    assert "retrying: no connection" in ended.out
    assert "NotSent" in ended.out


async def test_uncertain(command: Command) -> None:
    """
    A submit whose answer was lost is exit code 6, and the advice is to look before paying again.
    """
    async with service(faults=[faults.reset_after()]) as server:
        ended = await command.to(server)("generate", "a fox", "--json")

    (line,) = lines_of(ended.out)
    assert 6 == ended.code
    assert ("SubmissionUncertain", None) == (line["error"]["class"], line["task_id"])
    assert "check the vendor's console" in ended.err
    assert 1 == server.ledger.creates_received


async def test_timeout_tells_how_to_go_on(command: Command) -> None:
    """
    A task that takes too long is exit code 1, with the way to its pictures.
    """
    async with service(latency=(60, 60)) as server:
        ended = await command.to(server)("generate", "a fox", "--timeout", "0.1")

    (task,) = server.ledger.tasks
    assert 1 == ended.code
    assert f"  kling-async wait {task.task_id} --save --out pictures\n" in ended.out


async def test_interrupted_while_waiting(command: Command) -> None:
    """
    Ctrl-C leaves the ids of accepted tasks and the way to their pictures; the rest is not sent.
    """
    async with service(latency=(60, 60), slots=2) as server:
        url = server.url
        words = ("generate", "a fox", "an owl", "a bear", "--slots", "2", "--base-url", url, "--out", "my own")
        async with command.to(server).running(*words) as running:
            await running.until("accepted as", times=2)
            running.interrupt()
            ended = await running.ended()

    assert 130 == ended.code
    assert 2 == len(server.ledger.tasks)
    for task in server.ledger.tasks:
        assert f"  {task.task_id}  {task.prompt}" in ended.err
    ids = " ".join(task.task_id for task in server.ledger.tasks)
    assert f"\n  kling-async wait {ids} --save --out 'my own' --base-url {url}\n" in ended.err
    assert "Traceback" not in ended.err


async def test_interrupted_while_submitting(command: Command) -> None:
    """
    Ctrl-C while a submit is on its way waits for its answer, and tells the id of what was accepted.
    """
    async with (
        service(latency=(60, 60), faults=[faults.delay_after("create", 0.5)]) as server,
        command.to(server).running("generate", "a fox") as running,
    ):
        await eventually(lambda: server.ledger.tasks)
        running.interrupt()
        ended = await running.ended()

    (task,) = server.ledger.tasks
    assert 130 == ended.code
    assert task.task_id in ended.out
    assert "10 s" in ended.err


async def test_interrupted_twice(command: Command) -> None:
    """
    A second Ctrl-C waits for nothing; what may have been accepted is told by its prompt.
    """
    async with (
        service(faults=[faults.delay_after("create", 60.0)]) as server,
        command.to(server).running("generate", "a fox") as running,
    ):
        await eventually(lambda: server.ledger.tasks)
        running.interrupt()
        assert running.process.stderr is not None
        await running.process.stderr.readuntil(b"10 s")
        running.interrupt()
        ended = await running.ended()

    assert 130 == ended.code
    assert "its fate is unknown" in ended.out
    assert "(prompt 'a fox', key None, " in ended.out
    assert "Traceback" not in ended.err


async def test_interrupted_while_saving(command: Command) -> None:
    """
    Ctrl-C while pictures are fetched tells which tasks they are of, and leaves no half file.
    """
    async with (
        service(faults=[faults.delay_before("download", 60.0)]) as server,
        command.to(server).running("generate", "a fox") as running,
    ):
        await eventually(lambda: server.ledger.downloads)
        running.interrupt()
        ended = await running.ended()

    (task,) = server.ledger.tasks
    assert 130 == ended.code
    assert "are not saved" in ended.err
    assert f"  {task.task_id}  a fox" in ended.err
    assert [] == list((command.folder / "pictures").iterdir())


async def test_terminated(command: Command) -> None:
    """
    SIGTERM is heeded as Ctrl-C is.
    """
    async with service(latency=(60, 60)) as server, command.to(server).running("generate", "a fox") as running:
        await running.until("accepted as")
        running.interrupt(signal.SIGTERM)
        ended = await running.ended()

    assert 130 == ended.code
    assert server.ledger.tasks[0].task_id in ended.err


async def test_reader_that_leaves(command: Command) -> None:
    """
    Where nobody reads the lines any more, the work goes on; and with `--emulator` it needs neither key nor address.
    """
    words = ("generate", "a fox", "an owl", "--json", "--emulator", "--latency", "0.1", "--out", "here")
    async with command.running(*words) as running:
        assert running.process.stdout is not None
        running.process.stdout._transport.close()  # type: ignore[attr-defined]
        ended = await running.ended()

    assert 0 == ended.code
    assert 2 == len(list((command.folder / "here").iterdir()))
    assert "(2 submits" in ended.err
    assert "Traceback" not in ended.err


async def test_download_failed(command: Command) -> None:
    """
    A picture that could not be fetched has no path, the others keep theirs, and the way to fetch it again is told.
    """
    both_tries = [faults.status("download", 404, times=1), faults.status("download", 404, after=3, times=1)]
    async with service(faults=both_tries) as server:
        ended = await command.to(server)("generate", "a fox", "-n", "3", "--json")

    (line,) = lines_of(ended.out)
    paths = [image["path"] for image in line["images"]]
    assert 1 == ended.code
    assert "DownloadFailed" == line["error"]["class"]
    assert 1 == paths.count(None)
    assert [path for path in paths if path] == [
        f"pictures/{line['task_id']}-{index}.png" for index in range(3) if paths[index]
    ]
    assert f"  kling-async save {line['task_id']} --out pictures\n" in ended.err


def test_options_cover_the_request() -> None:
    """
    Every field of an `ImageRequest` has an option, except the prompt, which is an argument.
    """
    fields = {field.name for field in attrs.fields(ImageRequest)}

    assert fields - {"prompt"} == {field.name for field in attrs.fields(RequestFields)}
