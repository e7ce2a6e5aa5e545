"""One experiment as a row: what tables, scripts, pages and the diary say of it, whole, under way or damaged.

Of a finished experiment only verdict.json is read, and the last line of its events: a thousand take less than a second.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.archive import Archive, experiment_lock, experiments
from agent.errors import Fault
from agent.evidence import History
from agent.files import read_events, read_json
from agent.locks import is_locked
from agent.report.verdicts import OldFormat, load_verdict
from agent.run import Metric
from agent.spending import spent
from agent.statistics import benjamini_hochberg
from agent.text import clean, finite
from agent.verdict import CLASSES

RUNNING, UNFINISHED, FAULT, OLD, DAMAGED = "running", "unfinished", "fault", "old_format", "damaged"
STATES = (*CLASSES, RUNNING, UNFINISHED, FAULT, OLD, DAMAGED)
TAIL_BYTES = 4096  # of events.jsonl: its last line, where that is a verdict


@dataclass(frozen=True)
class Summary:
    """Complete as far as the archive is; None where it says nothing (yet)."""

    archive: Archive
    state: str  # one of STATES: the verdict, or why there is none
    note: str = ""  # the verdict's reasons; what is damaged; which fault stopped it
    title: str = ""
    data: str = ""
    model: str = ""
    metric: str = "val_accuracy"
    open: bool = False  # its numbers are the program's own
    baseline: float | None = None  # of the metric, on validation data, of one run
    best: float | None = None  # likewise, of the coder's runs
    runs: int = 0
    failed: int = 0
    effect: dict[str, Any] | None = None  # delta, ci95, p_value, ... on the hidden test, in shares of 1
    q: float | None = None  # share of false wins among the ideas down to this one, of those it is listed with
    time_ratio: float | None = None
    parameter_ratio: float | None = None
    qualifiers: tuple[str, ...] = ()
    tokens: int = 0
    cost: float | None = None  # US dollars; None: a price is unknown
    stopped: str | None = None  # a StopReason
    began: float | None = None  # seconds since 1970
    ended: float | None = None
    seconds: float = 0.0  # that commands worked on it

    @property
    def name(self) -> str:
        return f"{self.archive.folder.parent.name}/{self.archive.folder.name}"

    @property
    def low(self) -> float:
        """The lower end of the interval, by which experiments are ranked; without one, below all others."""
        return self.effect["ci95"][0] if self.effect else float("-inf")

    @property
    def finished(self) -> bool:
        return self.state in CLASSES


def summaries(runs: Path) -> list[Summary]:
    """Of every experiment under runs/, oldest first within an idea, corrected for how many there are."""
    return corrected([summarise(archive) for archive in experiments(runs)])


def corrected(found: list[Summary]) -> list[Summary]:
    """With the share of false wins that each belongs to."""
    compared = [one for one in found if one.effect]
    values = dict(zip(map(id, compared), benjamini_hochberg([_p_value(one) for one in compared]), strict=True))
    return [replace(one, q=values.get(id(one))) for one in found]


def summarise(archive: Archive) -> Summary:
    """Never raises for what lies in the archive: an experiment that is damaged is shown as that."""
    try:
        try:
            return _of_verdict(archive) if _ended_with_a_verdict(archive) else _of_events(archive)
        except OldFormat as old:
            return replace(_of_events(archive), state=OLD, note=clean(old.detail))
    except Fault as fault:
        return Summary(archive, DAMAGED, clean(fault.detail))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:  # edited by hand, or of another version
        return Summary(archive, DAMAGED, clean(f"{archive.folder}: not an archive of this version: {type(error).__name__}: {error}"))


def _of_verdict(archive: Archive) -> Summary:
    stored = load_verdict(archive)
    if stored is None:  # it was lost, or the disk was full
        return _of_events(archive)
    told, idea, cost = stored["experiment"], stored["idea"], stored["cost"]
    control, candidate = stored["budget"]["params"]
    return Summary(
        archive, CLASSES[CLASSES.index(stored["verdict"])], "; ".join(stored["reasons"]), idea["title"], told["data"] or "", told["model"],
        idea["metric"], told["open"], told["baseline"], told["best"], told["runs"], told["failed"], _sound(stored["effect"]), None,
        stored["budget"]["time_ratio"], candidate / control if control and candidate else None, tuple(stored["qualifiers"]),
        cost["tokens"], cost["llm_usd"], told["stopped"], told["began"], told["ended"], told["seconds"],
    )  # fmt: skip


def _of_events(archive: Archive) -> Summary:
    """Of an experiment that is under way, or was left."""
    config, events = read_json(archive.config), read_events(archive.events)
    attempts = [event for event in events if event["event"] == "attempt"]
    values = [event["value"] for event in attempts if event["value"] is not None]
    baselines = [event["value"] for event in events if event["event"] == "baseline"]
    state, note = _state(archive, config, events)
    cost, tokens = spent(archive)
    return Summary(
        archive, state, note, title=config["idea"], data=(config["dataset"] or {}).get("name", ""), model=config["model"],
        metric=config["metric"]["name"], open=config["open"], baseline=baselines[-1] if baselines else None,
        best=Metric(**config["metric"]).best(values), runs=len(values), failed=len(attempts) - len(values), tokens=tokens, cost=cost,
        **History.of(events).as_dict(),
    )  # fmt: skip


def _state(archive: Archive, config: dict[str, Any], events: list[dict[str, Any]]) -> tuple[str, str]:
    if is_locked(experiment_lock(archive.folder.parent, config["key"])) and archive.folder == _newest(archive, config["key"]):
        return RUNNING, ""
    last: dict[str, Any] = next((event for event in reversed(events) if event["event"] in ("stopped", "fault", "edit", "attempt")), {})
    if last.get("event") == "fault":
        return FAULT, clean(f"{last['kind']}: {last['detail']}")
    return UNFINISHED, last.get("reason") or "the same command goes on"


def _newest(archive: Archive, key: str) -> Path:
    """The last experiment of this idea with this key: a lock held for the key is held for that one."""
    for folder in sorted(archive.folder.parent.iterdir(), reverse=True):
        try:
            if (folder / "config.json").is_file() and read_json(folder / "config.json").get("key") == key:
                return folder
        except Fault:
            continue
    return archive.folder


def _ended_with_a_verdict(archive: Archive) -> bool:
    """Whether the last event says so. A damaged line before it is found by those who read them all."""
    try:
        with open(archive.events, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return b'"event": "verdict"' in file.read().rstrip(b"\n").rpartition(b"\n")[2]
    except OSError:
        return False


def _sound(effect: dict[str, Any] | None) -> dict[str, Any] | None:
    """What is ranked and drawn together with those of others. Raises ValueError where it cannot be."""
    values = [effect["delta"], *effect["ci95"], effect["p_value"]] if effect else []
    if any(finite(value) is None for value in values) or (effect and not 0 <= effect["p_value"] <= 1):
        raise ValueError("the effect in verdict.json is not made of finite numbers")
    return effect


def _p_value(one: Summary) -> float:
    assert one.effect
    return float(one.effect["p_value"])
