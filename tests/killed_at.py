"""Run launch.py, and kill -9 it at the K-th moment beside a step of a kind that changes the disk.

    python killed_at.py STEP K COUNTS launch.py ARGUMENTS...

A moment is before a step of the kind STEP, or just after. K 0: never. COUNTS: a file for how many
moments of each kind there were.

The narrow windows between two steps, which a kill after a random delay does
not hit. Not covered: the coder's process.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEPS = ("fsync", "replace", "rename", "mkdir")


def main() -> None:
    kind = sys.argv[1]
    last = int(sys.argv[2])
    counts = Path(sys.argv[3])
    script = sys.argv[4]
    passed = Counter[str]()

    def moment(name: str) -> None:
        passed[name] += 1
        if name == kind and passed[name] == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            moment(name)
            done = step(*arguments, **options)
            moment(name)
            return done

        return run

    for name in STEPS:
        setattr(os, name, watched(name, getattr(os, name)))
    sys.argv = sys.argv[4:]
    sys.path[0] = str(Path(script).parent)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        counted = json.dumps(passed)
        counts.write_text(counted)


if __name__ == "__main__":
    main()
