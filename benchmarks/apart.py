"""
Runs client and service in separate processes, each on its own core if the system supports that.
"""

import asyncio
import gc
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from multiprocessing.connection import Connection

    Pipe = Connection[Any, Any]

T = TypeVar("T")


def pin(which: int) -> None:
    """
    Keep this process on one core: 0 is for clients, -1 for services.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[which]})


def _run(
    serve: "Callable[..., Coroutine[Any, Any, None]]", pipe: "Pipe", given: tuple[object, ...], *, is_pinned: bool
) -> None:
    if is_pinned:
        pin(-1)
    asyncio.run(serve(pipe, *given))


def fresh(function: "Callable[..., T]", *given: object) -> "T":
    """
    Call *function* in a new process, in which nothing was imported or cached before, and return its result.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *given).result()


@contextmanager
def no_collector() -> "Iterator[None]":
    """
    Do without Python's garbage collector.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def service(
    serve: "Callable[..., Coroutine[Any, Any, None]]", *given: object, is_pinned: bool = True
) -> "Iterator[Pipe]":
    """
    Run *serve* with the other end of the pipe and *given* in a new process; it must return when it receives None.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(serve, theirs, given), kwargs={"is_pinned": is_pinned})
    process.start()
    try:
        yield ours
    finally:
        ours.send(None)
        process.join()
