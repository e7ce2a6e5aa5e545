"""How long `launch.py review` takes over many archives.

Medians, cold and warm, of the whole process, the start of Python included.

    python benchmarks/review.py [--count N] [--times N] [--markdown]

cold: what the disk holds of the archives is not in memory. As root all caches of the kernel are
dropped, names of files and Python itself among them; else only the contents of the archives' files.
`python -c pass` in the same turns says what of it is Python alone. The archives are made up
(benchmarks/archives.py), in a temporary folder, and written to the disk before the first turn.
"""

from __future__ import annotations

import argparse
import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from benchmarks.archives import make_archives  # noqa: E402

DROP = Path("/proc/sys/vm/drop_caches")


def commands(runs: Path) -> dict[str, tuple[list[str], bool]]:
    """Each with whether it writes to a terminal."""
    review = [sys.executable, str(REPOSITORY / "launch.py"), "review", "--runs-dir", str(runs)]
    return {
        "python -c pass": ([sys.executable, "-c", "pass"], False),
        "review, in a pipe": (review, False),
        "review, on a terminal": (review, True),
        "review --json": ([*review, "--json"], False),
    }


def seconds(command: list[str], terminal: bool) -> float:
    """Of wall clock, until all that it wrote is read."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=theirs, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    os.close(theirs)
    try:
        while os.read(ours, 2**16):
            pass
    except OSError:  # the other end of a terminal is closed
        pass
    code = process.wait()
    took = time.perf_counter() - started
    os.close(ours)
    if code:
        raise SystemExit(f"{' '.join(command)}: exit code {code}")
    return took


def forget(runs: Path) -> str:
    """Take the archives out of memory; says how far."""
    try:
        DROP.write_text("3")
        return "all caches of the kernel dropped"
    except OSError:
        for path in runs.rglob("*"):
            if path.is_file():
                with open(path, "rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return "contents of the archives' files dropped, not their names, nor Python"


def measure(runs: Path, times: int, before: Callable[[Path], object]) -> dict[str, float]:
    """The median of each command, which take turns, so that
    a load on the machine falls on all alike.
    """
    took: dict[str, list[float]] = {name: [] for name in commands(runs)}
    for _ in range(times):
        for name, (command, terminal) in commands(runs).items():
            before(runs)
            took[name].append(seconds(command, terminal))
    return {name: median(values) for name, values in took.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="archives (default: 1000)")
    parser.add_argument("--times", type=int, default=7, help="turns (default: 7)")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        make_archives(runs, given.count)
        os.sync()  # what is not on disk cannot be dropped
        how = forget(runs)
        cold = measure(runs, given.times, forget)
        warm = measure(runs, given.times, lambda runs: None)
    print(f"{given.count} archives, medians of {given.times}, seconds; cold: {how}\n")
    line = "| {:<24} | {:>6} | {:>6} |" if given.markdown else "{:<24}  {:>6}  {:>6}"
    print(line.format("command", "cold", "warm"))
    if given.markdown:
        print("|---|---:|---:|")
    for name in cold:
        print(line.format(name, f"{cold[name]:.3f}", f"{warm[name]:.3f}"))


if __name__ == "__main__":
    main()
