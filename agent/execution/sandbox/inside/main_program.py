"""A process that was forked becomes main.py, as `python main.py` would run it, with fewer rights.

Loaded by server.py in the experiments' interpreter: the standard library alone.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import traceback
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from . import privileges, processes, syscalls

NICE = 5  # so that the keeper of a fork bomb gets its turn
THREADS_FACTOR = 4  # threads for each process that is allowed: the kernel counts threads

# Folders for temporary files, of imported libraries that believe they still have them
library_folders: list[Path] = []


@dataclass(frozen=True)
class Program:
    """A program to start: the request for it, and where its output goes."""

    request: dict[str, Any]
    warm: bool  # it starts as a copy of this process
    out: int  # descriptor of its stdout
    err: int


def become(program: Program) -> NoReturn:
    """Turn this process into `python main.py`, with no more rights than the request says.

    Never returns.
    """
    request = program.request
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (program.out, 1), (program.err, 2)):
            os.dup2(source, target)
        os.closerange(3, 65536)
        os.nice(NICE)
        die_first()
        os.chdir(request["folder"])
        give_up_rights(request)
        if not program.warm:
            command = [request["python"], "main.py", *request["arguments"]]
            os.execve(request["python"], command, request["environment"])
        os.environ.clear()
        os.environ.update(request["environment"])
        tempfile.tempdir = None  # else it is the server's
        if request["kind"] != "landlock":
            for folder in library_folders:
                folder.mkdir(parents=True, exist_ok=True)
    except BaseException:
        traceback.print_exc()
        os._exit(126)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(request["threads"])
    run(request["folder"], request["arguments"])


def die_first() -> None:
    """Make this process, and what it starts, the first that is killed when memory runs out."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass  # a /proc that is read-only


def give_up_rights(request: dict[str, Any]) -> None:
    """Set the limits; in a sandbox, give up capabilities, places and system calls too."""
    others = 0 if request["kind"] == "bwrap" else processes.threads_of_user()
    threads = others + THREADS_FACTOR * request["limits"]["processes"]
    privileges.limit(threads, request["file_bytes"], request["data_bytes"])
    if request["kind"] == "none":
        return
    privileges.drop_privileges()
    network = request["network"]
    shared = request["kind"] == "landlock"
    old = shared and privileges.landlock_version() < 3
    if shared:
        allowed = privileges.Allowed(
            read=request["read"],
            write=request["write"],
            devices=request["devices"],
            network=network,
        )
        privileges.restrict(allowed)
    syscalls.filter_calls(shared, network, old)


def run(folder: str, arguments: list[str]) -> NoReturn:
    """Execute folder/main.py and end this process with the exit code that Python would give it.

    Never returns.
    """
    path = folder + "/main.py"
    sys.argv = [path, *arguments]
    sys.path = [folder, *sys.path]
    code = execute(path)
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def execute(path: str) -> int:
    """Run the file as __main__ and return the exit code that Python would give it."""
    main = types.ModuleType("__main__")
    main.__file__ = path
    sys.modules["__main__"] = main
    try:
        with open(path, "rb") as file:
            source = compile(file.read(), path, "exec")
        exec(source, main.__dict__)
        return 0
    except SystemExit as exit:
        if exit.code is None or isinstance(exit.code, int):
            return (exit.code or 0) & 0xFF
        print(exit.code, file=sys.stderr)
        return 1
    except BaseException as error:
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename != path:
            trace = trace.tb_next  # our own frames are not the program's
        traceback.print_exception(type(error), error, trace)
        return 1
