"""
Freed memory stays with the process.
"""

import os
import platform
import subprocess
import sys

import pytest

PAGES = """
import resource
from kling_async.media.freed_memory import keep_freed_memory

def fetched_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        pieces = [b"x" * 300_000 for _ in range(8)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

fetched_pages()
before = fetched_pages()
keep_freed_memory()
fetched_pages()
print(before, fetched_pages())
"""


def printed_by(program: str) -> str:
    """
    Run a program without limits of the environment, which Dask sets, for example: they would hold instead.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about the allocator of glibc")
def test_pages_are_not_fetched_again() -> None:
    """
    Pieces of a file reuse the pages of earlier ones: hardly any is fetched from the system for eight hundred pieces.
    """
    before, after = map(int, printed_by(PAGES).split())

    assert before > 20_000
    assert after < 200


READS = """
import os, resource
from kling_async.media.freed_memory import keep_freed_memory

keep_freed_memory()
full = [bytes(2**16) for _ in range(1000)]  # what was free in the heap
source, sink = os.pipe()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(1000):
    os.write(sink, b"answer")
    os.read(source, 2**18)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about the allocator of glibc")
def test_reads_map_no_memory() -> None:
    """
    A short answer is read into a large block of the heap. A block that is mapped for it costs a fault.
    """
    assert int(printed_by(READS)) < 500
