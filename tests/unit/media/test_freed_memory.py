"""
Freed memory stays with the process.
"""

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about the allocator of glibc")
def test_pages_are_not_fetched_again() -> None:
    """
    Pieces of a file reuse the pages of earlier ones: hardly any is fetched from the system for eight hundred pieces.
    """
    run = subprocess.run([sys.executable, "-c", PAGES], check=True, capture_output=True, text=True)
    before, after = map(int, run.stdout.split())

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
    done = subprocess.run([sys.executable, "-c", READS], capture_output=True, text=True, check=True)

    assert int(done.stdout) < 500
