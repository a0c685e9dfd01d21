"""
`kling-async` for shells, without its start: one process imports everything, and forks for each command.

Run as `python zygote.py SOCKET`. What it serves is `kling-async` for which this machine is the vendor's, and whose own
services are quick. `CLIENT` is the program that stands for the command.
"""

import json
import os
import signal
import socket
import sys
from typing import Any, Final

from kling_async import OFFICIAL, emulator
from kling_async.__main__ import main
from kling_async.client import client

__all__ = ["CLIENT"]

CLIENT: Final = """\
import json, os, signal, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ["ZYGOTE"])
asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)])
socket.send_fds(connection, [asked.encode()], [0, 1, 2])
answers = connection.makefile()
pid = int(answers.readline())
signal.signal(signal.SIGINT, lambda *_: os.kill(pid, signal.SIGINT))
sys.exit(int(answers.readline()))
"""


def serve(path: str) -> None:
    make = emulator.Emulator

    def make_quick(**settings: Any) -> emulator.Emulator:
        return make(**{**settings, "latency": (0.0, 0.1), "picture_scale": 0.1, "port": 0})

    emulator.Emulator = make_quick  # type: ignore[assignment,misc]
    client.dialect_of = lambda _: OFFICIAL  # type: ignore[assignment,attr-defined]
    import kling_async.cli  # noqa: F401, PLC0415 (after what is changed, and once for all)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(100)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                run(connection)
            connection.close()


def run(connection: socket.socket) -> None:
    asked, files, _, _ = socket.recv_fds(connection, 65536, 3)
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = (open(0), open(1, "w"), open(2, "w"))  # noqa: SIM115 (descriptors)
    words, folder, env = json.loads(asked)
    sys.argv = ["kling-async", *words]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    connection.sendall(f"{os.getpid()}\n".encode())
    code: object = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    finally:  # a trace is printed where it ends
        connection.sendall(f"{code}\n".encode())
    sys.exit()


if __name__ == "__main__":
    serve(sys.argv[1])
