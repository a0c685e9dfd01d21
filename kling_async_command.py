"""
The program `kling-async`.

It lies beside the package, because loading a command may take most of a second; Ctrl-C would then print a traceback.
"""

import gc  # nothing that takes longer: until `main` is called, Ctrl-C would print a traceback
import signal
import sys

__all__ = ["main"]


def main() -> None:
    """
    Run the command line. Until a command starts, and after it has ended, Ctrl-C ends the process without a message.
    """
    _end_at_interrupts()
    from kling_async.__main__ import main as run  # noqa: PLC0415 (see above)

    try:
        run()
    except KeyboardInterrupt:  # while the last output was written
        sys.exit(130)
    finally:
        _end_at_interrupts()
        gc.freeze()  # at its end Python would search all that was loaded for garbage: a sixth of the time of `--help`


def _end_at_interrupts() -> None:
    # Only in place of Python's own handler: jobs in the background ignore Ctrl-C, and must go on to.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
