"""
The pytest plugin: a service and a client for whichever loop a test has, and nothing loaded before one is asked for.
"""

import asyncio
import gc
import inspect
import os
import socket
import threading

import pytest

from kling_async import OFFICIAL, AccessKey, KlingClient
from kling_async.emulator import Emulator, faults
from kling_async.errors import ClientClosed
from kling_async.integrations.pytest_plugin import POLLING, RETRY, lead_to, make_client, serve

REAL_KEYS = {"KLING_API_KEY": "sk-real", "KLING_ACCESS_KEY": "real", "KLING_SECRET_KEY": "real"}


@pytest.fixture
def real_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in REAL_KEYS.items():
        monkeypatch.setenv(name, value)


async def test_client_and_service_belong_together(kling_client: KlingClient, kling_emulator: Emulator) -> None:
    """
    What the one makes stands in the other's ledger.
    """
    result = await kling_client.generate("a lighthouse", n=2)

    assert [result.task_id] == [task.task_id for task in kling_emulator.ledger.tasks]


async def test_clients_of_ones_own_find_the_service(real_keys: None, kling_emulator: Emulator) -> None:
    """
    A client that is given nothing is one of the service, and no real key is left to be used by mistake.
    """
    async with KlingClient() as client:
        await client.generate("a lighthouse")

    assert 1 == len(kling_emulator.ledger.tasks)
    assert {"KLING_API_KEY"} == REAL_KEYS.keys() & os.environ.keys()


@pytest.mark.kling(dialect=OFFICIAL, access_key=AccessKey("ak-test", "sk-test-of-as-many-bytes-as-real-ones"))
async def test_access_key_is_shown_in_place_of_the_other(real_keys: None, kling_emulator: Emulator) -> None:
    """
    Where the service has one, clients find that alone, and speak the service's dialect.
    """
    async with KlingClient() as client:
        await client.generate("a lighthouse", resolution="2k")

    assert 1 == len(kling_emulator.ledger.tasks)
    assert {"KLING_ACCESS_KEY", "KLING_SECRET_KEY"} == REAL_KEYS.keys() & os.environ.keys()


@pytest.mark.kling(dialect=OFFICIAL, faults=[faults.reset_after("create", times=1)])
async def test_fault_strikes(kling_emulator: Emulator) -> None:
    """
    The marker's arguments are the emulator's.
    """
    async with KlingClient() as client:
        await client.generate("a lighthouse")

    assert 1 == len(kling_emulator.ledger.tasks)
    assert 1 == kling_emulator.ledger.answers["create", 0]


@pytest.mark.kling(slots=2, seed=5, latency=(0, 0))
class TestOfAClass:
    @pytest.mark.kling(slots=3, dialect=OFFICIAL)
    def test_closer_marker_decides(self, kling_emulator: Emulator) -> None:
        """
        Argument by argument.
        """
        settings = kling_emulator.settings

        assert (3, 5, (0, 0), OFFICIAL) == (settings.slots, settings.seed, settings.latency, settings.dialect)


def test_environment_is_as_before(real_keys: None, request: pytest.FixtureRequest) -> None:
    """
    Neither the keys outlast the test, nor the defaults by which clients of one's own are quick in it.
    """
    before = dict(os.environ), dict(inspect.unwrap(KlingClient.__init__).__kwdefaults__ or {})
    patch = pytest.MonkeyPatch()
    with serve({}) as server:
        lead_to(server, patch)
        during = dict(os.environ), dict(inspect.unwrap(KlingClient.__init__).__kwdefaults__ or {})
        patch.undo()

    assert before == (dict(os.environ), dict(inspect.unwrap(KlingClient.__init__).__kwdefaults__ or {}))
    assert before[0] != during[0]
    assert (server.dialect, POLLING, RETRY) == tuple(during[1][name] for name in ("dialect", "polling", "retry"))


def test_client_closes_with_its_loop(kling_client: KlingClient) -> None:
    """
    Even where a task is waited for; another loop is told that it is closed.
    """

    async def leave() -> None:
        await kling_client.submit("a lighthouse")

    asyncio.run(leave())

    assert "closed" in repr(kling_client)
    with pytest.raises(ClientClosed):
        asyncio.run(leave())


def test_client_closes_in_a_loop_that_goes_on() -> None:
    """
    In the thread where that loop runs, or right here where it stands still.
    """

    async def leave(client: KlingClient) -> None:
        await client.submit("a lighthouse")

    with serve({}) as server, asyncio.Runner() as runner:
        with make_client(server) as still:
            runner.run(leave(still))
        thread = threading.Thread(target=runner.get_loop().run_forever)
        thread.start()
        with make_client(server) as running:
            asyncio.run_coroutine_threadsafe(leave(running), runner.get_loop()).result()
        states = [repr(client).split(", ")[1] for client in (still, running)]
        runner.get_loop().call_soon_threadsafe(runner.get_loop().stop)
        thread.join()

    assert ["closed", "closed"] == states


def test_ledger_is_read_where_it_is_written(kling_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In the emulator's thread: two that count at once would count wrongly.
    """
    seen = []
    monkeypatch.setattr(kling_emulator.account, "settle", lambda _: seen.append(threading.current_thread()))
    ledger = kling_emulator.ledger

    assert [] == ledger.tasks
    assert [True] == [thread is not threading.current_thread() for thread in seen]


def test_ledger_outlasts_the_service() -> None:
    """
    Afterwards there is nobody to ask, and no need.
    """
    with serve({}) as server:
        pass

    assert [] == server.ledger.tasks


def test_port_that_is_taken() -> None:
    """
    What keeps a service from opening is raised, and no thread is left.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match="in use"):
            with serve({"port": taken.getsockname()[1]}):
                raise AssertionError("it opened")

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kling-emulator")]


