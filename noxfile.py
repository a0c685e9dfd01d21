"""
Chores: `nox -l` lists them. `.ci/run` runs the README's test command, then `lint`, `types` and `docs` side by side.
"""

import functools
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

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


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """
    Run all tests on the lowest Python and the lowest versions of all dependencies that pyproject.toml allows.
    """
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    constraints = Path(session.virtualenv.location) / "lowest.txt"
    constraints.write_text("\n".join(lowest_versions([*project["dependencies"], *chain(*extras.values())])))
    session.install(*group("tests"), f".[{','.join(extras)}]", "--constraint", str(constraints))
    session.run("pytest", *session.posargs)


def lowest_versions(requirements: Iterable[str]) -> list[str]:
    """
    Return a constraint for each of *requirements*: "aiohttp>=3.14.5" as "aiohttp==3.14.5".
    """
    return sorted({requirement.replace(">=", "==") for requirement in requirements if ">=" in requirement})


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
def release(session: nox.Session) -> None:
    """
    Build what is released into dist/: sdist and wheel, their SBOM and hashes. The wheel is installed into an
    environment of its own for each Python present, and the demo is run from it, with an empty environment. Nothing is
    uploaded.
    """
    session.install(*group("release"))
    shutil.rmtree("dist", ignore_errors=True)
    built_at = str(session.run("git", "log", "-1", "--format=%ct", external=True, silent=True)).strip()
    session.run("python", "-m", "build", env={"SOURCE_DATE_EPOCH": built_at})  # equal commits give equal files
    [wheel], [sdist] = Path("dist").glob("*.whl"), Path("dist").glob("*.tar.gz")
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    pythons = list(filter(None, map(find_python, PYTHONS)))
    for python in pythons:
        program = try_wheel(session, python, wheel.absolute())
    name, version = wheel.name.split("-")[:2]
    sbom = wheel.with_name(f"{name}-{version}.cdx.json")
    described = ("cyclonedx-py", "environment", "--output-reproducible", "--pyproject", "pyproject.toml")
    session.run(*described, "--output-file", str(sbom), str(program.with_name("python")))
    facts = json.loads(sbom.read_text())
    facts["metadata"]["component"]["version"] = version  # pyproject.toml does not have it
    sbom.write_text(json.dumps(facts, indent=2))
    files = sorted(path for path in Path("dist").iterdir())
    hashes = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    Path("dist/SHA256SUMS").write_text("".join(hashes))
    session.log("".join(("dist/SHA256SUMS:\n", *hashes)))
    session.log(f"tried with {', '.join(map(version_of, pythons))}; nothing was uploaded")


def find_python(version: str) -> str | None:
    """
    Return the program of a version of Python, if there is one that runs.
    """
    python = shutil.which(f"python{version}")
    return python if python and version_of(python) else None


def version_of(python: str) -> str:
    """
    Return what a program says of its version; nothing if it fails, as one does that only stands for others.
    """
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=False)
    return str(run([python, "--version"]).stdout).strip()


def try_wheel(session: nox.Session, python: str, wheel: Path) -> Path:
    """
    Install *wheel* for *python* and nothing else, first without and then with its extras, run the demo, and return the
    program that was installed.
    """
    place = Path(session.create_tmp()).absolute() / f"python-{version_of(python).split()[1]}"
    shutil.rmtree(place, ignore_errors=True)
    session.run(python, "-m", "venv", "--without-pip", str(place), external=True)
    folder, ours = place / "empty", str(place / "bin" / "python")
    folder.mkdir()
    with session.chdir(folder):  # not the checkout, from which Python would import
        for what, words in (
            (str(wheel), (ours, "-c", "import kling_async; print(kling_async.__version__)")),
            (
                f"{wheel}[cli,emulator]",
                (str(place / "bin" / "kling-async"), "demo", "--count", "3", "--latency", "0.1"),
            ),
        ):
            session.run("pip", "--python", ours, "install", "--quiet", what)
            session.run("pip", "--python", ours, "check")
            session.run(*words, external=True, include_outer_env=False)
    return place / "bin" / "kling-async"


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
