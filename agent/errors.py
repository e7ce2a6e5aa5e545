"""The two kinds of failure that are shown to people as one line. Anything else is a bug and keeps its traceback."""

from __future__ import annotations


class UserError(Exception):
    """What the user gave cannot be used; the message says what to do. Nothing was spent. Exit code 2."""


class Fault(Exception):
    """Something outside failed while an experiment ran: provider, data, disk, environment. Exit code 1, resumable."""

    def __init__(self, kind: str, detail: str):
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail
