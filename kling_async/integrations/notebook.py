"""
For notebooks: a progress bar, and pictures that are stored in the notebook. Needs IPython, which notebooks have.

    client = KlingClient(on_event=Progress())
"""

import asyncio
import contextvars
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from kling_async.client.events import TaskEvent
from kling_async.client.outcomes import Done, Failed
from kling_async.integrations import cards
from kling_async.integrations.cards import Figure, Tone
from kling_async.integrations.progress import Stage, Tally
from kling_async.integrations.value_cards import address_of, draw_done
from kling_async.wire.endpoints.registry import caption_of
from kling_async.wire.redaction import shorten
from kling_async.wire.tasks import TaskResult

__all__ = ["Progress", "show"]

_APART: Final = 0.25
"""
Seconds between two updates while submits wait or run.
"""

_EMBEDDED_MAX: Final = 8_000_000
"""
Bytes of a video or a sound that `show` stores in the notebook.
"""

_TONES: Final = {Stage.DONE: Tone.WELL, Stage.FAILED: Tone.BADLY, Stage.LEFT: Tone.BADLY, Stage.RUNNING: Tone.WORKING}
"""
In the order in which the bar shows them; waiting submits are its empty rest.
"""


class Progress:
    """
    Shows in the output of a cell how many submits wait, run and have ended: the `on_event` of one client.

        async with KlingClient(on_event=Progress(total=len(prompts))) as client:
            async for outcome in client.stream(prompts):
                ...

    A client may be used in many cells: a cell that starts submits while none of earlier cells run gets its own bar. In
    a batch, rows that are sent again count again, and rows of earlier runs do not count.

    Args:
        total: The number of submits, if it is known; None counts those that have begun.

    Raises:
        ImportError: IPython is not installed.
        RuntimeError: The program does not run in a notebook.
    """

    def __init__(self, total: int | None = None) -> None:
        self.total: Final = total
        self._shell = _find_shell()
        self._display: Any = None  # IPython's handle on the output
        self._cell: object = None
        self._tally = Tally()
        self._shown = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, event: TaskEvent) -> None:
        """
        Count an event, on the event loop of its client.
        """
        loop = asyncio.get_running_loop()
        if self._begins_anew(event):
            self._tally, self._display, self._shown = Tally(), None, ""
            self._cell = self._shell.execution_count
        self._tally.take(event)
        if self._loop is not loop:  # a timer of another loop would never fire
            self._loop, self._timer = loop, None
        if self._display is None or not self._tally.counts[Stage.WAITING]:  # the cell may end here: no timer is awaited
            self._draw()
        if self._timer is None and self._tally.is_busy:
            self._timer = loop.call_later(_APART, self._tick)

    def _begins_anew(self, event: TaskEvent) -> bool:
        if self._display is None:
            return True
        is_elsewhere = self._cell != self._shell.execution_count
        return is_elsewhere and not self._tally.is_busy and self._tally.is_new(event)

    def _tick(self) -> None:
        self._timer = None
        self._draw()
        if self._tally.is_busy and self._loop is not None:
            self._timer = self._loop.call_later(_APART, self._tick)

    def _draw(self) -> None:
        tally, total = self._tally, max(self.total or 0, self._tally.known)
        words = " \N{MIDDLE DOT} ".join(_words(tally, total, time.time()))
        trouble = _trouble(tally)
        strip = cards.bar([(tally.counts[stage], tone) for stage, tone in _TONES.items()], total)
        drawn = {
            "text/plain": f"{words}\n{trouble}".strip(),
            "text/html": cards.card(body=strip, facts=[words], note=trouble),
        }
        if drawn["text/plain"] == self._shown:
            return
        self._shown = drawn["text/plain"]
        # Runs in an empty context: the current one may belong to a cell that has ended, whose messages nbclient drops.
        contextvars.Context().run(self._publish, drawn)

    def _publish(self, drawn: dict[str, str]) -> None:
        if self._display is None:
            self._display = _display(drawn, display_id=True)
        else:
            self._display.update(drawn, raw=True)


