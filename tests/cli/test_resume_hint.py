from pathlib import Path

from kling_async.cli.options import parse_dialect
from kling_async.cli.resume_hint import SHOWN, resume_command
from kling_async.cli.service_options import ServiceOptions


def test_asks_the_same_service() -> None:
    """
    What was given as an option is given again, quoted for the shell; what came from the environment is not.
    """
    given = ServiceOptions(base_url="https://host/kling", dialect=parse_dialect("official"))

    assert "kling-async wait a b" == resume_command(
        "wait", ["a", "b"], ServiceOptions(base_url=None, dialect=None), None
    )
    assert (
        "kling-async wait a --save --out 'my own' --base-url https://host/kling --dialect official"
        == resume_command("wait", ["a"], given, Path("my own"))
    )
    assert "kling-async save 'a b' --out here" == resume_command(
        "save", ["a b"], ServiceOptions(base_url=None, dialect=None), Path("here")
    )


def test_names_of_files_stay() -> None:
    """
    Where files are saved at all.
    """
    service, name = ServiceOptions(base_url=None, dialect=None), "{task_id}/{index}{ext}"

    assert "kling-async save a --out here --name '{task_id}/{index}{ext}'" == resume_command(
        "save", ["a"], service, Path("here"), name=name
    )
    assert "kling-async wait a" == resume_command("wait", ["a"], service, None, name=name)


def test_id_that_looks_like_an_option() -> None:
    """
    It stands behind what ends them.
    """
    assert "kling-async wait --save --out here -- a -b" == resume_command(
        "wait", ["a", "-b"], ServiceOptions(base_url=None, dialect=None), Path("here")
    )


def test_many() -> None:
    """
    If the line would be too long to read, the ids are passed on stdin.
    """
    ids = [f"t-{number}" for number in range(SHOWN + 1)]

    assert f"kling-async save -   (pass these {SHOWN + 1} ids on stdin, one per line)" == resume_command(
        "save", ids, ServiceOptions(base_url=None, dialect=None), None
    )
