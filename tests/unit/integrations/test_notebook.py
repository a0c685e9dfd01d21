"""
What is for notebooks: against IPython's interface here, in a true kernel at the end.
"""

import asyncio
import base64
import contextlib
import re
import runpy
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import attrs
import nbformat
import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from kling_async import Done, EventKind, Failed, Image, ImageRequest, KlingClient, PollPolicy, TaskEvent
from kling_async.emulator import Emulator
from kling_async.emulator.filming.sounds import write_wav
from kling_async.errors import ContentRefused, ServiceFailure
from kling_async.integrations.notebook import Progress, show
from kling_async.wire.tasks import Audio, TaskResult, TaskSnapshot, TaskStatus, Video
from tests.fakes.html_reader import HOSTILE, Reader
from tests.fakes.media_files import make_video
from tests.fakes.simulated_loop import simulate
from tests.unit.gallery.conftest import painter

_MAKER: Final = runpy.run_path(str(Path(__file__).parents[3] / "docs" / "make_notebook.py"))
NOTEBOOK: Final[Path] = _MAKER["NOTEBOOK"]
read: Final[Callable[[], nbformat.NotebookNode]] = _MAKER["read"]
run: Final[Callable[[nbformat.NotebookNode, Path], nbformat.NotebookNode]] = _MAKER["run"]

DOT: Final = " \N{MIDDLE DOT} "
EAGER: Final = PollPolicy(first_delay=0.02, max_delay=0.05)
DONE: Final = TaskSnapshot(task_id="t-1", task_status=TaskStatus.SUCCEEDED)