LOOPS = "[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\nasyncio_mode = "

OF_PYTEST_ASYNCIO = """
async def test_it(kling_client, kling_emulator):
    await kling_client.generate("a lighthouse")

    assert 1 == len(kling_emulator.ledger.tasks)
"""

OF_A_MODULE = """
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

async def test_first(kling_client, kling_emulator):
    await kling_client.submit("a lighthouse")

    assert 1 == len(kling_emulator.ledger.tasks)

async def test_second(kling_client, kling_emulator):
    await kling_client.submit("a lighthouse")

    assert 1 == len(kling_emulator.ledger.tasks)
"""

OF_ANYIO = """
import pytest

pytestmark = pytest.mark.anyio

@pytest.fixture(params=["asyncio"])
def anyio_backend(request):
    return request.param

@pytest.fixture
async def result(kling_client):
    return await kling_client.generate("a lighthouse")

async def test_alone(kling_client, kling_emulator):
    await kling_client.generate("a lighthouse")

    assert 1 == len(kling_emulator.ledger.tasks)

async def test_with_a_fixture(result, kling_client, kling_emulator):
    await kling_client.generate("a lighthouse")

    assert 2 == len(kling_emulator.ledger.tasks)
"""

OF_NOBODY = """
import asyncio
from kling_async import KlingClient

def make(prompt):
    async def main():
        async with KlingClient() as client:
            return await client.generate(prompt)

    return asyncio.run(main())

def test_functions_of_ones_own(kling_emulator):
    assert make("a lighthouse").task_id != make("a lighthouse").task_id
    assert 2 == len(kling_emulator.ledger.tasks)

def test_client_and_a_loop_of_ones_own(kling_client):
    assert asyncio.run(kling_client.generate("a lighthouse")).images

def test_client_that_is_not_used(kling_client):
    assert "0 unfinished" in repr(kling_client)
"""


def test_any_loop_will_do(pytester: pytest.Pytester) -> None:
    """
    One of pytest-asyncio, which is asked for or is a module's, of anyio, or of nobody; and nothing is left open, or
    pytest would warn.
    """
    pytester.makeini(LOOPS + "strict")
    marked = f"import pytest\n\npytestmark = pytest.mark.asyncio\n{OF_PYTEST_ASYNCIO}"
    pytester.makepyfile(test_a=marked, test_b=OF_A_MODULE, test_c=OF_ANYIO, test_d=OF_NOBODY)
    gc.collect()
    ended = pytester.runpytest_inprocess("--strict-markers")

    ended.assert_outcomes(passed=8)


def test_loop_that_nobody_asks_for_will_do(pytester: pytest.Pytester) -> None:
    """
    Where pytest-asyncio runs whatever is a coroutine.
    """
    pytester.makeini(LOOPS + "auto")
    pytester.makepyfile(OF_PYTEST_ASYNCIO)
    gc.collect()
    ended = pytester.runpytest_inprocess()

    ended.assert_outcomes(passed=1)


def test_invalid_settings_are_reported_in_a_line(pytester: pytest.Pytester) -> None:
    """
    Arguments that no emulator has, arguments without a name, values that it does not take, and no Pillow.
    """
    pytester.makeini(LOOPS + "strict")
    pytester.makepyfile(
        """
        import sys
        import pytest

        @pytest.fixture
        def no_pillow(monkeypatch):
            monkeypatch.setitem(sys.modules, "PIL", None)

        @pytest.mark.kling(slot=3)
        def test_unknown(kling_emulator): ...

        @pytest.mark.kling([])
        def test_nameless(kling_client): ...

        @pytest.mark.kling(slots=0)
        def test_wrong(kling_emulator): ...

        def test_no_pillow(no_pillow, kling_emulator): ...
        """
    )
    ended = pytester.runpytest_inprocess()

    ended.assert_outcomes(errors=4)
    ended.stdout.fnmatch_lines(
        [
            "pytest.mark.kling knows no slot; it takes access_key, *, slots, *",
            "pytest.mark.kling takes only keyword arguments, got ([[][]],)",
            "the emulator cannot be started: slots must be at least 1, or None for no limit, got 0",
            'the emulator cannot be started: *pip install "kling-async[[]emulator]"',
        ],
        consecutive=False,
    )
    ended.stdout.no_fnmatch_line("*Traceback*")


def test_nothing_is_loaded_before_it_is_asked_for(pytester: pytest.Pytester) -> None:
    """
    Whoever has the package installed, and does not use it in a test, does not pay for it in time.
    """
    pytester.makepyfile(
        """
        import sys
        import pytest

        def test_without():
            ours = {name for name in sys.modules if name.partition(".")[0] in ("kling_async", "aiohttp", "PIL")}

            assert "pytest_kling_async" in sys.modules
            assert set() == ours

        def test_with(kling_emulator):
            assert {"kling_async.client.client", "aiohttp"} <= sys.modules.keys()
        """
    )
    ended = pytester.runpytest_subprocess("-p", "no:asyncio")

    ended.assert_outcomes(passed=2)
