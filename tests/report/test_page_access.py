"""axe-core on both pages, wide and on a phone, light and dark, with everything open."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest

from tests.browser import PHONE, WIDE, opened
from tests.real_queue import archive_of

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
OPEN = "document.querySelectorAll('details').forEach(part => part.open = true)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("slug", ["", "frequency_domain_cnn"], ids=["queue", "experiment"])
def test_axe_finds_nothing_that_keeps_anyone_from_reading(browser, real_queue, slug, width, scheme):
    path = archive_of(real_queue, slug).report if slug else real_queue / "report.html"
    # The policy of the page would refuse axe's script.
    with opened(
        browser,
        path,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        bypass_csp=True,
    ) as (page, _):
        page.evaluate(OPEN)
        page.evaluate(AXE)
        results = page.evaluate("axe.run()")
    violations = [
        (
            violation["impact"],
            violation["id"],
            violation["help"],
            [node["target"] for node in violation["nodes"]][:3],
        )
        for violation in results["violations"]
    ]
    print(
        f"{slug or 'queue'} {width} {scheme}: {len(results['passes'])} rules pass, "
        f"{len(violations)} violations",
        *violations,
        sep="\n  ",
    )
    assert violations == [] and len(results["passes"]) > 20
