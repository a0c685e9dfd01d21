"""
Python and `kling-async` without their start: one process imports everything, and forks for each program.

Run as `python zygote.py SOCKET`, or `python zygote.py SOCKET --vendor`, where commands take this machine for the
vendor's and emulate quick services. `CLIENT` is the program that stands for `python` or `kling-async`.
"""

import asyncio
import atexit
import contextlib
import gc
import importlib
import marshal
import os
import runpy
import select
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

__all__ = ["CLIENT", "install", "serving"]

CLIENT: Final = """\
import _signal, _socket, marshal, posix, sys
def forward(number, _):
    try:
        posix.kill(pid, number)
    except ProcessLookupError:
        pass
connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
connection.connect(posix.environ[b"ZYGOTE"])
asked = marshal.dumps((PROGRAM, sys.argv[1:], posix.getcwd(), posix.environ))
files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
connection.sendmsg([len(asked).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
connection.sendall(asked)
def next_answer():
    line = b""
    while not line.endswith(b"\\n"):
        got = connection.recv(1)
        if not got:
            sys.exit("the process that runs programs is gone")
        line += got
    return int(line)
pid = next_answer()
for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
    if _signal.getsignal(number) != _signal.SIG_IGN:
        _signal.signal(number, forward)
code = next_answer()
if code < 0:
    if -code != _signal.SIGKILL:
        _signal.signal(-code, _signal.SIG_DFL)
    posix.kill(posix.getpid(), -code)
sys.exit(code)
"""
"""
It imports nothing that is not part of the interpreter: that would take longer than the rest.
"""

PACKAGE: Final = Path(__file__).parents[2] / "kling_async"

IMPORTS: Final = (
    "kling_async.__main__",
    *(f"kling_async.cli.{path.stem}" for path in sorted((PACKAGE / "cli").glob("[!_]*")) if path.stem != "prompts"),
    "kling_async.batch.batch",
    "kling_async.emulator.drawing.picture",
    "kling_async.media.downloads",
    "encodings.idna",
    "fastapi",
    "pytest",
    "rich.markdown",
    "rich.progress",
    "rich.table",
    "typer.rich_utils",
)
"""
What most programs import, some of it late.
"""


def install(folder: Path) -> Path:
    """
    Put `python` and `kling-async` into *folder*, each run by the process that `ZYGOTE` names; return *folder*.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("python", "kling-async"):
        (folder / name).write_text(f"#!{sys.executable} -IS\nPROGRAM = {name!r}\n{CLIENT}")
        (folder / name).chmod(0o755)
    return folder


@contextlib.asynccontextmanager
async def serving(path: Path, *options: str) -> AsyncIterator[None]:
    """
    Run the process at the socket *path*.
    """
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, str(path), *options, env=env)
    try:
        while not path.exists():
            assert process.returncode is None, "it has ended"
            await asyncio.sleep(0.01)
        yield
    finally:
        process.kill()
        await process.wait()


def serve(path: str, *options: str) -> None:
    if "--vendor" in options:
        be_the_vendor()
    for name in IMPORTS:
        importlib.import_module(name)
    importlib.import_module("PIL.Image").init()  # imports the modules of all formats
    gc.collect()
    gc.freeze()  # else each program walks through all that is imported here as it ends: 0.3 s
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(100)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                supervise(connection)
            connection.close()


def be_the_vendor() -> None:
    """
    Take every host for the vendor's, and make emulated services quick, before the commands import either.
    """
    from kling_async import GATEWAY, OFFICIAL  # noqa: PLC0415
    from kling_async.client import credentials  # noqa: PLC0415

    emulate(latency=(0.0, 0.1), pictures="plain", picture_scale=0.1, port=0)
    credentials.dialect_of = lambda url: OFFICIAL if url else GATEWAY  # type: ignore[assignment,attr-defined]


def emulate(**changes: Any) -> None:
    """
    Let each emulator that a program makes have these settings, whatever it asks for.
    """
    from kling_async.emulator import Emulator  # noqa: PLC0415

    begin = Emulator.__init__

    def begin_changed(self: Emulator, **settings: Any) -> None:
        begin(self, **{**settings, **changes})

    Emulator.__init__ = begin_changed  # type: ignore[method-assign]


def supervise(connection: socket.socket) -> None:
    """
    Begin the program that *connection* asks for, report how it ended, and kill it if the one who asked is gone.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        run(connection)
    poll = select.poll()
    poll.register(os.pidfd_open(pid), select.POLLIN)
    poll.register(connection, 0)  # that it is closed
    if all(event & select.POLLHUP for _, event in poll.poll()):
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def run(connection: socket.socket) -> None:
    """
    Be the program that *connection* asks for, with its files, folder and environment.
    """
    size, files, _, _ = socket.recv_fds(connection, 4, 3)
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = (open(0), open(1, "w"), open(2, "w"))  # noqa: SIM115 (descriptors)
    with connection.makefile("rb") as asked:
        name, words, folder, env = marshal.loads(asked.read(int.from_bytes(size, "big")))  # noqa: S302 (our own)
    os.chdir(folder)
    os.environb.clear()
    os.environb.update(env)
    if "PICTURE_SCALE" in os.environ:
        emulate(picture_scale=float(os.environ["PICTURE_SCALE"]), pictures=os.environ["PICTURES"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # pytest itself may run under nohup
    connection.sendall(f"{os.getpid()}\n".encode())
    connection.close()
    try:
        run_command(words) if name == "kling-async" else run_python(*words)
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise
        code = ended.code or 0
    else:
        code = 0
    leave(code)


def leave(code: int) -> NoReturn:
    """
    End as Python does, but for the modules: to clear away all that were imported takes longer than most programs.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if (program := sys.modules["__main__"].__dict__) is not globals():
        program.clear()
    gc.collect()  # which complains of what was left open
    for file in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            file.flush()
    os._exit(code)


def run_command(words: list[str]) -> None:
    from kling_async_command import main  # noqa: PLC0415

    sys.argv = ["kling-async", *words]
    main()


def run_python(first: str, *words: str) -> None:
    """
    Do what `python -c TEXT`, `python -m MODULE` and `python FILE` do.
    """
    match first, words:
        case "-c", (text, *rest):
            sys.argv, sys.path[0] = ["-c", *rest], ""
            run_text(text, "<string>")
        case "-m", (module, *rest):
            sys.argv, sys.path[0] = [module, *rest], str(Path.cwd())
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case _:
            sys.argv, sys.path[0] = [first, *words], str(Path(first).parent.resolve())
            run_text(Path(first).read_text(), first)


def run_text(text: str, file: str) -> None:
    """
    Run *text* as the main module, which processes that it begins may load from *file*.
    """
    module = sys.modules["__main__"] = ModuleType("__main__")
    if Path(file).is_file():
        module.__file__ = file
    exec(compile(text, file, "exec"), module.__dict__)  # noqa: S102


if __name__ == "__main__":
    serve(*sys.argv[1:])
