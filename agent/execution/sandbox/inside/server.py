"""Run as a program by the experiments' interpreter: import torch, Lightning and W&B once, then fork a process for each run.

    python -I server.py CONTROL [MODULE ...]

CONTROL is the number of a stream socket, MODULEs are imported first. A request on the socket is eight digits and so many
bytes of JSON, what agent/execution/sandbox/policy.py calls an Order, with three descriptors: where to answer, the program's stdout, its
stderr. A keeper is forked for it, which makes the sandbox, forks the program into it, adopts whatever the program leaves
behind, looks at what it uses, and answers with one line of JSON, {"exit_code", "cpu_seconds", "limit", "used"} or
{"refused"}, when nothing of it runs any more. A byte on, or the end of, the answer's socket ends the program early: so nothing
outlives the harness, even if that is killed.

The program is main.py as `python main.py` would run it: its folder first on the path, its own session, its own environment.
Where modules were imported it starts as a copy of this process, else by executing the interpreter.
Not covered: a library that is configured by the environment at import sees the server's; without a sandbox, a program that
kills its keeper.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
import types
from pathlib import Path
from typing import Any

SUBREAPER, PARENT_DEATH = 36, 1  # PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG of <linux/prctl.h>
POLL_SECONDS = 0.02
NICE = 5  # so that the keeper of a fork bomb gets its turn
PROCESSES_FACTOR = 4  # the kernel counts threads


def beside(name: str) -> types.ModuleType:
    """A module that lies beside this file, whose folder must not be on the path: it has names of the standard library."""
    spec = importlib.util.spec_from_file_location(
        f"assay_{name}", Path(__file__).with_name(f"{name}.py")
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


made_at_import: list[
    Path
] = []  # folders for temporary files, of libraries that believe they still have them
cgroups = beside("cgroups")
main_program = beside("main_program")
namespaces = beside("namespaces")
privileges = beside("privileges")
syscalls = beside("syscalls")
watchdog = beside("watchdog")


def serve(control: socket.socket, warm: bool) -> None:
    adopt_orphans()
    keepers: set[int] = set()
    while True:
        ready, _, _ = select.select([control], [], [], 0.2 if keepers else None)
        while keepers and (ended := os.waitpid(-1, os.WNOHANG)[0]):
            keepers.discard(ended)
            for stray in (
                set(watchdog.children_of().get(os.getpid(), [])) - keepers
            ):  # of a keeper that was killed
                watchdog.kill_all(stray)
        if not ready:
            continue
        head, descriptors, _, _ = socket.recv_fds(control, 8, 3)
        if not head:
            return  # the harness has gone; every keeper sees that for itself
        order = json.loads(receive(control, int(head)))
        if (keeper := os.fork()) == 0:
            control.close()
            keep(order, warm, *descriptors)
        keepers.add(keeper)
        for descriptor in descriptors:
            os.close(descriptor)


def receive(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += control.recv(size - len(data))
    return data


def keep(order: dict, warm: bool, answer: int, out: int, err: int) -> None:
    """Start the program, wait for its end or the order to end it, leave nothing of it, answer. Never returns."""
    adopt_orphans()
    folders = [order["folder"], *scratch_folders(order)]
    try:
        box = (
            namespaces.Namespaces(order["bwrap"], watchdog.descendants) if order["bwrap"] else None
        )
        group = cgroups.ControlGroup(
            order["limits"]["memory"], PROCESSES_FACTOR * order["limits"]["processes"]
        )
        main, scratch = start(order, warm, box, group, out, err)
    except (OSError, ValueError) as error:
        reply(answer, {"refused": str(error)})
    os.close(out)
    os.close(err)
    dog = watchdog.Watchdog(
        os.getpid(),
        folders,
        order["limits"],
        scratch,
        box.own if box else set(),
        lambda: group.out_of_memory,
    )
    status, seconds, limit = wait(main, answer, dog)
    if box:
        watchdog.send(signal.SIGKILL, box.holders)
    last_status, more_seconds = end_all(main)
    status = last_status if status is None else status
    if group.out_of_memory:  # before anybody could look at how much it was
        limit, dog.used["memory"] = (
            limit or "memory",
            max(dog.used["memory"], order["limits"]["memory"]),
        )
    group.close()
    dog.used["disk"] = max(dog.used["disk"], dog.on_disk())
    for private in folders[1:]:
        shutil.rmtree(private, ignore_errors=True)
    code = os.waitstatus_to_exitcode(status) if status is not None else -signal.SIGKILL
    reply(
        answer,
        {
            "exit_code": code,
            "cpu_seconds": round(seconds + more_seconds, 3),
            "limit": limit,
            "used": dog.used,
        },
    )


def wait(main: int, answer: int, dog: Any) -> tuple[int | None, float, str]:
    """Until the program ends, passes a limit or is to be ended: its status, the CPU seconds of what has ended, the limit."""
    awaited = [answer, *([os.pidfd_open(main)] if hasattr(os, "pidfd_open") else [])]
    seconds = 0.0
    while True:
        ended, status, used = reap()
        seconds += used
        if ended == main:
            return status, seconds, ""
        if not ended and (limit := dog.look()):
            return None, seconds, limit
        if not ended and answer in select.select(awaited, [], [], POLL_SECONDS)[0]:
            return None, seconds, ""


def end_all(main: int) -> tuple[int | None, float]:
    """End whatever is left: the program's status, where it was among it, and CPU seconds."""
    status, seconds = None, 0.0
    while watchdog.children_of().get(os.getpid()):
        watchdog.kill_all(os.getpid())
        time.sleep(0.005)
        while (reaped := reap())[0]:
            seconds += reaped[2]
            status = reaped[1] if reaped[0] == main else status
    return status, seconds


