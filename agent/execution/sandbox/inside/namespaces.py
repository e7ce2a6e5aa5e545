"""Name spaces that bubblewrap made, and how a forked process gets into them.

bubblewrap executes a program in the name spaces that it makes; a copy of a warm interpreter has to enter those that are there.
Loaded by server.py in the experiments' interpreter: the standard library alone. Linux only.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable


class Namespaces:
    """One sandbox, held open by a shell in it that waits. It ends with any of its own processes, or with the one that made it."""

    def __init__(self, command: list[str], descendants: Callable[[int], list[int]]):
        told, info = os.pipe()
        command = [*command, "--info-fd", str(info), "--", "/bin/sh", "-c", "echo; read x"]
        # Its first process is process 1 in there: whatever stands in its environment can be read by the program.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[info],
            env={"PATH": "/usr/bin:/bin"},
        )
        os.close(info)
        assert self._process.stdout and self._process.stderr
        if self._process.stdout.read(1) != b"\n":
            raise ValueError(
                self._process.stderr.read().decode(errors="replace").strip()
                or "bubblewrap said nothing"
            )
        self._first: int = json.loads(os.read(told, 2**16))["child-pid"]
        self.own = {self._process.pid, *descendants(self._process.pid)}
        self.holders = {
            self._first,
            self._process.pid,
        }  # with the first of a name space the kernel ends all in it, however many there are

    def start(
        self,
        places: list[str],
        enter: Callable[[int], None],
        prepare: Callable[[], None],
        become: Callable[[], None],
    ) -> tuple[int, list[int]]:
        """Fork a process inside, which then becomes the program: its pid, and descriptors of `places` in there."""
        ours, theirs = socket.socketpair()
        if (
            usher := os.fork()
        ) == 0:  # whoever enters another pid name space stays outside; only its children are in
            try:
                prepare()
                enter(self._first)
                opened = [os.open(place, os.O_RDONLY) for place in places]
                if (main := os.fork()) == 0:
                    become()
                socket.send_fds(theirs, [str(main).encode()], opened)
            except OSError as error:
                theirs.send(f"entering the sandbox: {error}".encode())
            finally:
                os._exit(0)
        os.waitpid(usher, 0)
        said, scratch, _, _ = socket.recv_fds(ours, 4096, len(places))
        ours.close()
        theirs.close()
        if not said.isdigit():
            raise ValueError(said.decode(errors="replace"))
        return int(said), list(scratch)
