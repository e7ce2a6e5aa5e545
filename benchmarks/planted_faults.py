"""Plant one fault at a time in a copy of the repository and see that the tests catch it.

    python benchmarks/planted_faults.py [--only NAME] [--tier quick]

Each fault names the tests that must notice it, and these are run. With `--tier quick` the quick
ones among them are run, and where these do not notice it, all quick tests. A fault that is not
caught is printed as MISSED, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from benchmarks.faults import FAULTS, PlantedFault  # noqa: E402

LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache")
LEFT_OUT_ON_TOP = {".git", ".venv", "runs"}
FAILED = 1  # pytest's exit code where a test failed
NOTHING_TO_RUN = 5  # where no test was selected


def left_out(folder: str, names: list[str]) -> set[str]:
    """Return which of the names in a folder of the repository no test needs."""
    on_top = LEFT_OUT_ON_TOP if Path(folder) == REPOSITORY else set[str]()
    return on_top | LEFT_OUT(folder, names)


def plant(fault: PlantedFault, folder: Path) -> Path:
    """Copy the repository into a folder and plant the fault in the copy."""
    copy = folder / "assay"
    shutil.copytree(REPOSITORY, copy, ignore=left_out)
    file = copy / fault.file
    source = file.read_text(encoding="utf-8")
    if fault.old not in source:
        raise SystemExit(f"{fault.file}: {fault.old!r} is not there any more: update the list")
    file.write_text(source.replace(fault.old, fault.new), encoding="utf-8")
    return copy


def tests_fail(copy: Path, *options: str) -> bool:
    """Run tests of a copy until the first fails; return whether one did."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode not in (0, FAILED, NOTHING_TO_RUN):
        raise SystemExit(
            f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr}"
        )
    return done.returncode == FAILED


def caught(fault: PlantedFault, tier: str) -> bool:
    """Return whether the tests of a tier fail with the fault in place."""
    file, *options = fault.tests.split()
    named = [f"tests/{file}", *options]
    with tempfile.TemporaryDirectory() as folder:
        copy = plant(fault, Path(folder))
        if tier == "all":
            return tests_fail(copy, *named)
        if tests_fail(copy, *named, "-m", "quick"):
            return True
        return tests_fail(copy, "-n", "2", "-m", "quick")


def main() -> int:
    """Plant the faults one after the other, print a line for each, and count."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("--only", default="", help="files whose name contains this")
    parser.add_argument("--tier", choices=("all", "quick"), default="all")
    given = parser.parse_args()
    chosen = [fault for fault in FAULTS if given.only in fault.file]
    missed = 0
    for fault in chosen:
        began = time.monotonic()
        noticed = caught(fault, given.tier)
        missed += not noticed
        word = "caught" if noticed else "MISSED"
        seconds = time.monotonic() - began
        print(f"{word}  {seconds:5.0f} s  {fault.file}: {fault.what}  ({fault.tests})", flush=True)
    print(f"planted {len(chosen)}, caught by {given.tier} {len(chosen) - missed}, missed {missed}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
