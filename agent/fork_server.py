"""Run as a program by the experiments' interpreter: import torch, Lightning and W&B once, then fork a process for each run.

    python -I fork_server.py CONTROL

CONTROL is the number of a stream socket. A request on it is eight digits and so many bytes of JSON, {"folder",
"environment", "threads", "arguments"}, with three descriptors: where to answer, the program's stdout, its stderr. A keeper
is forked for it, which forks the program, adopts whatever the program leaves behind, and answers with one line of JSON,
{"exit_code", "cpu_seconds"}, when nothing of it runs any more. A byte on, or the end of, the answer's socket ends the
program early: so nothing outlives the harness, even if that is killed.

The program is main.py as `python main.py` would run it: its folder first on the path, its own session, its own environment.
Not covered: a library that is configured by the environment at import sees the server's; a program that kills its keeper.
"""

import atexit
import ctypes
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
import types
from pathlib import Path

PRELOADED = ("numpy", "torch", "torchvision", "pytorch_lightning", "wandb", "pytorch_lightning.loggers.wandb")
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of <linux/prctl.h>
POLL_SECONDS = 0.02


def serve(control: socket.socket) -> None:
    adopt_orphans()
    keepers: set[int] = set()
    while True:
        ready, _, _ = select.select([control], [], [], 0.2 if keepers else None)
        while keepers and (ended := os.waitpid(-1, os.WNOHANG)[0]):
            keepers.discard(ended)
            for stray in set(children_of().get(os.getpid(), [])) - keepers:  # of a keeper that was killed
                kill_all(stray)
        if not ready:
            continue
        head, descriptors, _, _ = socket.recv_fds(control, 8, 3)
        if not head:
            return  # the harness has gone; every keeper sees that for itself
        request = json.loads(receive(control, int(head)))
        if (keeper := os.fork()) == 0:
            control.close()
            keep(request, *descriptors)
        keepers.add(keeper)
        for descriptor in descriptors:
            os.close(descriptor)


def receive(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += control.recv(size - len(data))
    return data


def keep(request: dict, answer: int, out: int, err: int) -> None:
    """Fork the program, wait for its end or the order to end it, leave nothing of it, answer. Never returns."""
    adopt_orphans()
    program = os.fork()
    if program == 0:
        os.close(answer)
        become(request, out, err)
    os.close(out)
    os.close(err)
    status, seconds = None, 0.0
    while status is None:
        ended, how, used = reap()
        seconds += used
        status = how if ended == program else None
        if status is None and not ended and select.select([answer], [], [], POLL_SECONDS)[0]:
            break
    while left := set(children_of().get(os.getpid(), [])):
        for child in left:
            kill_all(child)
        ended, how, used = reap()
        seconds += used
        status = how if ended == program else status
        time.sleep(0 if ended else 0.005)
    code = os.waitstatus_to_exitcode(status) if status is not None else -signal.SIGKILL
    try:
        os.write(answer, json.dumps({"exit_code": code, "cpu_seconds": round(seconds, 3)}).encode() + b"\n")
    except OSError:
        pass  # nobody waits for it any more
    os._exit(0)


def become(request: dict, out: int, err: int) -> None:
    """Turn this process into `python main.py`. Never returns."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    path = request["folder"] + "/main.py"
    sys.argv, sys.path = [path, *request["arguments"]], [request["folder"], *sys.path]
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(request["threads"])
    code = execute(path)
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def execute(path: str) -> int:
    """Run the file as __main__; the exit code that Python would give it."""
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
        while trace and trace.tb_frame.f_code.co_filename != path:  # our own frames are not the program's
            trace = trace.tb_next
        traceback.print_exception(type(error), error, trace)
        return 1


def adopt_orphans() -> None:
    """From now on the orphans among our descendants become our children (Linux; elsewhere they are lost to init)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def reap() -> tuple[int, int, float]:
    """(pid, status, CPU seconds) of a child that has ended; pid 0: none has."""
    try:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0, 0.0
    return pid, status, usage.ru_utime + usage.ru_stime


def kill_all(root: int) -> None:
    """SIGKILL a process and all its descendants."""
    tree, found = children_of(), [root]
    for pid in found:
        found += tree.get(pid, [])
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def children_of() -> dict[int, list[int]]:
    """Every process's children, zombies included."""
    tree: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
        tree.setdefault(parent, []).append(int(stat.parent.name))
    return tree


if __name__ == "__main__":
    for module in PRELOADED:
        try:
            importlib.import_module(module)
        except ImportError:
            continue  # a program that needs it says so itself
    serve(socket.socket(fileno=int(sys.argv[1])))
