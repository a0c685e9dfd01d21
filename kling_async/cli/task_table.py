"""
The table of tasks on a terminal.
"""

from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["TaskTable"]


class TaskTable:
    """
    Collects tasks and draws them as a table.
    """

    def __init__(self) -> None:
        self._table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        self._table.add_column("Task", no_wrap=True)
        self._table.add_column("Status", no_wrap=True)
        for name in ("Seconds", "Files", "Units"):
            self._table.add_column(name, justify="right", no_wrap=True)
        self._table.add_column("Message", ratio=1, overflow="fold")

    def add(self, task_id: str, status: str, *numbers_and_message: str, style: str) -> None:
        """
        Add a task; its status has this *style*.
        """
        *numbers, message = numbers_and_message
        self._table.add_row(task_id, Text(status, style), *numbers, Text(message))

    def print(self, file: TextIO) -> None:
        """
        Print the table if it has any tasks.
        """
        if self._table.row_count:
            Console(file=file).print(self._table)