def scratch_folders(order: dict) -> list[str]:
    """One for temporary files where there is no /tmp of the program's own; in /tmp, for sockets need short paths."""
    if order["kind"] != "landlock":
        return []
    folder = tempfile.mkdtemp(prefix="assay-", dir="/tmp")
    order["write"].append(folder)
    order["environment"]["TMPDIR"] = folder
    return [folder]


def reply(answer: int, value: dict) -> None:
    """Say the last word to the harness, and end."""
    try:
        os.write(answer, json.dumps(value).encode() + b"\n")
    except OSError:
        pass  # nobody waits for it any more
    os._exit(0)


def start(
    order: dict, warm: bool, box: Any, group: Any, out: int, err: int
) -> tuple[int, list[int]]:
    """Fork the program, inside the box where there is one: its pid, and descriptors of the memory file systems in there."""
    if box:
        started: tuple[int, list[int]] = box.start(
            order["scratch"], privileges.enter, group.join, lambda: become(order, warm, out, err)
        )
        return started
    if (main := os.fork()) == 0:
        group.join()
        become(order, warm, out, err)
    return main, []


def become(order: dict, warm: bool, out: int, err: int) -> None:
    """Turn this process into `python main.py`, with no more rights than the order says. Never returns."""
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        os.closerange(3, 65536)
        os.nice(NICE)
        die_first()
        os.chdir(order["folder"])
        give_up_rights(order)
        if not warm:
            os.execve(
                order["python"],
                [order["python"], "main.py", *order["arguments"]],
                order["environment"],
            )
        os.environ.clear()
        os.environ.update(order["environment"])
        tempfile.tempdir = None  # else it is the server's
        for place in made_at_import:
            if order["kind"] != "landlock":
                place.mkdir(parents=True, exist_ok=True)
    except BaseException:
        traceback.print_exc()
        os._exit(126)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(order["threads"])
    main_program.run(order["folder"], order["arguments"])


def die_first() -> None:
    """Whoever has to kill something for memory takes this process and what it starts."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass  # a /proc that is read-only


def give_up_rights(order: dict) -> None:
    """Limits in any case; in a sandbox, capabilities, places and system calls too."""
    others = 0 if order["kind"] == "bwrap" else watchdog.threads_of_user()
    privileges.limit(
        others + PROCESSES_FACTOR * order["limits"]["processes"],
        order["file_bytes"],
        order["data_bytes"],
    )
    if order["kind"] == "none":
        return
    privileges.drop_privileges()
    shared, version = order["kind"] == "landlock", privileges.landlock_version()
    if shared:
        privileges.restrict(order["read"], order["write"], order["devices"], order["network"])
    syscalls.filter_calls(shared, order["network"], old=shared and version < 3)


def adopt_orphans() -> None:
    """From now on the orphans among our descendants become our children (Linux; elsewhere they are lost to init)."""
    if sys.platform == "linux":
        privileges.libc.prctl(SUBREAPER, 1, 0, 0, 0)


def end_with_parent(how: int) -> None:
    """The signal that this process gets when the thread that started it ends; 0 for none (Linux)."""
    if sys.platform == "linux":
        privileges.libc.prctl(PARENT_DEATH, how, 0, 0, 0)


def reap() -> tuple[int, int, float]:
    """(pid, status, CPU seconds) of a child that has ended; pid 0: none has."""
    try:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0, 0.0
    return pid, status, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    end_with_parent(signal.SIGKILL)  # while it imports it cannot see that the harness has gone
    gc.disable()  # what is imported stays: to look through it again and again costs a second
    for module in sys.argv[2:]:
        try:
            importlib.import_module(module)
        except ImportError:
            continue  # a program that needs it says so itself
    gc.freeze()  # nor need any program look through it that is forked from here
    gc.enable()
    end_with_parent(0)
    made_at_import += [place for place in Path(tempfile.gettempdir()).rglob("*") if place.is_dir()]
    serve(socket.socket(fileno=int(sys.argv[1])), warm=len(sys.argv) > 2)
