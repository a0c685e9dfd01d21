"""
What `kling-async` runs, and `python -m kling_async`.
"""

import functools
import sys
from typing import NoReturn

from kling_async.cli.standard_streams import failsafe_streams

__all__ = ["main"]


def main() -> NoReturn:
    """
    Run the command line; if a package that it needs is not installed, say so.
    """
    with failsafe_streams() as stdout:
        try:
            _run()
        except SystemExit as end:
            if stdout.is_lost:
                sys.stderr.write(f"the output is incomplete: writing to stdout failed: {stdout.error}\n")
                sys.exit(end.code or 7)  # ExitCode.STORAGE
            raise


def _run() -> NoReturn:
    try:
        from kling_async.cli.commands import app  # noqa: PLC0415 (needs an extra)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"typer", "rich"}:
            raise
        sys.stderr.write(f'The command line needs {missing}: pip install "kling-async[cli,emulator]"\n')
        sys.exit(2)

    try:
        sys.exit(app(prog_name="kling-async"))
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 (exit_code_of raises again what it does not know)
        from kling_async.cli.command_runner import exit_code_of  # noqa: PLC0415 (loads asyncio, which help needs not)

        sys.exit(exit_code_of(functools.partial(_raise, error)))


def _raise(error: BaseException) -> NoReturn:
    raise error


if __name__ == "__main__":
    from kling_async_command import main as command

    command()  # which calls `main`, and lets Ctrl-C end the process silently while the command is loaded
