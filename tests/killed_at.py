"""python killed_at.py K COUNT launch.py ARGUMENTS...: run launch.py, and kill -9 it at the K-th moment beside a step that
changes the disk: before it, or just after. K 0: never. COUNT: a file for the number of moments that there were.

The narrow windows between two steps, which a kill after a random delay does not hit. Not covered: the coder's process.
"""

from __future__ import annotations

import itertools
import os
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEPS = ("fsync", "replace", "rename", "mkdir", "unlink")


def main() -> None:
    last, count, script = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    moments = itertools.count(1)
    passed = 0

    def moment() -> None:
        nonlocal passed
        passed = next(moments)
        if passed == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            moment()
            done = step(*arguments, **options)
            moment()
            return done

        return run

    for name in STEPS:
        setattr(os, name, watched(getattr(os, name)))
    sys.argv, sys.path[0] = sys.argv[3:], str(Path(script).parent)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        total = passed
        count.write_text(str(total))


if __name__ == "__main__":
    main()
