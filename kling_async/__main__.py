"""
The entry point of `kling-async` and of `python -m kling_async`.
"""

import io
import sys

__all__ = ["main"]


def main() -> None:
    """
    Run the command line, or say kindly what it lacks.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a prompt may hold what the terminal's encoding does not
    try:
        from kling_async.cli import app  # noqa: PLC0415 (needs an extra)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"typer", "rich"}:
            raise
        sys.stderr.write(f'The command line needs {missing}: pip install "kling-async[cli,emulator]"\n')
        sys.exit(2)
    app(prog_name="kling-async")


if __name__ == "__main__":
    main()
