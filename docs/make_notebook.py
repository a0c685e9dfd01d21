"""
Runs the example notebook and stores its outputs: `nox -s notebook`.
"""

import re
import tempfile
from pathlib import Path
from typing import Final

import nbclient
import nbformat

NOTEBOOK: Final = Path(__file__).with_name("notebook.ipynb")

_TASK_ID: Final = re.compile(r"\btask ([\w-]{22})\b|TaskHandle '([\w-]{22})'|\b([\w-]{22})-\d\.(?:png|mp4)\b")
_REQUEST_ID: Final = re.compile(r"\brequest ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")


def read() -> nbformat.NotebookNode:
    """
    Return the stored notebook.
    """
    notebook: nbformat.NotebookNode = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def run(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """
    Run *notebook* in *folder*, where it saves its images, and return it with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    places = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(
        notebook, timeout=60, kernel_name="python3", record_timing=False, resources=places
    ).execute()
    return notebook


def settle(notebook: nbformat.NotebookNode) -> str:
    """
    Return *notebook* as text that is the same after each run: ids are replaced by fixed ones.
    """
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    for pattern, made_up in ((_TASK_ID, "C{:021}"), (_REQUEST_ID, "00000000-0000-4000-8000-{:012}")):
        found = dict.fromkeys(filter(None, (word for match in pattern.finditer(text) for word in match.groups())))
        for number, word in enumerate(found, 1):
            text = text.replace(word, made_up.format(number))
    return text + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        NOTEBOOK.write_text(settle(run(read(), Path(scratch))), encoding="utf-8")
