"""Name spaces that bubblewrap made, and how a forked process gets into them.

bubblewrap executes a program in the name spaces that it makes; a copy of a warm interpreter has to
enter those that are there.
Loaded by server.py in the experiments' interpreter: the standard library alone. Linux only.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable

from .privileges import enter
from .processes import descendants


class Namespaces:
    """A sandbox that bubblewrap made, held open by a shell in it that waits.

    It ends with any of its own processes, or with the process that made it.
    """

    def __init__(self, command: list[str]):
        reading, info = os.pipe()
        command = [*command, "--info-fd", str(info), "--", "/bin/sh", "-c", "echo; read x"]
        # Its first process is process 1 in there: the program can read that one's environment.
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
            problem = self._process.stderr.read().decode(errors="replace").strip()
            raise ValueError(problem or "bubblewrap said nothing")
        self._first: int = json.loads(os.read(reading, 2**16))["child-pid"]
        self.own = {self._process.pid, *descendants(self._process.pid)}
        # With the first of a name space the kernel ends all in it, however many there are.
        self.holders = {self._first, self._process.pid}

    def start(
        self, folders: list[str], prepare: Callable[[], None], become: Callable[[], None]
    ) -> tuple[int, list[int]]:
        """Fork a process inside, which prepares, enters and becomes the program.

        Returns its pid and descriptors of `folders`, the memory file systems in there.
        Raises ValueError where it cannot enter.
        """
        ours, theirs = socket.socketpair()
        # Whoever enters another pid name space stays outside; only its children are in.
        usher = os.fork()
        if usher == 0:
            try:
                prepare()
                enter(self._first)
                descriptors = [os.open(folder, os.O_RDONLY) for folder in folders]
                main = os.fork()
                if main == 0:
                    become()
                socket.send_fds(theirs, [str(main).encode()], descriptors)
            except OSError as error:
                theirs.send(f"entering the sandbox: {error}".encode())
            finally:
                os._exit(0)
        os.waitpid(usher, 0)
        message, scratch, _, _ = socket.recv_fds(ours, 4096, len(folders))
        ours.close()
        theirs.close()
        if not message.isdigit():
            raise ValueError(message.decode(errors="replace"))
        return int(message), list(scratch)
