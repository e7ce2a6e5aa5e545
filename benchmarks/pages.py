"""Sizes of the HTML pages, how long each takes to make, and to open in Chromium.

Medians, as the browser's own clock says.

    python benchmarks/pages.py [--counts 50,1000] [--times N]

The archives are made up (benchmarks/archives.py), in a temporary folder; one in ten has all its run
folders, and of those the page of an experiment is made. Opened from the disk, in a new context each
time, with Chromium's caches as warm as they are.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from playwright.sync_api import Browser  # noqa: E402

from agent.report.html.pages import write_page, write_queue_page  # noqa: E402
from benchmarks.archives import make_archives  # noqa: E402
from tests.browser import chromium, opened  # noqa: E402

TIMES = """() => new Promise(done => requestAnimationFrame(() => setTimeout(() => {
  const [page] = performance.getEntriesByType('navigation');
  const [paint] = performance.getEntriesByType('paint');
  done([page.domContentLoadedEventEnd, page.loadEventEnd, paint ? paint.startTime : NaN]);
}, 50)))"""


def loading(browser: Browser, path: Path, times: int) -> list[float]:
    """Return milliseconds since the navigation began: document read, all loaded, first painted."""
    rounds = []
    for _ in range(times + 1):
        with opened(browser, path) as (page, _):
            rounds.append(page.evaluate(TIMES))
    return [median(values) for values in zip(*rounds[1:], strict=True)]  # the first one warms up


def measure(browser: Browser, count: int, times: int) -> list[str]:
    """Rows of a table: the queue's page, and the largest of an experiment."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        archives = make_archives(runs, count)
        whole = [archive for archive in archives if archive.run(1).folder.is_dir()]
        pages = list[Path]()
        took = list[float]()
        for archive in whole[:10]:
            began = time.perf_counter()
            pages.append(write_page(archive))
            took.append(time.perf_counter() - began)
        began = time.perf_counter()
        queue = write_queue_page(runs)
        queue_took = time.perf_counter() - began
        largest = max(pages, key=lambda path: path.stat().st_size)
        queue_loads = loading(browser, queue, times)
        largest_loads = loading(browser, largest, times)
        return [
            _row(f"all of {count}", queue, queue_took, queue_loads),
            _row(f"largest of {len(pages)}", largest, median(took), largest_loads),
        ]


def _row(name: str, path: Path, took: float, loaded: list[float]) -> str:
    size = path.stat().st_size / 1000
    times = " | ".join(f"{value:>6.0f}" for value in loaded)
    return f"| {name:<14} | {size:>9,.0f} | {took:>6.2f} | {times} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--counts", default="50,1000", help="experiments in a queue (default: 50,1000)"
    )
    parser.add_argument(
        "--times", type=int, default=7, help="how often each page is opened (default: 7)"
    )
    given = parser.parse_args()
    print("| page           |        kB | made, s | document, ms | load, ms | first paint, ms |")
    print("|---|---:|---:|---:|---:|---:|")
    with chromium() as browser:
        for count in map(int, given.counts.split(",")):
            print(*measure(browser, count, given.times), sep="\n", flush=True)


if __name__ == "__main__":
    main()