def show(*what: Done | Failed | TaskResult | Path | str) -> None:
    """
    Show outcomes and files below the cell and store copies in the notebook, so that they stay visible: small ones of
    pictures, and videos and sounds of at most 8 MB. Larger ones are played from the disk.

    Outcomes without files are shown by their URLs, as without this function, and disappear when those expire.

    Args:
        what: Outcomes with their `paths`, such as those of a batch that saves, or paths of files.

    Raises:
        ValueError: A file does not exist, or is not a picture, a video or a sound.
        ImportError: IPython or Pillow is not installed; Pillow is in the extra "gallery".
        RuntimeError: The program does not run in a notebook.
    """
    _find_shell()
    drawn = [_draw_kept(each) for each in what]
    _display({"text/plain": "\n".join(map(_named, what)), "text/html": cards.row_of(drawn)})


def _draw_kept(what: Done | Failed | TaskResult | Path | str) -> str:
    match what:
        case Done(paths=paths) if paths:
            return draw_done(what, [_keep(path, what.caption) for path in paths])
        case Done() | Failed() | TaskResult():
            return what._repr_html_()
        case _:
            return cards.card(figures=[_keep(Path(what), Path(what).name)])


def _named(what: Done | Failed | TaskResult | Path | str) -> str:
    match what:
        case Done(index=index, request=request) | Failed(index=index, request=request):
            return f"{type(what).__name__} #{index}: {shorten(caption_of(request))}"
        case TaskResult():
            return repr(what)
        case _:
            return Path(what).name


def _keep(path: Path, alt: str) -> Figure:
    # Pillow, which the gallery needs, is an extra.
    from kling_async.gallery.previews import embed_media, make_preview  # noqa: PLC0415

    try:
        preview = make_preview(path)
        if preview.kind == "image":
            return Figure(preview.picture or "", alt, path.name)
        size = path.stat().st_size
        content = embed_media(path) if size <= _EMBEDDED_MAX else ""
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    poster = preview.picture or "" if preview.kind == "video" else ""
    caption = path.name if content else f"{path.name}, {size / 1e6:.1f} MB, which is not in the notebook"
    local = address_of(path)
    if not content and not local:  # the page cannot reach it
        return Figure(poster, alt, caption)
    return Figure(content, alt, caption, preview.kind, local, poster)


def _words(tally: Tally, total: int, now: float) -> Iterator[str]:
    yield f"{tally.counts[Stage.DONE]:,} of {total:,} done"
    for stage in (Stage.FAILED, Stage.RUNNING, Stage.WAITING, Stage.CANCELLED):
        if tally.counts[stage]:
            yield f"{tally.counts[stage]:,} {stage.value}"
    if tally.counts[Stage.LEFT]:
        yield f"{tally.counts[Stage.LEFT]:,} no longer watched"
    if tally.files:
        yield f"{tally.files:,} file{'' if tally.files == 1 else 's'} saved"
    minutes, seconds = divmod(int(tally.seconds(now)), 60)
    yield f"{minutes}:{seconds:02}"


def _trouble(tally: Tally) -> str:
    if (error := tally.hindrance) is not None:
        return f"trying again after {type(error).__name__}: {error}"
    if (error := tally.failure) is not None:
        return f"last failure: {type(error).__name__}: {error}"
    return ""


def _find_shell() -> Any:
    try:
        from IPython import get_ipython  # noqa: PLC0415 (only notebooks have it)
    except ModuleNotFoundError as error:
        raise ImportError(
            "this is for notebooks, and IPython is not installed; give on_event a function", name=error.name
        ) from None
    shell = get_ipython()
    if shell is None:
        raise RuntimeError("this is for notebooks, and none is running; give on_event another function")
    return shell


def _display(drawn: dict[str, str], **options: Any) -> Any:
    from IPython.display import display  # noqa: PLC0415

    return display(drawn, raw=True, **options)  # type: ignore[no-untyped-call]
