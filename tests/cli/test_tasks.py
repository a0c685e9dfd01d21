import pytest

from kling_async import GATEWAY
from tests.cli.conftest import ServedBy, lines_of


def test_limit(served: ServedBy) -> None:
    """
    The newest come first, and no more is asked for than is shown.
    """
    kling = served()
    kling.has(*(f"done-{number}" for number in range(5)))

    ended = kling("tasks", "--limit", "2")

    assert (0, "There may be more tasks; use --limit to show them.\n") == (ended.code, ended.err)
    assert ["done-4", "done-3"] == [line.split()[0] for line in ended.out.splitlines()]
    assert 1 == kling.server.ledger.list_reads


def test_stops_asking(served: ServedBy) -> None:
    """
    Chosen by their status, tasks are looked for page by page, up to the limit and no further.
    """
    kling = served()
    kling.has(*(f"old-{number}" for number in range(150)))
    kling.has(*(f"new-{number}" for number in range(120)))
    kling.has("busy-1", ends_in=60)

    ended = kling("tasks", "--limit", "110", "--status", "succeed")

    assert 110 == len(ended.out.splitlines())
    assert 2 == kling.server.ledger.list_reads


def test_statuses(served: ServedBy) -> None:
    """
    `--status` may be repeated, and lines of JSON have the fields of the other commands.
    """
    kling = served()
    kling.has("done-1")
    kling.has("busy-1", ends_in=60)

    ended = kling("tasks", "--status", "submitted", "--status", "processing", "--json")
    seen = kling("status", "busy-1", "--json")

    assert (0, "") == (ended.code, ended.err)
    assert lines_of(seen.out) == lines_of(ended.out)


@pytest.mark.parametrize(
    ("words", "told"), [([], "The account has no tasks.\n"), (["--status", "failed"], "No tasks have this status.\n")]
)
def test_none(served: ServedBy, words: list[str], told: str) -> None:
    """
    An empty list is said to be one.
    """
    ended = served()("tasks", *words)

    assert (0, "", told) == (ended.code, ended.out, ended.err)


def test_gateway(served: ServedBy) -> None:
    """
    A gateway has no list: exit code 2, and what to do instead in the words of the command line.
    """
    ended = served(dialect=GATEWAY)("tasks")

    assert (2, "") == (ended.code, ended.out)
    assert "A gateway service does not list tasks" in ended.err
    assert "--dialect official" in ended.err


def test_wrong_status(served: ServedBy) -> None:
    """
    A word that no task has would list nothing: it is wrong usage.
    """
    ended = served()("tasks", "--status", "done")

    assert 2 == ended.code
    assert "'succeed'" in ended.err
