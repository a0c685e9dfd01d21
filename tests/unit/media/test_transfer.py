"""
Files that come in several parts, from servers that differ in what they heed.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async.media.fetch_errors import FetchError, FetchRefused, LinkExpired, TransferBroken
from kling_async.media.resumption import FileVersion, Resumption, judge
from kling_async.media.streams import BytesSource
from kling_async.media.transfer import PROGRESS, Answer, Transfer
from tests.fakes.simulated_loop import simulated

SIZE = 1000


@attrs.define
class BrokenSource:
    """
    A body that breaks when its content has come.
    """

    content: bytes
    size: int
    is_cut: bool
    content_type: str = "video/mp4"

    async def read(self) -> bytes:
        piece, self.content = self.content[:300_000], self.content[300_000:]
        if not piece and self.is_cut:
            raise TransferBroken("cut")
        return piece


@attrs.frozen
class Step:
    """
    How a server answers one request.
    """

    version: int = 1
    cut_at: int | None = None
    status: int | None = None


@attrs.define(eq=False)
class Server:
    """
    A server of one file, whose bytes are all the number of its version.

    Attributes:
        steps: One for each request; the last for ever.
        served: The bytes of each answer, as (start, end, version).
    """

    steps: list[Step]
    size: int = SIZE
    growth: int = 0
    tag: str = "strong"
    ranges: bool = True
    if_range: bool = True
    if_match: bool = True
    states_size: bool = True
    part_max: int = SIZE * 10_000
    served: list[tuple[int, int, int]] = attrs.field(factory=list)
    urls: list[str] = attrs.field(factory=list)

    @contextlib.asynccontextmanager
    async def ask(self, url: str, version: FileVersion | None, start: int, /) -> AsyncIterator[Answer]:
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        self.urls.append(url)
        if step.status in (403, 503):
            raise LinkExpired("expired") if step.status == 403 else TransferBroken("busy")
        status, headers, body = self.answer(step, version.headers(start) if version is not None else {})
        resumption = judge(version, start, status, headers) if version is not None else Resumption.WHOLE
        if resumption is None:
            raise TransferBroken(f"HTTP {status}")
        first = start if status == 206 else 0
        is_cut = step.cut_at is not None and step.cut_at <= len(body)
        body = body[: step.cut_at] if is_cut else body
        self.served.append((first, first + len(body), step.version))
        size = int(headers["Content-Length"])
        yield Answer(BrokenSource(body, size, is_cut), FileVersion.of(headers, size), resumption)

    def answer(self, step: Step, asked: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        content = bytes([step.version]) * (self.size + step.version * self.growth)
        known = self.validators(step.version)
        date, tag = known.get("Last-Modified"), known.get("ETag")
        if self.if_match and (asked.get("If-Match", tag), asked.get("If-Unmodified-Since", date)) != (tag, date):
            return 412, {**known, "Content-Length": "0"}, b""
        start = int(asked.get("Range", "bytes=0-")[6:-1])
        is_other = self.if_range and asked.get("If-Range") not in (None, tag, date)
        if "Range" not in asked or not self.ranges or is_other:
            return 200, {**known, "Content-Length": str(len(content))}, content
        if start >= len(content):
            unsatisfied = {"Content-Range": f"bytes */{len(content)}"} if self.states_size else {}
            return 416, {**unsatisfied, "Content-Length": "0"}, b""
        part = content[start : start + self.part_max]
        stated = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        return 206, {**known, "Content-Range": stated, "Content-Length": str(len(part))}, part

    def validators(self, version: int) -> dict[str, str]:
        dated = {
            "Last-Modified": f"Mon, 30 Nov 2026 10:{version:02}:00 GMT",
            "Date": "Mon, 30 Nov 2026 12:00:00 GMT",
        }
        return {"strong": {"ETag": f'"v{version}"', **dated}, "weak": {"ETag": f'W/"v{version}"'}, "none": {}}.get(
            self.tag, dated
        )


def delays() -> Iterator[float]:
    return iter([1.0, 2.0, 4.0])


async def fetched(server: Server, *, renew: Any = None) -> bytes:
    """
    Fetch as downloads do.
    """
    async with Transfer("http://a/1", server.ask, renew, delays) as transfer:
        while True:
            content = b""
            try:
                await transfer.begin()
                while piece := await transfer.read():
                    content += piece
            except TransferBroken as broken:
                await transfer.begin_anew(broken)
            else:
                return content


@simulated
async def test_continues_where_it_broke() -> None:
    """
    What has come is not requested again.
    """
    server = Server([Step(cut_at=600), Step(cut_at=100), Step()])

    assert b"\1" * SIZE == await fetched(server)
    assert [(0, 600, 1), (600, 700, 1), (700, 1000, 1)] == server.served


@pytest.mark.parametrize(
    ("traits", "served"),
    [
        ({}, [(0, 600, 1), (0, 0, 2), (0, 1000, 2)]),
        ({"if_match": False}, [(0, 600, 1), (0, 1000, 2)]),
        ({"if_range": False}, [(0, 600, 1), (0, 0, 2), (0, 1000, 2)]),
        ({"if_match": False, "if_range": False}, [(0, 600, 1), (600, 1000, 2), (0, 1000, 2)]),
        ({"tag": "weak"}, [(0, 600, 1), (0, 1000, 2)]),
        ({"tag": "date", "if_match": False, "if_range": False}, [(0, 600, 1), (600, 1000, 2), (0, 1000, 2)]),
    ],
    ids=str,
)
@simulated
async def test_another_version_is_never_joined(traits: dict[str, Any], served: list[tuple[int, int, int]]) -> None:
    """
    Whatever a server heeds, the file begins anew if it has changed; an answer with all of it is used at once.
    """
    server = Server([Step(cut_at=600), Step(version=2)], **traits)

    assert b"\2" * SIZE == await fetched(server)
    assert served == server.served


@simulated
async def test_less_than_was_requested() -> None:
    """
    A server may send a smaller part; the others are requested, too.
    """
    server = Server([Step(cut_at=600), Step()], part_max=300)

    assert b"\1" * SIZE == await fetched(server)
    assert [(0, 600, 1), (600, 900, 1), (900, 1000, 1)] == server.served


@simulated
async def test_range_that_is_ignored() -> None:
    """
    An answer with the whole file is not requested twice, and may be resumed itself.
    """
    server = Server([Step(cut_at=600), Step(cut_at=700), Step(cut_at=800), Step()], ranges=False)

    assert b"\1" * SIZE == await fetched(server)
    assert [(0, 600, 1), (0, 700, 1), (0, 800, 1), (0, 1000, 1)] == server.served


@simulated
async def test_fresh_url_continues() -> None:
    """
    A URL that expires in the middle is renewed, and the rest comes from the new one.
    """

    async def renew(_: LinkExpired) -> str:
        return "http://b/2"

    server = Server([Step(cut_at=600), Step(status=403), Step()])

    assert b"\1" * SIZE == await fetched(server, renew=renew)
    assert ["http://a/1", "http://a/1", "http://b/2"] == server.urls
    assert [(0, 600, 1), (600, 1000, 1)] == server.served
    with pytest.raises(LinkExpired):
        await fetched(Server([Step(cut_at=600), Step(status=403)]))


@simulated
async def test_file_in_a_fresh_url() -> None:
    """
    If the fresh URL holds the file itself, that is taken from its beginning; if it breaks there, that is final.
    """
    answers = [Answer(BytesSource(content), is_final=True) for content in (b"\3" * 10, b"")]

    async def renew(_: LinkExpired) -> str:
        return "data:"

    for answer in answers:
        server = Server([Step(cut_at=600), Step(status=403)])

        @contextlib.asynccontextmanager
        async def ask(url: str, version: FileVersion | None, start: int, /) -> AsyncIterator[Answer]:
            if url == "data:":
                yield answer  # noqa: B023 (called in this turn)
                return
            async with server.ask(url, version, start) as found:  # noqa: B023
                yield found

        async with Transfer("http://a/1", ask, renew, delays) as transfer:
            await transfer.begin()
            with pytest.raises(TransferBroken, match="from its beginning") as caught:
                while await transfer.read():
                    pass
            await transfer.begin_anew(caught.value)
            await transfer.begin()
            assert answer is answers[1] or b"\3" * 10 == await transfer.read()
            await transfer.read()
            with pytest.raises(FetchRefused, match="its URL holds no complete file: short"):
                await transfer.begin_anew(TransferBroken("short"))


@simulated
async def test_attempts_without_progress_are_limited() -> None:
    """
    Four requests that bring nothing new are enough, also in the middle.
    """
    busy = Server([Step(status=503)])
    stuck = Server([Step(cut_at=600), Step(cut_at=1)])

    for server in (busy, stuck):
        with pytest.raises(TransferBroken):
            await fetched(server)

    assert (4, 4) == (len(busy.urls), len(stuck.urls))


@simulated
async def test_progress_renews_the_attempts() -> None:
    """
    A large file may break many times, if each time a MiB or more has come.
    """
    size = 10 * PROGRESS
    server = Server([Step(cut_at=PROGRESS)], size=size)
    drip = Server([Step(cut_at=PROGRESS - 1)], size=size)
    no_ranges = Server([Step(cut_at=number * PROGRESS) for number in range(1, 12)], size=size, ranges=False)

    assert size == len(await fetched(server))
    assert size == sum(end - start for start, end, _ in server.served)
    for each in (drip, no_ranges):
        with pytest.raises(TransferBroken, match="cut"):
            await fetched(each)
    assert 4 == len(drip.urls)
    assert 6 > len(no_ranges.urls)


@pytest.mark.parametrize(
    ("states_size", "served"),
    [(True, [(0, 1000, 1), (0, 0, 1)]), (False, [(0, 1000, 1), (0, 0, 1), (0, 1000, 1)])],
)
@simulated
async def test_end_that_was_not_sent(states_size: bool, served: list[tuple[int, int, int]]) -> None:  # noqa: FBT001
    """
    If all has come but the end, a 416 with that size is the end; one without a size is not.
    """
    server = Server([Step(cut_at=SIZE), Step()], states_size=states_size)

    assert b"\1" * SIZE == await fetched(server)
    assert served == server.served


@simulated
async def test_end_of_a_truncated_file() -> None:
    """
    If the file is not complete by its structure though nothing is left, it may begin anew.
    """
    server = Server([Step(cut_at=SIZE), Step()])
    async with Transfer("http://a/1", server.ask, None, delays) as transfer:
        await transfer.begin()
        while await transfer.read():
            pass
        await transfer.begin_anew(TransferBroken("it was truncated"))
        await transfer.begin()

        assert b"\1" * SIZE == await transfer.read()


STEPS = st.builds(
    Step,
    version=st.integers(1, 3),
    cut_at=st.none() | st.integers(0, SIZE),
    status=st.sampled_from([None, None, None, 503]),
)


@given(
    st.builds(
        Server,
        st.lists(STEPS, min_size=1, max_size=8).map(lambda steps: [*steps, Step(version=3)]),
        growth=st.sampled_from([0, 50]),
        tag=st.sampled_from(["strong", "weak", "date", "none"]),
        ranges=st.booleans(),
        if_range=st.booleans(),
        if_match=st.booleans(),
        states_size=st.booleans(),
        part_max=st.sampled_from([300, SIZE]),
    )
)
@simulated
async def test_never_two_versions_in_one_file(server: Server) -> None:
    """
    Whatever a server heeds and whenever the file changes, what arrives is all of one version, or nothing.
    """
    try:
        content = await fetched(server)
    except FetchError:
        return

    assert content == content[:1] * (SIZE + content[0] * server.growth)
