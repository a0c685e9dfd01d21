"""
What `kling-async` runs, and `python -m kling_async`.
"""

import signal
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
        from kling_async.cli.command_runner import exit_code_of  # noqa: PLC0415
        from kling_async.cli.commands import app  # noqa: PLC0415 (needs an extra)
        from kling_async.cli.exit_codes import ExitCode  # noqa: PLC0415
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"typer", "rich"}:
            raise
        sys.stderr.write(f'The command line needs {missing}: pip install "kling-async[cli,emulator]"\n')
        sys.exit(2)

    def work() -> ExitCode:
        _hear_interrupts()
        app(prog_name="kling-async")
        return ExitCode.SUCCESS

    sys.exit(exit_code_of(work))


def _hear_interrupts() -> None:
    # kling_async_command lets them end the process; a command has tasks to report.
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    main()
