"""
A batch whose pictures a cluster saves, named by the address of its scheduler.
"""

import contextlib
import logging
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from distributed import LocalCluster

from tests.cli.conftest import Command, Here, service


@contextlib.asynccontextmanager
async def scheduler(workers: int = 1) -> AsyncIterator[str]:
    """
    The address of a scheduler, whose workers are in this process.
    """
    async with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=workers,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
        asynchronous=True,
    ) as made:
        yield made.scheduler_address


def write_prompts(folder: Path) -> None:
    (folder / "prompts.txt").write_text("a fox\na boat\n")


async def test_the_clusters_workers_save(command: Command, tmp_path: Path) -> None:
    """
    What the command is told to save, where it would.
    """
    write_prompts(tmp_path)
    async with service() as server, scheduler() as address:
        ended = await command.to(server)("batch", "prompts.txt", "--dask", address, "--name", "{key}{ext}")

        assert 0 == ended.code, ended.err
        assert (2, 2) == (len(server.ledger.tasks), server.ledger.downloads)
    assert re.search(r"^rows +2 saved$", ended.out, re.MULTILINE)
    assert 2 == len(list((tmp_path / "pictures").iterdir()))


async def test_a_cluster_that_is_not_there(command: Command, tmp_path: Path) -> None:
    write_prompts(tmp_path)
    impatient = command.with_env(DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="0.2s")
    async with service() as server:
        ended = await impatient.to(server)("batch", "prompts.txt", "--dask", "tcp://127.0.0.1:9")

        assert (2, 0) == (ended.code, server.ledger.creates_received)
    assert "Invalid value for --dask: Timed out trying to connect to" in ended.err


def test_an_address_that_is_none(here: Here, tmp_path: Path) -> None:
    write_prompts(tmp_path)

    ended = here("batch", "prompts.txt", "--dask", "nonsense://here")

    assert 2 == ended.code
    assert "Invalid value for --dask" in ended.err


def test_dask_is_not_installed(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is told how to mend that.
    """
    write_prompts(tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)

    ended = here("batch", "prompts.txt", "--dask", "tcp://127.0.0.1:9")

    assert 2 == ended.code
    assert 'pip install "kling-async[dask]"' in " ".join(ended.err.replace("│", " ").split())
