"""Two kinds of failure are shown to people as one line: UserError and Fault.

Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from agent.util.secrets import redact

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
MIN_FREE_BYTES = 2**16


class UserError(Exception):
    """The user gave something that cannot be used; the message says what to do about it.

    Nothing was spent. The exit code is 2.
    """


class Fault(Exception):
    """Something outside failed while an experiment ran: provider, data, disk, environment.

    The experiment can be resumed. The exit code is 1.
    """

    def __init__(self, kind: str, detail: str):
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


def record_bug(debug: bool = False) -> str:
    """Keep the traceback of the exception being handled, a bug of ours, in a file.

    Return the line that says where. Where the disk for temporary files is full it is no bug:
    libraries and child processes end in their own ways then. debug: print the traceback too.
    """
    error = sys.exc_info()[1]
    if debug:
        traceback.print_exc()
    if isinstance(error, OSError) and error.errno in FULL:
        return f"disk: {error.filename or 'a temporary file'}: {error.strerror}"
    summary = f"{type(error).__name__}: {error}".split("\n")[0]
    try:
        folder = Path(tempfile.gettempdir())
        if shutil.disk_usage(folder).free < MIN_FREE_BYTES:
            return f"disk: {folder}: No space left for temporary files ({summary})"
        log = folder / f"assay-error-{os.getpid()}.log"
        with log.open("a", encoding="utf-8") as file:
            file.write(redact(traceback.format_exc()) + "\n")
    except OSError as full:
        reason = full.strerror or full
        return f"disk: no temporary file can be written ({reason}), not even about {summary}"
    return f"a fault of Assay itself; please report it with {log}"
