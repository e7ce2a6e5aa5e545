"""Nothing that a model, a program or an idea wrote does anything on a page.

It stands there as text.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Page

from agent.archive.paths import Archive
from agent.cli import review
from agent.report.html.pages import write_page, write_queue_page
from agent.report.write import write_reports
from agent.util import templates
from agent.util.text import clean, visible
from tests.browser import opened
from tests.hostile import PAYLOADS, poisoned, slim
from tests.real_queue import archive_of

MOST_BYTES = 3_000_000
LEAST_TEXTS = 60
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
# Tags and attributes of all elements, and what a payload would have left behind.
ANATOMY = """() => {
  const all = [...document.querySelectorAll('*')];
  const tags = new Set(all.map(element => element.tagName.toLowerCase()));
  const attributes = new Set(all.flatMap(element => element.getAttributeNames()));
  const scripts = document.scripts.length;
  const styles = document.querySelectorAll('style').length;
  const links = [...document.links].map(a => a.protocol);
  const metas = document.querySelectorAll('meta').length;
  return {
    tags: [...tags],
    attributes: [...attributes],
    count: [scripts, styles, metas],
    links: [...new Set(links)],
    pwned: [window.__pwned ?? null, document.title.startsWith('pwned')],
  };
}"""
USE = """() => {
  for (const part of document.querySelectorAll('details')) part.open = true;
  for (const element of document.querySelectorAll('button, input, figure, label')) {
    element.focus();
    element.click();
  }
  for (const figure of document.querySelectorAll('figure')) {
    figure.dispatchEvent(new PointerEvent('pointermove', {clientX: 300}));
    figure.dispatchEvent(new KeyboardEvent('keydown', {key: 'End'}));
  }
  for (const kind of ['mouseover', 'click', 'focus', 'toggle']) {
    const others = document.querySelectorAll('main *:not(a):not(summary):not(button)');
    for (const element of others) element.dispatchEvent(new Event(kind));
  }
}"""
MARKDOWN = {
    "p",
    "h1",
    "pre",
    "code",
    "em",
    "strong",
    "a",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "br",
    "hr",
    "ul",
    "ol",
    "li",
    "blockquote",
}
CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)


@pytest.fixture(scope="module")
def sound(real_queue, tmp_path_factory) -> Archive:
    """A real experiment with fresh seeds, slim enough to be copied often."""
    return slim(
        archive_of(real_queue, "frequency_domain_cnn"),
        tmp_path_factory.mktemp("sound") / "idea" / "20260101T000000Z",
    )


@pytest.fixture(scope="module")
def attacked(sound, tmp_path_factory) -> tuple[Path, dict[str, set[str]]]:
    """runs/ with one experiment for each payload, and all pages; with the labels of the texts."""
    runs = tmp_path_factory.mktemp("attacked")
    labels = {}
    slowest = 0.0
    for number, (name, payload) in enumerate(PAYLOADS.items()):
        archive = Archive(runs / f"p{number:02}" / sound.folder.name)
        shutil.copytree(sound.folder, archive.folder)
        labels[name] = poisoned(archive, payload)
        began = time.process_time()
        size = write_page(archive).stat().st_size
        slowest = max(slowest, time.process_time() - began)
        assert size < MOST_BYTES, name
    write_queue_page(runs)
    print(
        f"{len(PAYLOADS)} payloads in {len(labels['script'])} texts each; "
        f"the slowest page took {slowest:.1f} s to make"
    )
    return runs, labels


def pages(runs: Path) -> dict[str, Path]:
    return {
        name: next(runs.glob(f"p{number:02}/*/report.html")) for number, name in enumerate(PAYLOADS)
    } | {"queue": runs / "report.html"}


def misdeeds(page: Page, own: dict) -> list[str]:
    """What is on the page that a sound one has not, once everything on it was touched."""
    page.evaluate(USE)
    anatomy = page.evaluate(ANATOMY)
    strange = sorted(set(anatomy["tags"]) - set(own["tags"]) - MARKDOWN) + sorted(
        set(anatomy["attributes"]) - set(own["attributes"])
    )
    strange += sorted(set(anatomy["links"]) - {"file:", "http:"})
    return strange + [
        str(anatomy[name]) for name in ("count", "pwned") if anatomy[name] != own[name]
    ]


def anatomy(browser, *paths: Path) -> dict:
    """Of sound pages."""
    anatomies = []
    for path in paths:
        with opened(browser, path) as (page, _):
            page.evaluate(USE)
            anatomies.append(page.evaluate(ANATOMY))
    return anatomies[0] | {
        name: {value for part in anatomies for value in part[name]}
        for name in ("tags", "attributes")
    }


def forms(payload: str) -> tuple[str, ...]:
    """How a text may be shown: without its control characters, or with them written out.

    Of several lines the first.
    """
    in_a_file = payload.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return tuple(
        form(text).split("\n")[0] for form in (clean, visible) for text in (payload, in_a_file)
    )


def unreadable(text: str, labels: set[str], payload: str) -> list[str]:
    """Texts on a page that are not what was written, and parts that could not be shown at all."""
    parts = re.split(r"(§\d+§)", text)[1:]
    shown = {
        label: rest for label, rest in zip(parts[::2], parts[1::2], strict=True) if label in labels
    }
    lost = [rest[:60] for rest in shown.values() if not rest.startswith(forms(payload))]
    damaged = [word for word in ("This part of the archive is damaged", "damaged:") if word in text]
    return lost + damaged + ([f"only {len(shown)} texts"] if len(shown) < LEAST_TEXTS else [])


def test_every_text_is_shown_as_it_is_and_nothing_of_it_is_done_though_the_policy_is_off(
    browser, attacked, real_queue, sound, tmp_path
):
    """So that escaping alone has to hold."""
    runs, labels = attacked
    own = {
        True: anatomy(browser, real_queue / "report.html"),
        False: anatomy(browser, sound_page(sound, tmp_path)),
    }
    wrong: dict[str, list[str]] = {}
    with opened(browser, runs / "report.html") as (page, seen):
        for name, path in pages(runs).items():
            html, count = POLICY.subn('<meta name="none">', path.read_text())
            bare = path.with_name("bare.html")
            bare.write_text(html)
            seen.clear()
            page.goto(bare.as_uri())
            text = page.locator("html").text_content() or ""
            bad = [
                repr(text[max(0, match.start() - 40) : match.end()])
                for match in CONTROL.finditer(text)
            ][:3]
            bad += [] if name == "queue" else unreadable(text, labels[name], PAYLOADS[name])
            bad += (
                misdeeds(page, own[name == "queue"])
                + seen.strange(bare)
                + ["asks again"] * (len(seen.requests) - 1)
            )
            wrong |= {name: bad} if bad or count != 1 else {}
    assert wrong == {}


@pytest.fixture
def unescaped(tmp_path, monkeypatch):
    """Templates that forget to escape.

    The title and the code on a page of an experiment, title and reason on that of the queue.
    """
    copy = tmp_path / "templates"
    shutil.copytree(templates.TEMPLATES, copy)
    forgotten = {
        "macros.html.j2": "{{ text }}",
        "experiment.html.j2": "<h1>{{ summary.title",
        "queue.html.j2": "{{ row.note }}",
    }
    for name, asis in forgotten.items():
        text = (copy / name).read_text()
        assert text.count(asis) == 1
        safe = "<h1>{{ summary.title | safe" if "h1" in asis else asis.replace(" }}", " | safe }}")
        (copy / name).write_text(text.replace(asis, safe))
    monkeypatch.setattr(templates, "TEMPLATES", copy)
    templates._page_environment.cache_clear()
    yield
    templates._page_environment.cache_clear()


def test_where_escaping_is_forgotten_the_policy_alone_lets_no_script_run_and_nothing_be_fetched(
    browser, sound, tmp_path, unescaped
):
    """Not covered, for a policy in a page cannot: <meta
    http-equiv=refresh>, which leads away from it.
    """
    runs = tmp_path / "runs"
    planted = set[str]()
    ran = []
    for name in (
        "script",
        "image from elsewhere",
        "handlers",
        "frames",
        "form",
        "script from elsewhere",
    ):
        archive = Archive(runs / name.replace(" ", "_") / sound.folder.name)
        shutil.copytree(sound.folder, archive.folder)
        poisoned(archive, PAYLOADS[name])
        write_page(archive)
    write_queue_page(runs)
    for path in runs.rglob("report.html"):
        with opened(browser, path) as (page, seen):
            anatomy = page.evaluate(ANATOMY)
            page.evaluate(USE)
            planted |= {
                tag
                for tag in ("img", "iframe", "object", "animate", "form")
                if tag in anatomy["tags"]
            }
            outside = [url for url in seen.sent if url != path.as_uri()]
            if page.evaluate("window.__pwned ?? null") or seen.dialogs or seen.opened or outside:
                ran.append((path, page.evaluate("window.__pwned ?? null"), seen))
            assert (
                any("Content Security Policy" in line for line in seen.console)
                or path.parent == runs
            ), "nothing was tried"
    assert ran == [] and planted >= {"img", "iframe", "object", "form"}


def test_names_of_folders_are_text_too(browser, sound, real_queue, tmp_path):
    """Of ideas, and of attempts, as an archive that somebody sends may have them."""
    own_queue = anatomy(browser, real_queue / "report.html")
    own = anatomy(browser, sound_page(sound, tmp_path))
    runs = tmp_path / "runs"
    for name in ("image", "out of an attribute", "terminal", "quotes of ids", "link"):
        payload = PAYLOADS[name].replace("/", "|")[:80]
        archive = Archive(runs / payload / sound.folder.name)
        shutil.copytree(sound.folder, archive.folder)
        (archive.folder / "run_1").rename(archive.folder / payload)
        for path in (archive.events, archive.folder / payload / "result.json"):
            path.write_text(path.read_text().replace('"run_1"', json.dumps(payload)))
        write_page(archive)
    write_queue_page(runs)
    with opened(browser, runs / "report.html") as (page, seen):
        assert misdeeds(page, own_queue) == [] and seen.strange(runs / "report.html") == []
        links = page.eval_on_selector_all("tbody a", "all => all.map(one => one.href)")
        assert len(links) == 5
        for link in links:
            seen.clear()
            page.goto(link)
            assert (
                page.locator("article").count() == 3
                and misdeeds(page, own) == []
                and seen.console + seen.errors + seen.dialogs == []
            )


def sound_page(sound: Archive, tmp_path: Path) -> Path:
    shutil.copytree(sound.folder, tmp_path / "sound" / sound.folder.name)
    return write_page(Archive(tmp_path / "sound" / sound.folder.name))


def test_the_terminal_shows_no_control_character_of_any_text(attacked, capsys):
    runs, _ = attacked
    wrong: dict[str, list[str]] = {}
    for number, name in enumerate(PAYLOADS):
        options = [[]] + (
            [["--diff"], ["--log"], ["--chat"], ["--json"]]
            if name in ("terminal", "bidi", "control", "rich")
            else []
        )
        for option in options:
            code = review.command([f"p{number:02}", "--runs-dir", str(runs), *option])
            out, error = capsys.readouterr()
            bad = [
                repr(out[max(0, match.start() - 40) : match.end()])
                for match in CONTROL.finditer(out)
            ][:3]
            shown = [form[:20] for form in forms(PAYLOADS[name])]
            if (
                bad
                or code
                or error
                or (not any(form in out for form in shown) and "--json" not in option)
            ):
                wrong[f"{name} {option}"] = [*bad, str(code), error[:300]]
    assert review.command(["--runs-dir", str(runs)]) == 0 and not CONTROL.search(
        capsys.readouterr().out
    )
    assert wrong == {}


def test_the_diary_and_the_write_up_show_text_and_nothing_else_to_a_reader_of_markdown(
    browser, attacked, tmp_path
):
    """Rendered as a lenient reader would: HTML let through, bare addresses made links."""
    runs, _ = attacked
    markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
    files = {}
    for number, name in enumerate(PAYLOADS):
        archive = Archive(next((runs / f"p{number:02}").iterdir()))
        assert write_reports(archive, runs) == [], name
        files[name] = archive.write_up
    files["diary"] = runs / "DIARY.md"
    wrong: dict[str, list[str]] = {}
    with opened(browser, runs / "report.html") as (page, seen):
        for name, path in files.items():
            text = path.read_text()
            file = tmp_path / f"{name.replace(' ', '_')}.html"
            file.write_text(f"<!doctype html><meta charset=utf-8>{markdown.render(text)}")
            seen.clear()
            page.goto(file.as_uri())
            anatomy = page.evaluate(ANATOMY)
            bad = sorted(
                set(anatomy["tags"]) - MARKDOWN - {"html", "head", "body", "meta", "h2", "h3"}
            ) + seen.strange(file)
            bad += [
                url
                for url in page.eval_on_selector_all("a", "all => all.map(one => one.href)")
                if "evil" in url or ":" in url[5:]
            ]
            bad += [
                repr(text[max(0, hit.start() - 40) : hit.end()]) for hit in CONTROL.finditer(text)
            ][:2]
            wrong |= {name: bad} if bad else {}
    assert wrong == {}
