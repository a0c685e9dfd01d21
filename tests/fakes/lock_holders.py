"""
Processes that hold a lock, with a child by `fork`.
"""

import signal
import subprocess
import sys
import textwrap
from typing import Self


class Family:
    """
    A process that holds a lock, or a journal, and its child by `fork`, which lives until this context ends.
    """

    def __init__(self, program: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        told = [self._process.stdout.readline().partition(" ") for _ in range(2)]
        self.told = {int(number) == self._process.pid: text.strip() for number, _, text in told}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def kill_parent(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        """
        Let the child go, and wait for its end: then nothing holds the other end of its output any more.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.read()
        self._process.stdin = None
