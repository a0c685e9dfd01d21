"""
The options of `Batch.run` that concern saving: checks them, and creates the saver.
"""

import inspect
import os
from pathlib import Path
from typing import Any

import attrs

from kling_async.batch.executors import Executor, Process, RemoteExecutor
from kling_async.batch.journal import Journal
from kling_async.batch.savers import CollidingKeys, LocalSaver, RemoteSaver, check_saving
from kling_async.client.client import KlingClient
from kling_async.media.naming import ROW_FIELDS, check_template
from kling_async.media.storage import Storage
from kling_async.policy.arguments import check_kind, refuse

__all__ = ["SaveOptions"]


@attrs.frozen
class SaveOptions:
    """
    The arguments of `Batch.run` that concern saving.
    """

    save_to: str | Path | Storage | None
    name: str
    process: Process | None
    executor: Executor | RemoteExecutor | None

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.name, str):
            refuse("name", f"<{type(self.name).__name__}>", "must be a template for names, as text")
        if self.executor is not None:
            kinds = (Executor, RemoteExecutor)
            check_kind("executor", self.executor, kinds, "must be an Executor or a RemoteExecutor")
        if self.save_to is None:
            if self.process is not None or self.executor is not None:
                raise ValueError("`process=` and `executor=` work on files that are saved: say where with `save_to=`")
            return
        check_kind("save_to", self.save_to, (str, os.PathLike, Storage), "must be a folder, a URL or a Storage")
        if self.process is not None and (not callable(self.process) or inspect.iscoroutinefunction(self.process)):
            raise ValueError("`process=` must be a function, and not an `async` one: other processes call it")
        check_template(self.name, ROW_FIELDS)

    async def make_saver(
        self, client: KlingClient, journal: Journal, executor: Executor
    ) -> LocalSaver | RemoteSaver | None:
        """
        Create the saver after checking that it can do its work; None if nothing is saved.

        Args:
            executor: Calls functions if the options have no executor.
        """
        if self.save_to is None:
            return None
        chosen = self.executor or (None if self.process is None else executor)
        destination = await check_saving(self.save_to, self.process, chosen)
        common: dict[str, Any] = {
            "client": client,
            "destination": destination,
            "name": self.name,
            "mark": journal.id,
            "function": self.process,
            "colliding_keys": CollidingKeys(journal.find_colliding_keys),
        }
        if isinstance(self.executor, RemoteExecutor):
            return RemoteSaver(**common, executor=self.executor)
        return LocalSaver(**common, executor=self.executor or executor)
