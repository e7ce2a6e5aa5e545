"""A warm interpreter: it imports torch, Lightning and W&B once, then forks a process for each run.

    python -I server.py CONTROL [MODULE ...]

It is run as a program by the experiments' interpreter. CONTROL is the number of a stream socket,
MODULEs are imported first. A request on the socket is eight digits and so many bytes of JSON (made
by agent/execution/local.py and sandbox/policy.py), with three descriptors: where to answer, the
program's stdout, its stderr. A keeper is forked for it, which makes the sandbox, forks the program
into it, adopts whatever the program leaves behind, looks at what it uses, and answers with one line
of JSON, {"exit_code", "cpu_seconds", "limit", "used"} or {"refused"}, when nothing of it runs any
more. A byte on, or the end of, the answer's socket ends the program early: so nothing outlives the
harness, even if that is killed.

The program is main.py as `python main.py` would run it: its folder first on the path, its own
session, its own environment. Where modules were imported it starts as a copy of this process, else
by executing the interpreter.
Not covered: a library that is configured by the environment at import sees the server's; without a
sandbox, a program that kills its keeper.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import types
from pathlib import Path
from typing import Any, NoReturn

POLL_SECONDS = 0.02
KEEPER_SECONDS = 0.2  # at most so long an ended keeper waits for its burial

# This script, and the modules beside it, as a package. A forked program inherits what is imported
# here: under their plain names the modules would stand in for packages that it imports itself (PyPI
# has a `watchdog`), and so would the files of this folder if it were on the path.
if __name__ == "__main__":
    __package__ = "assay_inside"
    sys.modules[__package__] = types.ModuleType(__package__)
    sys.modules[__package__].__path__ = [str(Path(__file__).parent)]

from . import cgroups, main_program, namespaces, processes, watchdog  # noqa: E402


def serve(control: socket.socket, warm: bool) -> None:
    """Fork a keeper for every request, until the harness has gone."""
    processes.adopt_orphans()
    keepers: set[int] = set()
    while True:
        patience = KEEPER_SECONDS if keepers else None
        ready, _, _ = select.select([control], [], [], patience)
        bury(keepers)
        if not ready:
            continue
        head, descriptors, _, _ = socket.recv_fds(control, 8, 3)
        if not head:
            return  # the harness has gone; every keeper sees that for itself
        request = json.loads(receive(control, int(head)))
        keeper = os.fork()
        if keeper == 0:
            control.close()
            answer, out, err = descriptors
            keep(main_program.Program(request, warm, out, err), answer)
        keepers.add(keeper)
        for descriptor in descriptors:
            os.close(descriptor)


def bury(keepers: set[int]) -> None:
    """Take the keepers that have ended out of the set, and end what a killed one has left."""
    while keepers:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        keepers.discard(pid)
        for stray in set(processes.children_of().get(os.getpid(), [])) - keepers:
            processes.kill_all(stray)


def receive(control: socket.socket, size: int) -> bytes:
    """Read so many bytes from the socket."""
    data = b""
    while len(data) < size:
        data += control.recv(size - len(data))
    return data


def keep(program: main_program.Program, answer: int) -> None:
    """Start the program, wait until it ends or is to end, leave nothing of it, and answer.

    Never returns.
    """
    processes.adopt_orphans()
    request = program.request
    limits = request["limits"]
    folders = [request["folder"], *scratch_folders(request)]
    box = None
    try:
        if request["bwrap"]:
            box = namespaces.Namespaces(request["bwrap"])
        threads = main_program.THREADS_FACTOR * limits["processes"]
        group = cgroups.ControlGroup(limits["memory"], threads)
        main, scratch = start(program, box, group)
    except (OSError, ValueError) as error:
        reply(answer, {"refused": str(error)})
    os.close(program.out)
    os.close(program.err)
    watched = watchdog.Watched(
        root=os.getpid(),
        not_its_own=box.own if box else set(),
        folders=folders,
        scratch=scratch,
        limits=limits,
    )
    dog = watchdog.Watchdog(watched, lambda: group.out_of_memory)
    end = attend(main, answer, dog, box)
    group.close()
    for private in folders[1:]:
        shutil.rmtree(private, ignore_errors=True)
    reply(answer, end)


def attend(
    main: int, answer: int, dog: watchdog.Watchdog, box: namespaces.Namespaces | None
) -> dict[str, Any]:
    """Wait for the program, end all that is left of it, and return what the harness is to know."""
    status, seconds, limit = wait(main, answer, dog)
    if box:
        processes.send(signal.SIGKILL, box.holders)
    last_status, more_seconds = processes.end_children(main)
    if status is None:
        status = last_status
    if dog.killed():  # before anybody could look at how much it was
        limit = limit or "memory"
        dog.used["memory"] = max(dog.used["memory"], dog.watched.limits["memory"])
    dog.used["disk"] = max(dog.used["disk"], dog.on_disk())
    return {
        "exit_code": exit_code(status),
        "cpu_seconds": round(seconds + more_seconds, 3),
        "limit": limit,
        "used": dog.used,
    }


def scratch_folders(request: dict[str, Any]) -> list[str]:
    """Make a folder for temporary files where there is no /tmp of the program's own.

    It lies in /tmp, for sockets need short paths.
    """
    if request["kind"] != "landlock":
        return []
    folder = tempfile.mkdtemp(prefix="assay-", dir="/tmp")
    request["write"].append(folder)
    request["environment"]["TMPDIR"] = folder
    return [folder]


def wait(main: int, answer: int, dog: watchdog.Watchdog) -> tuple[int | None, float, str]:
    """Wait until the program ends, passes a limit or is to be ended.

    Returns its status if it has ended, the CPU seconds of what has ended, and the limit or ''.
    """
    awaited = [answer]
    if hasattr(os, "pidfd_open"):
        awaited.append(os.pidfd_open(main))
    seconds = 0.0
    while True:
        pid, status, used = processes.reap()
        seconds += used
        if pid == main:
            return status, seconds, ""
        if pid:
            continue  # there may be more
        if limit := dog.look():
            return None, seconds, limit
        if answer in select.select(awaited, [], [], POLL_SECONDS)[0]:
            return None, seconds, ""


def exit_code(status: int | None) -> int:
    """Return what Python calls the exit code; of a program that nobody saw end, that of a kill."""
    return -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)


def reply(answer: int, end: dict[str, Any]) -> NoReturn:
    """Tell the harness how the program ended, and end."""
    try:
        os.write(answer, json.dumps(end).encode() + b"\n")
    except OSError:
        pass  # nobody waits for it any more
    os._exit(0)


def start(
    program: main_program.Program, box: namespaces.Namespaces | None, group: cgroups.ControlGroup
) -> tuple[int, list[int]]:
    """Fork the program, inside the box where there is one.

    Returns its pid, and descriptors of the memory file systems in there.
    """
    if box:
        folders = program.request["scratch"]
        return box.start(folders, group.join, lambda: main_program.become(program))
    main = os.fork()
    if main == 0:
        group.join()
        main_program.become(program)
    return main, []


if __name__ == "__main__":
    # While it imports it cannot see that the harness has gone.
    processes.end_with_parent(signal.SIGKILL)
    gc.disable()  # what is imported stays: to look through it again and again costs a second
    for module in sys.argv[2:]:
        try:
            importlib.import_module(module)
        except ImportError:
            continue  # a program that needs it says so itself
    gc.freeze()  # nor need any program look through it that is forked from here
    gc.enable()
    processes.end_with_parent(0)
    temporary = Path(tempfile.gettempdir())
    main_program.library_folders += [path for path in temporary.rglob("*") if path.is_dir()]
    serve(socket.socket(fileno=int(sys.argv[1])), warm=len(sys.argv) > 2)
