"""One experiment as a row: what tables, scripts, pages and the diary say of it, whole, under way or damaged.

Of a finished experiment only verdict.json is read, and the last line of its events: a thousand take less than a second.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

from agent.archive.history import History
from agent.archive.lookup import candidates
from agent.archive.paths import Archive, experiment_lock
from agent.archive.run import Metric
from agent.archive.session import spent
from agent.archive.verdict import CLASSES, OldFormat, load_verdict
from agent.util.errors import Fault
from agent.util.files import read_events, read_json
from agent.util.locks import is_locked
from agent.util.text import clean, finite
from agent.verdict.chance import benjamini_hochberg

RUNNING, UNFINISHED, FAULT, OLD, DAMAGED = "running", "unfinished", "fault", "old_format", "damaged"
STATES = (*CLASSES, RUNNING, UNFINISHED, FAULT, OLD, DAMAGED)
NUMBERS = (
    "baseline",
    "best",
    "time_ratio",
    "parameter_ratio",
    "cost",
    "began",
    "ended",
    "epochs",
)  # or None
TAIL_BYTES = 4096  # of events.jsonl: its last line, where that is a verdict
READERS = 8  # threads that read ahead
LATEST = 1e11  # seconds since 1970: what is later is no date
# What reading raises where JSON was edited by hand.
MISSHAPEN = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Summary:
    """Complete as far as the archive is; None where it says nothing (yet). Numbers are finite, texts the archive's own: not clean()."""

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
    effect: dict[str, Any] | None = (
        None  # delta, ci95, p_value, ... on the hidden test, in shares of 1
    )
    q: float | None = (
        None  # share of false wins among the ideas down to this one, of those it is listed with
    )
    time_ratio: float | None = None
    parameter_ratio: float | None = None
    qualifiers: tuple[str, ...] = ()
    tokens: int = 0
    cost: float | None = None  # US dollars; None: a price is unknown
    stopped: str | None = None  # a StopReason
    began: float | None = None  # seconds since 1970
    ended: float | None = None
    seconds: float = 0.0  # that commands worked on it
    epochs: int | None = None  # of every training

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
    found = candidates(runs)
    _read_ahead(found)
    return corrected([summarise(archive) for archive in found if archive.begun])


def corrected(found: list[Summary]) -> list[Summary]:
    """With the share of false wins that each belongs to."""
    compared = [one for one in found if one.effect]
    values = dict(
        zip(map(id, compared), benjamini_hochberg([_p_value(one) for one in compared]), strict=True)
    )
    return [replace(one, q=values.get(id(one))) if one.effect else one for one in found]


def summarise(archive: Archive) -> Summary:
    """Never raises for what lies in the archive: an experiment that is damaged is shown as that."""
    decided = _ended_with_a_verdict(archive)
    try:
        return _checked(_of_verdict(archive) if decided else _of_events(archive))
    except OldFormat as old:
        return _of_old_format(archive, clean(old.detail))
    except Fault as fault:
        return Summary(archive, DAMAGED, clean(fault.detail))
    except OSError as error:  # it may not be read
        return Summary(
            archive, DAMAGED, clean(f"{error.filename or archive.folder}: {error.strerror}")
        )
    except MISSHAPEN as error:  # edited by hand, or of another version
        return Summary(
            archive, DAMAGED, misshapen(archive.verdict if decided else archive.folder, error)
        )


def misshapen(path: Path, error: Exception) -> str:
    """What to say of a file or a folder whose JSON has other names or types than ours."""
    said = f"no {error}" if isinstance(error, KeyError) else str(error)
    return clean(f"{path}: not as this version writes it: {said}").replace("\n", " ")[:400]


def _of_verdict(archive: Archive) -> Summary:
    stored = load_verdict(archive)
    if stored is None:  # it was lost, or the disk was full
        return _of_events(archive)
    if not archive.config.is_file() or not archive.config.stat().st_size:
        read_json(
            archive.config
        )  # says what is wrong with it: nobody can check this verdict any more
    told, idea, cost = stored["experiment"], stored["idea"], stored["cost"]
    control, candidate = stored["budget"]["params"]
    return Summary(
        archive,
        CLASSES[CLASSES.index(stored["verdict"])],
        "; ".join(stored["reasons"]),
        idea["title"],
        told["data"] or "",
        told["model"],
        idea["metric"],
        told["open"],
        told["baseline"],
        told["best"],
        told["runs"],
        told["failed"],
        stored["effect"],
        None,
        stored["budget"]["time_ratio"],
        candidate / control if control and candidate else None,
        tuple(stored["qualifiers"]),
        cost["tokens"],
        cost["llm_usd"],
        told["stopped"],
        told["began"],
        told["ended"],
        told["seconds"],
        told["epochs"],
    )


