"""The worker's end of the pipes to the harness, and its end when they close."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class ParentChannel:
    """The pipes to the harness: one JSON line in, one out.

    The process ends when its input does: at once, or with the request that is under way.
    """

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # aider prints; only answers go to the harness
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._alone = threading.Event()
        self._request = threading.Lock()

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        self._alone.set()
        with self._request:
            os._exit(0)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keep the process from ending while a request is made.

        Without a harness no request is begun, and nothing is done with its reply.
        """
        with self._request:
            self._end_if_alone()
            try:
                yield
            finally:
                self._end_if_alone()

    def _end_if_alone(self) -> None:
        if self._alone.is_set():
            os._exit(0)

    def first(self) -> dict[str, Any]:
        """Return the first line."""
        return dict(json.loads(sys.stdin.readline()))

    def next(self) -> dict[str, Any]:
        """Return a line after the first.

        The reader starts here: a process that ends at once must not be holding its input.
        """
        if not self._reader.is_alive():
            self._reader.start()
        return dict(json.loads(self._lines.get()))

    def answer(self, value: dict[str, Any]) -> None:
        """Write one line to the harness."""
        print(json.dumps(value), file=self._answers, flush=True)
