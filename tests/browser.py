"""A page in headless Chromium, offline, with all that it says, asks for and does written down."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WIDE, PHONE = 1400, 390  # CSS pixels


@dataclass
class Seen:
    """What a page did. Of a sound one everything but its own requests is empty."""

    console: list[str] = field(default_factory=list)  # every message, whatever its kind
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    # Begun, but for data: of the page itself; a policy may have stopped them.
    requests: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)  # of these, what nothing stopped
    opened: list[str] = field(default_factory=list)  # new windows
    visited: list[str] = field(default_factory=list)  # where the main frame, or any frame, went

    def clear(self) -> None:
        """Before the next page."""
        for found in (
            self.console,
            self.errors,
            self.dialogs,
            self.requests,
            self.sent,
            self.opened,
            self.visited,
        ):
            found.clear()

    def strange(self, *own: Path) -> list[str]:
        """Whatever it did besides showing these files."""
        files = {path.as_uri() for path in own}
        left = [url for url in self.requests + self.visited if url.partition("#")[0] not in files]
        return self.console + self.errors + self.dialogs + left + self.opened


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium; while it is on, nothing else may run an event loop in this thread."""
    if not CHROMIUM:
        pytest.skip("no chromium, chromium-browser or google-chrome here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, path: Path, *, before: str = "", **options: Any
) -> Iterator[tuple[Page, Seen]]:
    """The file, offline.

    before: a script that runs before any of the page's. options: of the browser's context.
    """
    context = browser.new_context(**{"viewport": {"width": WIDE, "height": 900}} | options)
    context.set_offline(True)
    seen = Seen()

    def answer(route: Route) -> None:
        seen.sent.append(route.request.url)
        route.continue_() if route.request.url.startswith("file:") else route.abort()

    context.route("**/*", answer)
    context.on(
        "request",
        lambda request: None if request.url == "data:," else seen.requests.append(request.url),
    )
    context.on("page", lambda made: _watch(made, seen))
    if before:
        context.add_init_script(before)
    try:
        page = context.new_page()
        page.goto(path.as_uri())
        yield page, seen
    finally:
        context.close()


def _watch(page: Page, seen: Seen) -> None:
    if len(page.context.pages) > 1:
        seen.opened.append(page.url)
    page.on("console", lambda message: seen.console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("dialog", lambda dialog: (seen.dialogs.append(dialog.message), dialog.dismiss()))
    page.on("framenavigated", lambda frame: seen.visited.append(frame.url))
