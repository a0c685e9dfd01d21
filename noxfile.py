"""
Chores: `nox -l` lists them. `.ci/run` runs the README's test command, then `lint` and `types`.
"""

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "tests"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
EVERYTHING = ".[cli,emulator]"


def group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(PYPROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """
    Check style and format.
    """
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """
    Check types, strictly, of the package, its tests, its benchmarks and this file.
    """
    session.install(*group("typing"), "nox", EVERYTHING)
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """
    Run all tests on each Python that is present, and measure what they cover.
    """
    session.install(*group("tests"), EVERYTHING)
    session.run("pytest", "--cov", "--cov-report=term", *session.posargs)


@nox.session
def fork(session: nox.Session) -> None:
    """
    Run all tests with backoff's maintained fork in its place, so that moving to it stays one line.
    """
    session.install(*group("tests"), EVERYTHING)
    session.run("pip", "uninstall", "--yes", "--quiet", "backoff")
    session.install("--force-reinstall", "--no-deps", "python-backoff")
    session.run("pytest", *session.posargs)


@nox.session
def torture(session: nox.Session) -> None:
    """
    Kill batches 200 times each, and see that nothing is lost and nothing paid twice; some ten minutes.
    """
    session.install(*group("tests"), EVERYTHING)
    session.run("pytest", "tests/torture", "-s", "--kills", "200", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """
    Run the demo: pictures from the emulator into a folder.
    """
    session.install(EVERYTHING)
    session.run("kling-async", "demo", *session.posargs)


@nox.session
def notebook(session: nox.Session) -> None:
    """
    Run the example notebook again, and keep it with its outputs.
    """
    session.install(*group("tests"), EVERYTHING)
    session.run("python", "docs/make_notebook.py")


@nox.session
def bench(session: nox.Session) -> None:
    """
    Measure what waiting costs, for few tasks and for many, and what the journal of a batch costs; half an hour.
    """
    session.install(EVERYTHING)
    session.run("python", "benchmarks/waiting.py", *session.posargs)
    session.run("python", "benchmarks/journal.py")
