"""The pages of a real queue in headless Chromium, offline.

Read by mouse, by keyboard, on paper, without a script.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from agent.archive.paths import Archive
from agent.report.summary import STATES as ALL_STATES
from agent.report.summary import summaries
from tests.browser import PHONE, opened
from tests.real_queue import STATES, archive_of

IDEA = "frequency_domain_cnn"  # whose session is real: curves, fresh seeds, a failed attempt
HIDDEN = "element => getComputedStyle(element).display === 'none'"
ROWS = (
    "rows => rows.filter(row => row.offsetParent)"
    ".map(row => row.querySelector('th small').textContent.split(' · ')[0])"
)
CELLS = (
    "(rows, n) => rows.map(row => row.children[n])"
    ".map(cell => [cell.dataset.value, cell.textContent.trim()])"
)


@pytest.fixture(scope="module")
def archive(real_queue) -> Archive:
    return archive_of(real_queue, IDEA)


def shown(page: Page) -> list[str]:
    """slug/stamp of the rows that can be seen, from the top."""
    return page.eval_on_selector_all("table.queue tbody tr", ROWS)


def test_every_page_opens_without_a_message_or_a_request_and_fits_a_phone_and_its_links_lead_on(
    browser: Browser, real_queue: Path
):
    pages = [real_queue / "report.html", *sorted(real_queue.glob("*/*/report.html"))]
    assert len(pages) == 1 + len(STATES)
    for path in pages:
        with opened(browser, path) as (page, seen):
            page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
            links = page.eval_on_selector_all(
                "a[href]",
                "all => all.map("
                "a => [a.href, a.hash && !!document.getElementById(a.hash.slice(1))])",
            )
            assert [
                href
                for href, there in links
                if not there and not Path(href.removeprefix("file://")).is_file()
            ] == [], path
            page.set_viewport_size({"width": PHONE, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE, path
            assert seen.strange(path) == [] and seen.requests == [path.as_uri()], path


def test_every_experiment_is_a_row_that_says_what_became_of_it(browser, real_queue):
    with opened(browser, real_queue / "report.html") as (page, _):
        rows = page.eval_on_selector_all(
            "tbody tr", "rows => rows.map(row => [row.querySelector('a').href, row.dataset.state])"
        )
        assert {href.split("/")[-3]: state for href, state in rows}.keys() == STATES.keys()
        assert [href for href, state in rows if state not in STATES[href.split("/")[-3]]] == []


def test_every_column_of_the_queue_sorts_both_ways_with_what_is_missing_last(browser, real_queue):
    with opened(browser, real_queue / "report.html") as (page, _):
        heads = page.locator("table.queue thead th")
        for column in range(heads.count()):
            head = heads.nth(column)
            number = heads.nth(column).get_attribute("data-sort") == "number"
            for _ in range(2):
                head.locator("button").click()
                down = {"descending": True, "ascending": False}[head.get_attribute("aria-sort")]
                cells = page.eval_on_selector_all("table.queue tbody tr", CELLS, column)
                values = (
                    [float(value) for value, _ in cells if value]
                    if number
                    else [value.casefold() for value, _ in cells]
                )
                assert values == sorted(values, reverse=down), head.inner_text()
                assert [bool(value) for value, _ in cells] == sorted(
                    [bool(value) for value, _ in cells], reverse=True
                )
        best = {summary.name: summary.best for summary in summaries(real_queue)}
        heads.nth(5).locator("button").click()
        assert re.findall(
            r"[\d.]+",
            " ".join(
                text for _, text in page.eval_on_selector_all("table.queue tbody tr", CELLS, 5)
            ),
        ) == [
            f"{value:.4f}"
            for value in sorted(
                (value for value in best.values() if value is not None), reverse=True
            )
        ]


def test_the_queue_is_filtered_by_words_and_by_verdict(browser, real_queue):
    with opened(browser, real_queue / "report.html") as (page, seen):
        page.fill("#filter-text", "CONVOLUTION frequency")
        assert [name.split("/")[0] for name in shown(page)] == [IDEA] and page.inner_text(
            "#filter-count"
        ) == f"1 of {len(STATES)} shown"
        page.select_option("#filter-state", "running")
        assert shown(page) == []
        page.fill("#filter-text", "")
        assert [name.split("/")[0] for name in shown(page)] == ["slow"]
        page.press("#filter-text", "Enter")
        page.select_option("#filter-state", "")
        assert len(shown(page)) == len(STATES) and page.inner_text("#filter-count") == ""
        assert seen.strange(real_queue / "report.html") == [] and len(seen.requests) == 1


def test_on_a_phone_a_list_sorts_the_queue(browser, real_queue):
    with opened(browser, real_queue / "report.html", viewport={"width": PHONE, "height": 800}) as (
        page,
        _,
    ):
        page.select_option("#sort-by", label="Best")
        best = {summary.name: summary.best for summary in summaries(real_queue)}
        values = [best[name] for name in shown(page)]
        known = [value for value in values if value is not None]
        assert (
            known == sorted(known, reverse=True)
            and values[: len(known)] == known
            and page.locator("#sort-by").is_visible()
        )


def rows_of(archive: Archive, folder: str) -> list[dict[str, str]]:
    return list(csv.DictReader((archive.folder / folder / "metrics.csv").read_text().splitlines()))


def readout(page: Page, picture: str) -> dict[str, float]:
    """What it says of the epoch it is at: values by run, and the epoch."""
    first, *lines = page.inner_text(f"figure[data-picture={picture}] output").split("\n")
    return {"epoch": float(first.split()[1])} | {
        line.split(maxsplit=1)[1]: float(line.split()[0]) for line in lines
    }


def picture_of(page: Page, title: str) -> str:
    return page.locator("figure.curve", has_text=title).get_attribute("data-picture")


def test_a_curve_is_hidden_in_every_picture_and_no_longer_read_out(browser, archive):
    with opened(browser, archive.report) as (page, seen):
        box = page.get_by_label("run_1", exact=True)
        number = box.get_attribute("data-curve")
        pictures = page.locator("figure.curve").count()
        lines = page.locator(f"g[id$='--{number}']")
        assert lines.count() == pictures >= 4 and not any(
            line.evaluate(HIDDEN) for line in lines.all()
        )
        box.uncheck()
        assert all(line.evaluate(HIDDEN) for line in lines.all())
        page.focus("figure.curve")
        page.keyboard.press("End")
        assert "run_2" in readout(page, "m0") and "run_1" not in readout(page, "m0")
        page.get_by_role("button", name="all", exact=True).click()
        assert box.is_checked() and not any(line.evaluate(HIDDEN) for line in lines.all())
        page.get_by_role("button", name="only control").click()
        assert (
            not box.is_checked()
            and page.get_by_label("baseline (control, seed 0)", exact=True).is_checked()
        )
        assert seen.strange(archive.report) == []


def test_pointing_and_arrow_keys_read_out_what_metrics_csv_holds(browser, archive):
    columns = {
        "training loss": "train_loss",
        "validation loss": "val_loss",
        "training accuracy": "train_acc",
        "validation accuracy": "val_acc",
    }
    with opened(browser, archive.report) as (page, _):
        for title, column in columns.items():
            name = picture_of(page, title)
            figure = page.locator(f"figure[data-picture={name}]")
            figure.scroll_into_view_if_needed()
            box = figure.locator("svg").bounding_box()
            for share, row in ((0.2, 0), (0.95, -1)):
                page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
                texts = readout(page, name)
                for folder, run in (
                    ("run_0", "baseline (control, seed 0)"),
                    ("run_1", "run_1"),
                    ("run_2", "run_2"),
                ):
                    stored = rows_of(archive, folder)[row]
                    assert texts["epoch"] == float(stored["epoch"]) and texts[run] == pytest.approx(
                        float(stored[column]), rel=1e-3
                    )
            page.mouse.move(0, 0)
            figure.focus()
            page.keyboard.press("Home")
            first = readout(page, name)
            page.keyboard.press("ArrowRight")
            second = readout(page, name)
            page.keyboard.press("ArrowLeft")
            assert (first["epoch"], second["epoch"]) == (1, 2) and readout(page, name) == first
            page.keyboard.press("Escape")
            assert not figure.locator("output").is_visible()


def test_a_diff_opens_and_shows_the_added_line_of_the_idea(browser, archive):
    with opened(browser, archive.report) as (page, _):
        chosen = page.locator("article.ok", has_text="chosen for confirmation")
        assert chosen.locator("details.diff[open]").count() == 1, (
            "the change that the verdict is about stands open"
        )
        other = page.locator("article.ok").filter(has_not_text="chosen for confirmation")
        diff = other.locator(
            "details.diff", has=page.locator("summary", has_text="main.py against the scaffold")
        )
        added = diff.locator("tr.added .new, tr.changed .new", has_text="rfft2(").first
        assert other.count() == 1 and not added.is_visible()
        diff.locator("summary").click()
        assert (
            added.is_visible()
            and diff.locator("tr.changed .old", has_text="self.conv2(x)").first.is_visible()
        )
        mark = added.evaluate("cell => getComputedStyle(cell, '::before').content")
        assert "+" in mark, "an added line is marked by more than its colour"


def test_all_can_be_reached_and_worked_by_the_keyboard_alone(browser, real_queue, archive):
    with opened(browser, real_queue / "report.html") as (page, _):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        reached = _tab_through(page)
        assert (
            reached >= {"filter-text", "filter-state"}
            and sum(name.startswith("BUTTON") for name in reached) == 13
        )
        page.locator("th button", has_text="Failed").focus()
        page.keyboard.press("Enter")
        assert page.locator("th[aria-sort=descending]", has_text="Failed").count() == 1
        page.keyboard.press("Space")
        assert page.locator("th[aria-sort=ascending]", has_text="Failed").count() == 1
    with opened(browser, archive.report) as (page, _):
        wanted = page.eval_on_selector_all(
            "summary, figure.curve, th button, [data-curve], [data-show], nav a, .files a",
            "all => all.length",
        )
        closed = page.locator("summary").filter(visible=True).count()
        assert len(_tab_through(page)) >= closed and wanted > 50
        summary = page.locator("article#run_1 summary", has_text="Reply of the model")
        summary.focus()
        for key, is_open in (("Enter", True), ("Space", False)):
            page.keyboard.press(key)
            assert summary.evaluate("element => element.parentElement.open") is is_open


def _tab_through(page: Page) -> set[str]:
    """What Tab reaches, each with a name of its own, until it leaves the page.

    Every one shows that it has the focus.
    """
    reached = list[str]()
    outlines = set[str]()
    for _ in range(400):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "(n => [n === document.body ? '' : n.id || n.tagName + ' '"
            " + [...document.querySelectorAll(n.tagName)].indexOf(n),"
            " getComputedStyle(n).outlineStyle])(document.activeElement)"
        )
        if not name or name in reached:
            break
        reached.append(name)
        outlines.add(outline)
    assert "none" not in outlines
    return set(reached)


def test_a_reader_goes_from_the_queue_to_an_experiment_its_failed_attempt_and_back(
    browser, real_queue
):
    with opened(browser, real_queue / "report.html") as (page, seen):
        page.locator("tbody a", has_text="Convolution in the frequency domain").click()
        assert page.inner_text("h1") == "Convolution in the frequency domain"
        page.locator("nav a", has_text="Curves").click()
        page.locator("table.sortable a", has_text="run_1.failed_1").click()
        assert page.url.endswith("#run_1.failed_1") and page.locator(":target h3").is_visible()
        page.get_by_role("link", name="all experiments").click()
        assert page.url == (real_queue / "report.html").as_uri()
        assert not seen.console + seen.errors + seen.opened


def test_on_paper_what_an_argument_needs_is_open_and_controls_are_gone(
    browser, real_queue, archive, tmp_path
):
    with opened(browser, archive.report) as (page, _):
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert (
            "95 % interval" in page.inner_text("#verdict")
            and page.locator("#seeds table").is_visible()
        )
        assert page.locator("details[data-print]").count() > 2
        assert (
            page.locator("details[data-print]:not([open])").count() == 0
            and page.locator("details.diff:not([open])").count() > 0
        )
        assert (
            not page.locator("nav").is_visible()
            and not page.locator("[data-show]").first.is_visible()
        )
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("details[data-print][open]").count() == 0
    for path, heading in (
        (archive.report, "Verdict"),
        (real_queue / "report.html", "What the columns say"),
    ):
        with opened(browser, path) as (page, seen):
            printed = page.pdf(path=tmp_path / "page.pdf", format="A4", outline=True, tagged=True)
            assert (
                printed.startswith(b"%PDF")
                and heading.encode() in printed
                and printed.count(b"/Type /Page\n") >= 1
            )
            assert seen.strange(path) == []


def test_without_script_all_is_there_to_read_and_no_dead_control_is_shown(
    browser, real_queue, archive
):
    with opened(browser, real_queue / "report.html", java_script_enabled=False) as (page, _):
        assert (
            page.locator("tbody tr").count() == len(STATES)
            and not page.locator("form.filter").is_visible()
        )
        assert page.locator("button").count() == 0
    with opened(browser, archive.report, java_script_enabled=False) as (page, _):
        assert (
            page.locator("figure.curve svg").first.is_visible()
            and page.locator("svg", has_text="idea, mean").first.is_visible()
        )
        assert [button for button in page.locator("button").all() if button.is_visible()] == []
        assert [box for box in page.locator("input").all() if box.is_visible()] == []
        summary = page.locator("article#run_1 summary", has_text="Reply of the model")
        summary.click()
        assert page.locator("article#run_1", has_text="GlobalFilter2d").is_visible()


def test_every_state_has_a_mark_and_a_word_of_its_own(browser, real_queue):
    with opened(browser, real_queue / "report.html") as (page, _):
        badges = {
            tuple(text.split(maxsplit=1)) for text in page.locator(".badge").all_inner_texts()
        }
    words = {word for _, word in badges}
    marks = {mark for mark, _ in badges}
    assert words == {state.replace("_", " ") for state in ALL_STATES} and len(marks) == len(
        badges
    ) == len(words)
