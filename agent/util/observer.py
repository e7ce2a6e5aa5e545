"""An observer hears what the work says while it goes on: nothing below the command line prints."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol


class Observer(Protocol):
    """Somebody who wants to know what the work is at."""

    def say(self, text: str, *, error: bool = False) -> None:
        """Take a line for people."""
        ...

    def step(self, label: str, folder: Path | None = None) -> AbstractContextManager[None]:
        """Hear that a step is under way while inside; folder: where its program works, if any."""
        ...


class SilentObserver:
    """An observer that keeps everything to itself, for tests and for work that nobody watches."""

    def say(self, text: str, *, error: bool = False) -> None:
        """Drop the line."""

    def step(self, label: str, folder: Path | None = None) -> AbstractContextManager[None]:
        """Show nothing."""
        return nullcontext()
