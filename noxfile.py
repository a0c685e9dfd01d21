"""
Chores: `nox -l` lists them. `.ci/run` runs the README's test command, then `lint`, `types` and `docs` side by side.
"""

import json

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
    Check types, strictly, of all there is; with pyright too what programs see, of which none may be left unsaid.
    """
    session.install(*group("typing"), "nox", EVERYTHING)
    session.run("mypy")
    session.run("pyright")
    verify = ("pyright", "--verifytypes", "kling_async", "--ignoreexternal", "--outputjson")
    answer = str(session.run(*verify, silent=True, success_codes=[0, 1]))
    symbols = json.loads(answer[answer.index("{") :])["typeCompleteness"]["symbols"]
    unsaid = [symbol["name"] for symbol in symbols if symbol["isExported"] and not symbol["isTypeKnown"]]
    if not symbols:
        session.error("pyright has not found the package")
    if names := [name for name in unsaid if not name.startswith("kling_async.cli.")]:  # commands are no names to import
        session.error(f"types are not wholly said of {', '.join(names)}")
    session.log(f"{len(symbols)} symbols, and the types of all are said")


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
def thorough(session: nox.Session) -> None:
    """
    Run all tests with every seed and size and four times the examples, as before a release; some ten minutes.
    """
    session.install(*group("tests"), EVERYTHING)
    session.run("pytest", "--thorough", *session.posargs)


@nox.session
def torture(session: nox.Session) -> None:
    """
    Kill batches of images 200 times each, and one of all kinds 20 times, and see that nothing is lost and nothing paid
    twice; some ten minutes.
    """
    session.install(*group("tests"), EVERYTHING)
    session.run("pytest", "tests/scenarios/torture", "--numprocesses=0", "-s", "--kills", "200", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """
    Give the code 110,000 odd answers, callbacks, inputs, references and downloads, and see that nothing but what is
    documented comes out, in bounded time and memory; some fifteen minutes. `-- --seed 7` makes others.
    """
    session.install(*group("tests"), EVERYTHING)
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """
    Build the pages into docs/_build; whatever Sphinx complains of is an error. Asks no other site.
    """
    session.install(*group("docs"), ".[cli,dask,emulator,otel]")
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "--quiet", *session.posargs, "docs", "docs/_build")


@nox.session
def demo(session: nox.Session) -> None:
    """
    Run the demo: pictures from the emulator into a folder.
    """
    session.install(EVERYTHING)
    session.run("kling-async", "demo", *session.posargs)


@nox.session
def screenshots(session: nox.Session) -> None:
    """
    Make the pictures anew that the pages in docs/ show; needs a Chromium on the system.
    """
    session.install(*group("screenshots"), EVERYTHING)
    session.run("python", "docs/screenshots.py")


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
    Measure what things cost, beside others (`-- overhead` for one part of it), and keep it in benchmarks/figures.json;
    with `-- --check`, fail where a figure is worse than its limit. Half an hour.
    """
    session.install(*group("bench"), EVERYTHING)
    session.run("python", "-m", "benchmarks", *session.posargs)
    session.run("python", "docs/make_speed.py")
