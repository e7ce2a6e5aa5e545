"""The end of an experiment: the verdict is decided and written, and a model is asked to read it."""

from __future__ import annotations

from dataclasses import asdict

from agent.archive.paths import Archive
from agent.util.files import append_event, write_json
from agent.util.observer import Observer
from agent.verdict.commentary import Ask, read
from agent.verdict.decide import decide


def conclude(archive: Archive, ask: Ask, observer: Observer) -> None:
    """Write the verdict, then what a model makes of it.

    The event comes last: a kill before it repeats both, at no further cost.
    """
    verdict = decide(archive)
    write_json(archive.verdict, verdict)
    with observer.step("reading the result"):
        commentary = read(archive, verdict, ask)
        write_json(archive.reading, asdict(commentary))
    append_event(archive.events, "verdict", verdict=verdict["verdict"])
