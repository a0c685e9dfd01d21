"""
Small disks, mounted in memory.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(path: Path, options: str) -> Iterator[Path]:
    """
    Mount a disk of its own at *path*, in memory.
    """
    path.mkdir()
    try:
        mount(path, "-t", "tmpfs", "-o", options, "tmpfs")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    try:
        yield path
    finally:
        subprocess.run(["/bin/umount", "--lazy", path], check=True)


def mount(path: Path, *words: str) -> None:
    subprocess.run(["/bin/mount", *words, path], check=True, capture_output=True)
