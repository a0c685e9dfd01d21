"""
Tasks of earlier runs, brought to their end: what `wait` and `save` have in common.
"""

from collections.abc import Sequence
from pathlib import Path

import attrs

from kling_async.cli.access import Access
from kling_async.cli.board import Board
from kling_async.cli.checks import make_folder
from kling_async.cli.exits import ExitCode
from kling_async.cli.screen import open_screen_beside
from kling_async.cli.work import Work

__all__ = ["PickUp"]


@attrs.frozen(kw_only=True)
class PickUp:
    """
    What is to become of the tasks; see `Work`.
    """

    access: Access
    folder: Path | None
    as_json: bool
    name: str = "{task_id}-{index}{ext}"
    timeout: float | None = None
    looks_once: bool = False

    async def __call__(self, task_ids: Sequence[str]) -> ExitCode:
        client = self.access.make_client(None)
        board = Board.of_tasks([client.handle(task_id) for task_id in task_ids])
        if self.folder is not None:
            make_folder(self.folder)
        work = Work(
            client,
            board,
            open_screen_beside(board, as_json=self.as_json),
            self.access,
            self.folder,
            timeout=self.timeout,
            looks_once=self.looks_once,
            name=lambda _: self.name,
            as_json=self.as_json,
        )
        await work.run()
        return work.sum_up({})
