"""
What a newcomer types first: the answer has the right word.
"""

from pathlib import Path

import pytest

from tests.cli.conftest import Here

TYPED: list[tuple[str, str]] = [
    ("generate cat --ratio 1:1", "(Possible options: --aspect-ratio)"),
    ("generate cat --size 1k", "(Possible options: --aspect-ratio, --resolution)"),
    ("generate cat --num-images 2", "(Possible options: --n)"),
    ("generate cat --modl kling-v2", "(Possible options: --model)"),
    ("generate --prompt cat", "No such option: --prompt; the prompt is an argument"),
    ("generate cat --api-key sk-1", "the key is read from KLING_API_KEY"),
    ("generate cat --secret-key x", "the keys are read from KLING_ACCESS_KEY and KLING_SECRET_KEY"),
    ("generate cat --output-dir x", "(Possible options: --out)"),
    ("generate cat --out cat.png", 'to name the file, write --out "." --name "cat{ext}"'),
    ("generate cat --dialect offical", "did you mean official?"),
    ("video cat --seconds 5", "(Possible options: --duration)"),
    ("batch rows.csv --concurrency 3", "(Possible options: --slots)"),
    ("batch rows.xlsx", "is a spreadsheet; export the table as CSV"),
    ("batch rows.csv", "column 'promt': is not a field of ImageRequest; did you mean prompt?"),
    ("image cat", "No such command 'image'. Did you mean 'generate'?"),
    ("download 123", "Did you mean 'save'?"),
    ("list", "Did you mean 'tasks'?"),
    ("statsu 123", "Did you mean 'status'?"),
    ("run text2video prompt=a", "Did you mean 'text-to-video'?"),
    ("run text-to-image prompt=a", "Did you mean 'image-generation'?"),
    ("run text-to-video cat", "is not field=value, such as 'prompt=cat'; the fields"),
    ("run text-to-video duration", "is not field=value, such as 'duration=...'; the fields"),
    ("help", "Did you mean kling-async --help?"),
    ("run help", "Did you mean kling-async run --help?"),
    ("run text-to-video promt=a", "did you mean prompt?"),
    ("run text-to-video --outt x", "(Possible options: --out)"),
    ("tasks --kind text2video", "did you mean 'text-to-video'?"),
]


@pytest.mark.parametrize(("line", "answer"), TYPED, ids=[line for line, _ in TYPED])
def test_wrong_guess_on_the_command_line_is_answered_so(here: Here, line: str, answer: str) -> None:
    """
    With exit code 2, and nothing is sent.
    """
    Path("rows.csv").write_text("promt\na cat\n")

    ended = here(*line.split())

    assert (2, "") == (ended.code, ended.out)
    assert answer in " ".join(ended.err.replace("│", "").split())


def test_prompt_in_place_of_a_command(here: Here) -> None:
    """
    The answer can be copied.
    """
    ended = here("a lighthouse at dusk")

    assert 2 == ended.code
    assert "kling-async generate 'a lighthouse at dusk'" in " ".join(ended.err.replace("│", "").split())
