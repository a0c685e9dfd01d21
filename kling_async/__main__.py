"""
The entry point of `kling-async` and of `python -m kling_async`.
"""

import functools
import sys
from typing import NoReturn

from kling_async.cli.standard_streams import lasting_streams

__all__ = ["main"]


def main() -> NoReturn:
    """
    Run the command line, or say what it lacks.
    """
    with lasting_streams() as stdout:
        try:
            _run()
        except SystemExit as end:
            if stdout.is_lost:
                sys.stderr.write(f"stdout could not be written, and lacks lines: {stdout.error}. The work went on.\n")
                sys.exit(end.code or 7)  # ExitCode.STORAGE
            raise


def _run() -> NoReturn:
    try:
        from kling_async.cli import app  # noqa: PLC0415 (needs an extra)
        from kling_async.cli.task_runner import exit_code_of  # noqa: PLC0415
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"typer", "rich"}:
            raise
        sys.stderr.write(f'The command line needs {missing}: pip install "kling-async[cli,emulator]"\n')
        sys.exit(2)
    sys.exit(exit_code_of(functools.partial(app, prog_name="kling-async")))


if __name__ == "__main__":
    main()
