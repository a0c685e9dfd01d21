"""
Relays that put the content of a picture into its `url`: every way of saving takes it.
"""

import base64
import contextlib
import json
import pickle
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import attrs
import pytest
from aiohttp import web
from yarl import URL

from kling_async import Batch, Done, HttpOptions, ImageRequest, KlingClient
from kling_async.batch.executors import Process, WorkItem, WorkResult, execute
from kling_async.emulator import Emulator
from kling_async.media.fetch_errors import FetchError
from kling_async.media.naming import NameTemplate
from kling_async.media.storage import Storage
from kling_async.policy.host_networks import Network
from tests.fakes.storages import EAGER, Memory, memory  # noqa: F401 (a fixture)

URL_FIELDS: Final = ("url", "watermark_url")


@attrs.define(eq=False)
class Relay:
    """
    Passes everything on to an emulator, and rewrites where pictures are.
    """

    server: Emulator
    rewrite: Callable[[str, bytes], str]
    session: aiohttp.ClientSession

    async def answer(self, request: web.BaseRequest) -> web.Response:
        url = str(URL(self.server.url).origin()) + request.raw_path
        headers = {name: value for name, value in request.headers.items() if name in ("Authorization", "Content-Type")}
        async with self.session.request(request.method, url, data=await request.read(), headers=headers) as answered:
            body, kind = await answered.read(), answered.content_type
        if kind == "application/json":
            body = json.dumps(await self.rewritten(json.loads(body))).encode()
        return web.Response(status=answered.status, body=body, content_type=kind)

    async def rewritten(self, value: Any) -> Any:
        match value:
            case dict():
                return {
                    name: await self.told(each) if name in URL_FIELDS else await self.rewritten(each)
                    for name, each in value.items()
                }
            case list():
                return [await self.rewritten(each) for each in value]
            case _:
                return value

    async def told(self, url: Any) -> Any:
        if not url:
            return url
        async with self.session.get(url) as answered:
            return self.rewrite(url, await answered.read())


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


WAYS: Final[dict[str, Callable[[str, bytes], str]]] = {
    "data": lambda _, content: "data:image/png;base64," + base64.b64encode(content).decode(),
    "base64": lambda _, content: base64.b64encode(content).decode(),
    "path": lambda url, _: path_of(url),
    "no scheme": lambda url, _: url.removeprefix("http:"),
}


@pytest.fixture(params=WAYS)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[KlingClient]:
    """
    A client of such a relay.
    """
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(Emulator(latency=(0, 0), pictures="plain", picture_scale=0.05))
        relay = Relay(server, WAYS[request.param], await stack.enter_async_context(aiohttp.ClientSession()))
        runner = web.ServerRunner(web.Server(relay.answer), shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base_url = str(URL(server.url).with_port(runner.addresses[0][1]))
        client = KlingClient(server.api_key, base_url=base_url, dialect=server.dialect, polling=EAGER)
        yield await stack.enter_async_context(client)


async def test_saved_and_read(client: KlingClient, tmp_path: Path) -> None:
    """
    By the client, from a result.
    """
    result = await client.generate("a lighthouse", n=2)

    paths = await client.save(result, tmp_path)

    assert [path.read_bytes() for path in paths] == [await client.read(image) for image in result.images]
    assert all(len(repr(image)) < 1000 for image in result.images)


async def test_saved_in_a_storage(client: KlingClient, memory: Memory) -> None:  # noqa: F811 (a fixture)
    """
    By an upload.
    """
    result = await client.generate("a lighthouse", n=2)

    destination = Storage(str(memory.storage))
    urls = await client.save(result, destination)

    assert [len(await client.read(image)) for image in result.images] == [await destination.size(url) for url in urls]


class Own:
    """
    A carrier as a program writes one, whose orders travel.
    """

    width = 3

    async def check(self, function: Process | None, destination: Path | Storage) -> None:
        pass

    async def execute(self, order: WorkItem) -> WorkResult:
        return await execute(pickle.loads(pickle.dumps(order)))  # noqa: S301 (as on their way)


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_saved_by_a_batch(client: KlingClient, tmp_path: Path, elsewhere: bool) -> None:  # noqa: FBT001
    """
    By a batch, here and by an engine that knows nothing of the service.
    """
    async with Batch(tmp_path / "run.kling", client) as batch:
        await batch.add([ImageRequest("a lighthouse", n=2)])
        options: dict[str, Any] = {"executor": Own()} if elsewhere else {}
        [outcome] = [each async for each in batch.run(save_to=tmp_path / "pictures", **options)]

    assert isinstance(outcome, Done)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in outcome.paths)
    assert len(outcome.paths) == 2


@pytest.mark.parametrize("allowed", [(), ("127.0.0.0/8",)])
async def test_worker_asks_only_where_it_may(tmp_path: Path, allowed: tuple[str, ...]) -> None:
    """
    What carries an order out knows where the service is by the order alone, and may be allowed more by its own options.
    """
    async with Emulator(latency=(0, 0), pictures="plain", picture_scale=0.05) as server:
        async with KlingClient(server.api_key, base_url=server.url, dialect=server.dialect, polling=EAGER) as client:
            result = await client.generate("a lighthouse")
            networks = await client.core.files.networks()
        order = WorkItem(
            key="k",
            task_id=result.task_id,
            request=ImageRequest("a lighthouse"),
            file=result.images[0],
            saved=None,
            names=NameTemplate("{index}{ext}", result.task_id),
            destination=tmp_path,
            function=None,
            networks=frozenset(),
        )
        http = HttpOptions(allow_downloads_from=allowed)
        if allowed:
            assert (await execute(order, http=http)).saved.path == tmp_path / "0.png"
        else:
            with pytest.raises(FetchError, match="allow_downloads_from"):
                await execute(order, http=http)
        carried = await execute(pickle.loads(pickle.dumps(attrs.evolve(order, networks=networks))))  # noqa: S301

    assert networks == {Network.LOOPBACK}
    assert carried.saved.path == tmp_path / "0.png"


async def test_saved_by_a_dask_worker(client: KlingClient, tmp_path: Path) -> None:
    """
    By a worker of a cluster.
    """
    pytest.importorskip("distributed")
    from kling_async.integrations.dask import DaskExecutor  # noqa: PLC0415
    from tests.fakes.dask_cluster import cluster  # noqa: PLC0415

    async with cluster() as dask_client, DaskExecutor(dask_client) as executor:
        async with Batch(tmp_path / "run.kling", client) as batch:
            await batch.add([ImageRequest("a lighthouse", n=2)])
            [outcome] = [each async for each in batch.run(save_to=tmp_path / "pictures", executor=executor)]

    assert isinstance(outcome, Done)
    assert len(outcome.paths) == 2