def _of_events(archive: Archive) -> Summary:
    """Of an experiment that is under way, or was left."""
    config, events = read_json(archive.config), read_events(archive.events)
    attempts = [event for event in events if event["event"] == "attempt"]
    values = [event["value"] for event in attempts if event["value"] is not None]
    baselines = [event["value"] for event in events if event["event"] == "baseline"]
    state, note = _state(archive, config, events)
    cost, tokens = spent(archive)
    return Summary(
        archive,
        state,
        note,
        title=config["idea"],
        data=(config["dataset"] or {}).get("name", ""),
        model=config["model"],
        metric=config["metric"]["name"],
        open=config["open"],
        baseline=baselines[-1] if baselines else None,
        best=Metric(**config["metric"]).best(values),
        runs=len(values),
        failed=len(attempts) - len(values),
        tokens=tokens,
        cost=cost,
        epochs=config["budget"]["epochs"],
        **History.of(events).as_dict(),
    )


def _of_old_format(archive: Archive, note: str) -> Summary:
    """What can still be read of it: its config and its events may be of another version too."""
    try:
        return replace(_checked(_of_events(archive)), state=OLD, note=note)
    except (Fault, *MISSHAPEN):
        return Summary(archive, OLD, note)


def _checked(one: Summary) -> Summary:
    """The same. Raises ValueError where a field is not of its type: JSON that was edited by hand may hold anything."""
    texts = (
        one.state,
        one.note,
        one.title,
        one.data,
        one.model,
        one.metric,
        one.stopped or "",
        *one.qualifiers,
    )
    numbers = {name: getattr(one, name) for name in NUMBERS}
    needed: dict[str, Any] = {
        name: getattr(one, name) for name in ("runs", "failed", "tokens", "seconds")
    }
    if one.effect is not None:
        low, high = one.effect["ci95"]
        needed |= {
            "delta": one.effect["delta"],
            "p_value": one.effect["p_value"],
            "ci95, low": low,
            "ci95, high": high,
        }
        numbers |= {
            name: one.effect.get(name) for name in ("p_better", "mde80", "n_cand", "n_base")
        }
    for name, value in (
        needed | {name: value for name, value in numbers.items() if value is not None}
    ).items():
        if finite(value) is None or (name in ("began", "ended") and not 0 <= value < LATEST):
            raise ValueError(f"{name} is {str(value)[:40]!r}")
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise ValueError(f"{str(wrong[0])[:40]!r} where a text is expected")
    if not isinstance(one.open, bool) or not 0 <= needed.get("p_value", 0) <= 1:
        raise ValueError("open or p_value has no possible value")
    return one


def _state(
    archive: Archive, config: dict[str, Any], events: list[dict[str, Any]]
) -> tuple[str, str]:
    if is_locked(
        experiment_lock(archive.folder.parent, config["key"])
    ) and archive.folder == _newest(archive, config["key"]):
        return RUNNING, ""
    last: dict[str, Any] = next(
        (
            event
            for event in reversed(events)
            if event["event"] in ("stopped", "fault", "edit", "attempt")
        ),
        {},
    )
    if last.get("event") == "fault":
        return FAULT, clean(f"{last['kind']}: {last['detail']}")
    return UNFINISHED, last.get("reason") or "the same command goes on"


def _newest(archive: Archive, key: str) -> Path:
    """The last experiment of this idea with this key: a lock held for the key is held for that one."""
    for folder in sorted(archive.folder.parent.iterdir(), reverse=True):
        try:
            if (folder / "config.json").is_file() and read_json(folder / "config.json").get(
                "key"
            ) == key:
                return folder
        except Fault:
            continue
    return archive.folder


def _ended_with_a_verdict(archive: Archive) -> bool:
    """Whether the last event says so, but for commands that were stopped before they did anything.

    A damaged line before it is found by those who read them all.
    """
    try:
        with open(archive.events, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]  # what follows the last newline is torn
    except OSError:
        return False
    return b'"event": "verdict"' in next(
        (line for line in reversed(lines) if b'"event": "sitting"' not in line), b""
    )


def _read_ahead(archives: list[Archive]) -> None:
    """Have the kernel bring to memory what will be read, by several threads at once: a disk answers them side by side."""

    def read(path: Path, last: int) -> None:
        try:
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return  # who reads it says so
        try:
            os.pread(file, last, max(0, os.fstat(file).st_size - last))
        except OSError:
            pass
        finally:
            os.close(file)

    def read_all(some: list[Archive]) -> None:
        for archive in some:
            read(archive.verdict, 2**16)
            read(archive.events, TAIL_BYTES)

    for first in range(READERS if len(archives) > READERS else 0):
        Thread(target=read_all, args=(archives[first::READERS],), daemon=True).start()


def _p_value(one: Summary) -> float:
    assert one.effect
    return float(one.effect["p_value"])
