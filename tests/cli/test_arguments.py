"""
What an option must be: refused as wrong usage before anything is asked or paid for.
"""

import pytest

from tests.cli.conftest import Here

NO_TIMES = ["nan", "inf", "-inf", "-1", "0", "0.05", "1e400", "1e10", "sixty", "", "1" + "0" * 400]


@pytest.mark.parametrize("seconds", NO_TIMES)
@pytest.mark.parametrize(
    "words",
    [
        ("generate", "a fox", "--timeout"),
        ("generate", "a fox", "--give-up-after"),
        ("batch", "prompts.txt", "--timeout"),
        ("batch", "prompts.txt", "--give-up-after"),
        ("wait", "t-1", "--timeout"),
        ("save", "t-1", "--give-up-after"),
        ("doctor", "--timeout"),
        ("callback-test", "http://127.0.0.1:9/x", "--timeout"),
    ],
    ids=" ".join,
)
def test_invalid_durations_are_usage_errors(words: tuple[str, ...], seconds: str, here: Here) -> None:
    """
    "nan" is a number to Python, and not below any limit.
    """
    ended = here(*words, seconds)

    message = " ".join(ended.err.replace("│", " ").split())
    assert 2 == ended.code
    assert "must be a number of seconds from 0.1 to 1e+09" in message
    assert f"'{words[-1]}'" in message
    assert "" == ended.out


@pytest.mark.parametrize(
    ("variables", "code", "message"),
    [
        ({"KLING_API_KEY": '"sk-x"'}, 3, "KLING_API_KEY has quotes around it"),
        ({"KLING_API_KEY": "${KEY}"}, 3, "KLING_API_KEY is the name of a variable"),
        ({"KLING_BASE_URL": "https://a..b"}, 2, "KLING_BASE_URL='https://a..b': must have a valid host"),
    ],
)
@pytest.mark.parametrize("words", [("generate", "a fox"), ("wait", "t-1"), ("tasks",)], ids=" ".join)
def test_invalid_environment_values_are_reported(
    words: tuple[str, ...],
    variables: dict[str, str],
    code: int,
    message: str,
    here: Here,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    In words and by the exit code, without a traceback.
    """
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    ended = here(*words)

    assert code == ended.code
    assert message in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