@attrs.define(eq=False)
class Output:
    """
    One output of a cell, in all its versions.
    """

    drawn: list[dict[str, str]]

    def update(self, drawn: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.drawn.append(drawn)

    @property
    def text(self) -> str:
        return self.drawn[-1]["text/plain"]

    @property
    def page(self) -> str:
        return self.drawn[-1]["text/html"]


@attrs.define(eq=False)
class Shell:
    """
    Stands for IPython: counts cells, and keeps what is displayed.
    """

    execution_count: int = 1
    outputs: list[Output] = attrs.field(factory=list)

    def display(self, drawn: dict[str, str], *, raw: bool, display_id: bool = False) -> Output | None:
        assert raw
        self.outputs.append(Output([drawn]))
        return self.outputs[-1] if display_id else None


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    monkeypatch.setattr("IPython.display.display", shell.display)
    return shell


def event(kind: EventKind, number: int | None = 1, **fields: Any) -> TaskEvent:
    return TaskEvent(**{"kind": kind, "at": 0.0, "number": number, **fields})


async def test_progress_of_many(shell: Shell, tmp_path: Path) -> None:
    """
    One output, drawn again in place, from the first that waits to the last picture that is saved.
    """
    async with (
        Emulator(latency=(0.05, 0.1), slots=2, pictures="plain", picture_scale=0.1, refused_words=["dragon"]) as server,
        KlingClient(server.api_key, base_url=server.url, slots=2, polling=EAGER, on_event=Progress()) as client,
    ):
        prompts = ["a fox", "an owl", "a dragon", "a bear"]
        results = await asyncio.gather(*map(client.generate, prompts), return_exceptions=True)
        await asyncio.gather(*(client.save(result, tmp_path) for result in results if isinstance(result, TaskResult)))
    [output] = shell.outputs

    assert output.text.startswith(DOT.join(["3 of 4 done", "1 failed", "3 files saved", ""]))
    assert "last failure: ContentRefused: " in output.text
    assert "3 of 4 done" in Reader(output.page).text
    assert 2 == len(Reader(output.page).all("span"))
    assert output.drawn[0]["text/plain"].startswith("0 of 1 done" + DOT + "1 waiting")


def test_progress_is_drawn_a_few_times_a_second(shell: Shell) -> None:
    """
    However many events there are; in between it is drawn by the clock, and its end at once.
    """

    async def story() -> None:
        progress = Progress()
        for number in range(1_000):
            progress(event(EventKind.WAITING, number))
        for number in range(1_000):
            progress(event(EventKind.SUBMITTED, number))
            await asyncio.sleep(0.002)  # simulated: two seconds in all
        drawn = len(shell.outputs[0].drawn)
        assert 5 <= drawn <= 11
        for number in range(1_000):
            progress(event(EventKind.FINAL, number, snapshot=DONE))
        assert shell.outputs[0].text.startswith("1,000 of 1,000 done")

    simulate(story())


def test_time_is_seen_to_pass(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    While a task runs and nothing is heard, each second is drawn; when all has ended nothing is.
    """

    async def story() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr("time.time", loop.time)
        progress = Progress()
        progress(event(EventKind.SUBMITTED, at=loop.time()))
        await asyncio.sleep(90.2)
        assert shell.outputs[0].text.endswith("1:30")
        progress(event(EventKind.FINAL, at=loop.time(), snapshot=DONE))
        drawn = len(shell.outputs[0].drawn)
        await asyncio.sleep(90)
        assert drawn == len(shell.outputs[0].drawn) <= 93
        assert progress._timer is None

    simulate(story())


async def test_each_cell_has_a_bar_of_its_own(shell: Shell) -> None:
    """
    For as long as a client lives; what a cell only saves, or waits for still, shows where it began.
    """
    progress = Progress()
    progress(event(EventKind.SENDING, 1))
    progress(event(EventKind.FINAL, 1, snapshot=DONE))
    progress(event(EventKind.SENDING, 2))
    shell.execution_count = 2
    progress(event(EventKind.SENDING, 3))
    progress(event(EventKind.FINAL, 2, snapshot=DONE))
    progress(event(EventKind.FINAL, 3, snapshot=DONE))
    assert ["3 of 3 done"] == [output.text.partition(DOT)[0] for output in shell.outputs]
    progress(event(EventKind.SAVED, None, task_id="t-1", paths=(Path("a.png"),)))
    progress(event(EventKind.SENDING, 4))
    progress(event(EventKind.SUBMITTED, 4))

    assert [DOT.join(["3 of 3 done", "1 file saved"]), DOT.join(["0 of 1 done", "1 running"])] == [
        output.text.rpartition(DOT)[0] for output in shell.outputs
    ]


async def test_a_cell_like_the_last_has_its_bar_too(shell: Shell) -> None:
    """
    Though it says the same.
    """
    progress = Progress()
    for number in (1, 2):
        shell.execution_count = number
        progress(event(EventKind.NO_TASK, number, error=ContentRefused("no")))

    assert 2 == len(shell.outputs)


async def test_a_cell_may_end_once_all_is_submitted(shell: Shell) -> None:
    """
    What it shows then is not behind, though no clock ticks for it any more.
    """
    progress = Progress()
    progress(event(EventKind.SENDING))
    progress(event(EventKind.SUBMITTED))

    assert shell.outputs[0].text.startswith("0 of 1 done" + DOT + "1 running")


async def test_total_is_what_the_bar_is_measured_by(shell: Shell) -> None:
    """
    Where an input is read lazily; and never less than there are.
    """
    progress = Progress(total=2)
    for number in (1, 2, 3):
        progress(event(EventKind.SENDING, number))
        progress(event(EventKind.FINAL, number, snapshot=DONE))

    assert ["0 of 2 done", "1 of 2 done", "2 of 2 done", "3 of 3 done"] == list(
        dict.fromkeys(drawn["text/plain"].partition(DOT)[0] for drawn in shell.outputs[0].drawn)
    )


async def test_why_nothing_moves_is_told(shell: Shell) -> None:
    """
    While something is tried again; and what went otherwise is told in words.
    """
    progress = Progress()
    progress(event(EventKind.NO_TASK, 1))
    progress(event(EventKind.TROUBLE, 2, error=ServiceFailure("closed")))
    assert "1 cancelled" in shell.outputs[0].text
    assert "1 no longer watched" in shell.outputs[0].text
    shell.execution_count = 2
    progress(event(EventKind.RETRY, 3, error=ServiceFailure(HOSTILE), delay=2.0))

    assert f"trying again after ServiceFailure: {HOSTILE}" in Reader(shell.outputs[1].page).text


async def test_tasks_of_a_closed_client_are_given_up(shell: Shell) -> None:
    """
    The bar does not wait for ever for what nobody watches.
    """
    progress = Progress()
    async with Emulator(latency=(600.0, 600.0), pictures="plain", picture_scale=0.1) as server:
        async with KlingClient(server.api_key, base_url=server.url, on_event=progress) as client:
            await client.submit("a fox")

    assert shell.outputs[0].text.startswith("0 of 1 done" + DOT + "1 no longer watched")


def test_progress_outlives_its_loop(shell: Shell) -> None:
    """
    What one `asyncio.run` left in the middle does not keep the next from being drawn.
    """
    progress = Progress()

    async def leave() -> None:
        progress(event(EventKind.WAITING, 1))

    async def go_on() -> None:
        progress(event(EventKind.WAITING, 2))
        await asyncio.sleep(1)

    simulate(leave())
    simulate(go_on())

    assert shell.outputs[0].text.startswith("0 of 2 done" + DOT + "2 waiting")


def test_elsewhere_it_says_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without IPython, and in a plain program where it is installed.
    """
    with pytest.raises(RuntimeError, match="for notebooks, and none is running"):
        Progress()
    with pytest.raises(RuntimeError, match="for notebooks, and none is running"):
        show()
    monkeypatch.setitem(sys.modules, "IPython", None)
    with pytest.raises(ImportError, match="for notebooks, and IPython is not installed"):
        Progress()


def test_files_are_embedded(shell: Shell, tmp_path: Path) -> None:
    """
    What `show` shows of an outcome is in the notebook, small, and no signed URL is.
    """
    path = painter(tmp_path)("fox.png", (1600, 900))
    images = (Image(0, "https://cdn/0.png?Signature=secret"), Image(1, "https://cdn/1.png?Signature=secret"))
    done = Done(0, None, ImageRequest(HOSTILE), TaskResult("t-1", images, DONE), (path,))
    failed = Failed(1, None, ImageRequest("a bear"), ContentRefused("no bears"))
    show(done, failed, path, str(path))
    [output] = shell.outputs
    page = Reader(output.page)

    assert [True] * 3 == [str(image["src"]).startswith("data:image/webp;base64,") for image in page.all("img")]
    assert [HOSTILE, "fox.png", "fox.png"] == [image["alt"] for image in page.all("img")]
    assert "no bears" in page.text
    assert "secret" not in output.page
    assert f"Done #0: {HOSTILE[:59]}…\nFailed #1: a bear\nfox.png\nfox.png" == output.text
    assert str(tmp_path) not in output.page + output.text


def test_videos_and_sounds_are_embedded(shell: Shell, tmp_path: Path) -> None:
    """
    A video with its poster, so that it is seen before it is played.
    """
    videos, audios = (
        (Video(0, "https://cdn/0.mp4?Signature=secret"),),
        (Audio(0, "https://cdn/0.wav?Signature=secret"),),
    )
    paths = (tmp_path / "fox.mp4", tmp_path / "rain.wav")
    contents = make_video(), write_wav(1.0, 1)
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    result = TaskResult("t-1", (), DONE, videos, audios)
    show(Done(0, None, ImageRequest("a fox"), result, paths), paths[1])
    [output] = shell.outputs
    page = Reader(output.page)

    video, sound = (base64.b64encode(content).decode() for content in contents)
    assert [f"data:video/mp4;base64,{video}", *[f"data:audio/wav;base64,{sound}"] * 2] == [
        each["src"] for each in page.all("source")
    ]
    assert str(page.all("video")[0]["poster"]).startswith("data:image/webp;base64,")
    assert "secret" not in output.page
    assert str(tmp_path) not in output.page + output.text


def test_large_video_is_played_from_the_disk(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its poster is in the notebook; from a folder that the page cannot reach, that is all.
    """
    monkeypatch.setattr("kling_async.integrations.notebook._EMBEDDED_MAX", 100)
    near = tmp_path / "near"
    near.mkdir()
    monkeypatch.chdir(near)
    for path in (near / "fox.mp4", tmp_path / "far.mp4"):
        path.write_bytes(make_video())
    show(near / "fox.mp4", tmp_path / "far.mp4")
    page = Reader(shell.outputs[0].page)

    assert ["fox.mp4"] == [each["src"] for each in page.all("source")]
    posters = [page.all("video")[0]["poster"], page.all("img")[0]["src"]]
    assert [True, True] == [str(poster).startswith("data:image/webp;base64,") for poster in posters]
    assert "far.mp4, 0.0 MB, which is not in the notebook" in page.text


def test_what_has_no_files_is_shown_by_its_urls(shell: Shell) -> None:
    """
    As it is shown without `show`.
    """
    result = TaskResult("t-1", (Image(0, "https://cdn/0.png"),), DONE)
    done = Done(0, None, ImageRequest("a fox"), result)
    show(done, result)

    assert done._repr_html_() + result._repr_html_() in shell.outputs[0].page


def test_missing_file_is_named(shell: Shell, tmp_path: Path) -> None:
    """
    And nothing is shown in its place.
    """
    with pytest.raises(ValueError, match=r"fox\.png: The file is not where it was"):
        show(tmp_path / "fox.png")
    assert [] == shell.outputs


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Kernels write down their history and their ports in a folder of the test.
    """
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


def test_example_notebook_runs(at_home: Path) -> None:
    """
    No cell fails, and its outputs are those that are in the repository: of each cell as many, with as many pictures.
    """
    kept = shape_of(read())

    assert kept == shape_of(run(read(), at_home))


def test_cells_of_the_page_run(
    at_home: Path, emulator_in_thread: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    One after the other, as somebody would type them, with a key in the environment; the pictures are shown twice.
    """
    server = emulator_in_thread(latency=(0.05, 0.1), pictures="plain", picture_scale=0.1)
    monkeypatch.setenv("KLING_API_KEY", server.api_key)
    monkeypatch.setenv("KLING_BASE_URL", server.url)
    page = NOTEBOOK.with_name("howto") / "notebooks.md"
    sources = re.findall(r"^```py\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    cells = [nbformat.v4.new_code_cell(source) for source in [*sources, "await client.aclose()"]]  # type: ignore[no-untyped-call]
    notebook = run(nbformat.v4.new_notebook(cells=cells), at_home)  # type: ignore[no-untyped-call]

    shown = [sum(count for kind, count in outputs if kind == "execute_result") for outputs in shape_of(notebook)]
    kept = sum("data:image/webp;base64," in str(cell.outputs) for cell in notebook.cells)

    assert [0, 2, 0, 0] == shown
    assert 1 == kept


BEGUN: Final = """
import asyncio
from kling_async import KlingClient, PollPolicy
from kling_async.emulator import Emulator
from kling_async.integrations.notebook import Progress
server = await Emulator(latency=({latency}, {latency}), pictures="plain", picture_scale=0.1).__aenter__()
progress = Progress()
polling = PollPolicy(first_delay=0.02, max_delay=0.05)
client = KlingClient(server.api_key, base_url=server.url, polling=polling, on_event=progress)
handle = await client.submit("a fox")
"""


def progress_of(home: Path, *sources: str) -> list[list[str]]:
    """
    Return what is left of the outputs of cells, run one after the other as a tool does that executes notebooks.
    """
    cells = [nbformat.v4.new_code_cell(source) for source in sources]  # type: ignore[no-untyped-call]
    notebook = run(nbformat.v4.new_notebook(cells=cells), home)  # type: ignore[no-untyped-call]
    return [[output.data["text/plain"] for output in cell.outputs] for cell in notebook.cells]


def test_bar_moves_on_behind_its_cell(at_home: Path) -> None:
    """
    What began in one cell and ends in another is shown as ended, in the first; a third has a bar of its own.
    """
    wait, again = "_ = await handle.wait()", "handle = await client.submit('an owl')"
    first, second, third, last = progress_of(at_home, BEGUN.format(latency=0.3), wait, again, wait)

    assert ["1 of 1 done"] == [text.partition(DOT)[0] for text in first]
    assert ["1 of 1 done"] == [text.partition(DOT)[0] for text in third]
    assert [] == second == last


def test_clock_of_a_bar_goes_on_behind_its_cell(at_home: Path) -> None:
    """
    While a later cell runs that has nothing to do with it.
    """
    later = "while progress._shown.endswith('0:00'):\n    await asyncio.sleep(0.05)"
    (shown,), nothing = progress_of(at_home, BEGUN.format(latency=600.0), later)

    assert shown.startswith(DOT.join(["0 of 1 done", "1 running", ""]))
    assert not shown.endswith("0:00")
    assert [] == nothing


def test_what_a_task_of_an_ended_cell_begins_is_shown_where_it_is_seen(at_home: Path) -> None:
    """
    In the cell that runs now: whatever the ended one shows is dropped.
    """
    begin = BEGUN.format(latency=0.1).replace('handle = await client.submit("a fox")', "go_on = asyncio.Event()")
    begin += "async def fox():\n    await go_on.wait()\n    await client.generate('a fox')\n"
    first, second = progress_of(at_home, begin + "aio_task = asyncio.create_task(fox())", "go_on.set(); await aio_task")

    assert [] == first
    assert ["1 of 1 done"] == [text.partition(DOT)[0] for text in second]


def test_example_notebook_is_small_and_keeps() -> None:
    """
    It holds its pictures, and no address that dies.
    """
    text = NOTEBOOK.read_text(encoding="utf-8")

    assert 9 == text.count("data:image/webp;base64,")
    assert 1 == text.count("data:video/mp4;base64,")
    assert "http:" not in text
    assert 300_000 > len(text)


def shape_of(notebook: nbformat.NotebookNode) -> list[list[tuple[str, int]]]:
    """
    Return of each cell's outputs the kind, and how many pictures are in it.
    """
    return [
        [(output.output_type, output.get("data", {}).get("text/html", "").count("<img ")) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@contextlib.asynccontextmanager
async def kernel() -> AsyncIterator[tuple[AsyncKernelManager, AsyncKernelClient]]:
    manager = AsyncKernelManager()
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        yield manager, client
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


SETUP: Final = """
from kling_async import KlingClient
from kling_async.emulator import Emulator
server = await Emulator(latency=(600.0, 600.0), pictures="plain", picture_scale=0.1).__aenter__()
client = KlingClient(server.api_key, base_url=server.url, on_event=lambda event: print(event.kind.value, flush=True))
"""


async def test_interrupted_cell_loses_no_task(at_home: Path) -> None:
    """
    The kernel's "interrupt" cancels what the cell awaits, and the task is still there to be waited for.
    """
    async with kernel() as (manager, client):

        async def printed(code: str, *, until: str = "") -> str:
            sent, text = client.execute(code), ""
            while True:
                message = await client.get_iopub_msg(timeout=60)
                if message["parent_header"].get("msg_id") != sent:
                    continue
                content = message["content"]
                text += str(content.get("text", "") + content.get("ename", ""))
                if content.get("execution_state") == "idle":
                    return text
                if until and until in text:
                    until = ""
                    await manager.interrupt_kernel()

        assert "" == await printed(SETUP)
        told = await printed('await client.generate("a fox")', until="submitted")
        left = await printed("print([handle.status.value for handle in client.unfinished])")

    assert told.startswith("sending\nsubmitted\n")
    assert told.endswith(("CancelledError", "KeyboardInterrupt"))
    assert "['submitted']\n" == left
