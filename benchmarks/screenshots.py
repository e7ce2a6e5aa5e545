"""Pictures of the pages of a queue: wide, on a phone, dark.

    python benchmarks/screenshots.py RUNS [--experiment NAME] [--out docs]

RUNS is a folder of archives whose pages were made (`python launch.py report`).
Writes OUT/queue_1400.png, queue_390.png and queue_1400_dark.png, and the same of
one experiment: by default of the best that was compared with its control. The
first HIGH pixels of each, in few colours.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from PIL import Image  # noqa: E402
from playwright.sync_api import Browser  # noqa: E402

from agent.report.summary import summaries  # noqa: E402
from tests.browser import PHONE, WIDE, chromium, opened  # noqa: E402

HIGH = {WIDE: 2000, PHONE: 1600}
LOOKS = {"1400": (WIDE, "light"), "390": (PHONE, "light"), "1400_dark": (WIDE, "dark")}
MOST_BYTES = 250_000


def picture(browser: Browser, path: Path, width: int, scheme: str) -> bytes:
    """An optimised PNG of at most MOST_BYTES."""
    viewport = {"width": width, "height": 900}
    with opened(browser, path, viewport=viewport, color_scheme=scheme) as (page, _):
        high = min(HIGH[width], page.evaluate("document.documentElement.scrollHeight"))
        clip = {"x": 0, "y": 0, "width": width, "height": high}
        png = page.screenshot(full_page=True, clip=clip)
    shot = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in (256, 128, 64, 32):
        out = io.BytesIO()
        shot.quantize(colours, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        if out.tell() <= MOST_BYTES:
            break
    return out.getvalue()


def page_of(runs: Path, name: str | None) -> Path:
    """Return the page of the experiment of this name (slug, or slug/stamp).

    Without a name, of the best that was compared with its control.
    """
    for summary in sorted(summaries(runs), key=lambda summary: summary.low, reverse=True):
        names = (summary.name, summary.name.partition("/")[0])
        if name in names or (summary.effect and not name):
            return summary.archive.report
    raise SystemExit(f"{runs}: no experiment {name or 'that was compared with its control'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, help="a folder of archives with their pages")
    parser.add_argument(
        "--experiment", help="slug or slug/stamp (default: the best of those compared)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=REPOSITORY / "docs",
        help="where the pictures go (default: docs)",
    )
    given = parser.parse_args()
    pages = {
        "queue": given.runs / "report.html",
        "experiment": page_of(given.runs, given.experiment),
    }
    with chromium() as browser:
        for name, path in pages.items():
            for look, (width, scheme) in LOOKS.items():
                png = picture(browser, path.resolve(), width, scheme)
                given.out.mkdir(parents=True, exist_ok=True)
                file = given.out / f"{name}_{look}.png"
                file.write_bytes(png)
                print(f"{file}  {len(png) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
