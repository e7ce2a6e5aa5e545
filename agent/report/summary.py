"""One experiment as a row: what tables, scripts, pages and the diary say of it.

An experiment that is under way or damaged has its row too. Of a finished one only verdict.json is
read, and the last line of its events: a thousand take less than a second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.archive.history import History
from agent.archive.lookup import candidates
from agent.archive.paths import Archive, experiment_lock
from agent.archive.run import Metric
from agent.archive.session import spent
from agent.archive.verdict import CLASSES, OldFormat, load_verdict
from agent.report.quick_reading import ends_with_verdict, read_ahead
from agent.util.errors import Fault
from agent.util.files import read_events, read_json
from agent.util.locks import is_locked
from agent.util.text import clean, finite
from agent.verdict.chance import benjamini_hochberg

RUNNING = "running"
UNFINISHED = "unfinished"
FAULT = "fault"
OLD = "old_format"
DAMAGED = "damaged"
STATES = (*CLASSES, RUNNING, UNFINISHED, FAULT, OLD, DAMAGED)
GOES_ON = "the same command goes on"
# Fields of a summary that hold a number or None, and those that always hold a number.
NUMBERS = ("baseline", "best", "time_ratio", "parameter_ratio", "cost", "began", "ended", "epochs")
COUNTS = ("runs", "failed", "tokens", "seconds")
EFFECT_NUMBERS = ("p_better", "mde80", "n_cand", "n_base")  # of an effect, each a number or None
LATEST = 1e11  # seconds since 1970: what is later is no date
MOST_NOTE = 400  # characters of what is said of a damaged file
# What reading raises where JSON was edited by hand.
MISSHAPEN = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The row of one experiment, complete as far as its archive is.

    A field is None where the archive says nothing (yet). Numbers are finite. Texts are the
    archive's own: they did not go through clean().
    """

    archive: Archive
    state: str  # one of STATES: the verdict, or why there is none
    note: str = ""  # the verdict's reasons; what is damaged; which fault stopped it
    title: str = ""
    data: str = ""
    model: str = ""
    metric: str = "val_accuracy"
    open: bool = False  # its numbers are the program's own
    baseline: float | None = None  # the metric of the baseline's one run, on validation data
    best: float | None = None  # the best metric of the coder's runs, likewise
    runs: int = 0
    failed: int = 0
    effect: dict[str, Any] | None = None  # delta, ci95, p_value, ...: on the hidden test, of 1
    q: float | None = None  # share of false wins among the listed ideas down to this one
    time_ratio: float | None = None
    parameter_ratio: float | None = None
    qualifiers: tuple[str, ...] = ()
    tokens: int = 0
    cost: float | None = None  # US dollars; None: a price is unknown
    stopped: str | None = None  # a StopReason
    began: float | None = None  # seconds since 1970
    ended: float | None = None  # seconds since 1970
    seconds: float = 0.0  # for which commands worked on it
    epochs: int | None = None  # of every training

    @property
    def name(self) -> str:
        """Return `<idea>/<stamp>`, as commands take it."""
        return f"{self.archive.folder.parent.name}/{self.archive.folder.name}"

    @property
    def low(self) -> float:
        """Return the lower end of the interval, by which experiments are ranked.

        An experiment without one comes below all others.
        """
        if not self.effect:
            return float("-inf")
        low: float = self.effect["ci95"][0]
        return low

    @property
    def finished(self) -> bool:
        """Return True where there is a verdict."""
        return self.state in CLASSES


def summaries(runs: Path) -> list[Summary]:
    """Return the summary of every experiment under runs/, corrected for how many there are.

    Those of one idea stand together, the oldest first.
    """
    archives = candidates(runs)
    read_ahead(archives)
    return corrected([summarise(archive) for archive in archives if archive.begun])


def corrected(listed: list[Summary]) -> list[Summary]:
    """Return these summaries, each that has an effect with its q among them."""
    p_values = [float(summary.effect["p_value"]) for summary in listed if summary.effect]
    q_values = iter(benjamini_hochberg(p_values))
    result = []
    for summary in listed:
        if summary.effect:
            summary = replace(summary, q=next(q_values))
        result.append(summary)
    return result


def summarise(archive: Archive) -> Summary:
    """Return the summary of one experiment; a damaged one has a summary that says so.

    Nothing is raised for what lies in the archive.
    """
    decided = ends_with_verdict(archive)
    try:
        summary = _from_verdict(archive) if decided else _from_events(archive)
        _check(summary)
        return summary
    except OldFormat as old:
        return _from_old_format(archive, clean(old.detail))
    except Fault as fault:
        note = clean(fault.detail)
    except OSError as error:  # it may not be read
        note = clean(f"{error.filename or archive.folder}: {error.strerror}")
    except MISSHAPEN as error:  # edited by hand, or of another version
        note = misshapen(archive.verdict if decided else archive.folder, error)
    return Summary(archive=archive, state=DAMAGED, note=note)


def misshapen(path: Path, error: Exception) -> str:
    """Return what to say of a file or a folder whose JSON has other names or types than ours."""
    reason = f"no {error}" if isinstance(error, KeyError) else str(error)
    text = clean(f"{path}: not as this version writes it: {reason}")
    return text.replace("\n", " ")[:MOST_NOTE]


def _from_verdict(archive: Archive) -> Summary:
    stored = load_verdict(archive)
    if stored is None:  # it was lost, or the disk was full
        return _from_events(archive)
    if not archive.config.is_file() or not archive.config.stat().st_size:
        read_json(archive.config)  # raises: nobody can check this verdict any more
    experiment = stored["experiment"]
    idea = stored["idea"]
    cost = stored["cost"]
    control_parameters, idea_parameters = stored["budget"]["params"]
    parameter_ratio = None
    if control_parameters and idea_parameters:
        parameter_ratio = idea_parameters / control_parameters
    return Summary(
        archive=archive,
        state=CLASSES[CLASSES.index(stored["verdict"])],
        note="; ".join(stored["reasons"]),
        title=idea["title"],
        data=experiment["data"] or "",
        model=experiment["model"],
        metric=idea["metric"],
        open=experiment["open"],
        baseline=experiment["baseline"],
        best=experiment["best"],
        runs=experiment["runs"],
        failed=experiment["failed"],
        effect=stored["effect"],
        time_ratio=stored["budget"]["time_ratio"],
        parameter_ratio=parameter_ratio,
        qualifiers=tuple(stored["qualifiers"]),
        tokens=cost["tokens"],
        cost=cost["llm_usd"],
        stopped=experiment["stopped"],
        began=experiment["began"],
        ended=experiment["ended"],
        seconds=experiment["seconds"],
        epochs=experiment["epochs"],
    )


def _from_events(archive: Archive) -> Summary:
    """Return the summary of an experiment that is under way, or was left."""
    config = read_json(archive.config)
    events = read_events(archive.events)
    attempts = [event for event in events if event["event"] == "attempt"]
    values = [event["value"] for event in attempts if event["value"] is not None]
    baseline = None
    for event in events:
        if event["event"] == "baseline":
            baseline = event["value"]
    state, note = _state(archive, config, events)
    cost, tokens = spent(archive)
    return Summary(
        archive=archive,
        state=state,
        note=note,
        title=config["idea"],
        data=(config["dataset"] or {}).get("name", ""),
        model=config["model"],
        metric=config["metric"]["name"],
        open=config["open"],
        baseline=baseline,
        best=Metric(**config["metric"]).best(values),
        runs=len(values),
        failed=len(attempts) - len(values),
        tokens=tokens,
        cost=cost,
        epochs=config["budget"]["epochs"],
        **History.of(events).as_dict(),
    )


def _from_old_format(archive: Archive, note: str) -> Summary:
    """Return what can still be read: the config and the events may be of another version too."""
    try:
        summary = _from_events(archive)
        _check(summary)
        return replace(summary, state=OLD, note=note)
    except (Fault, *MISSHAPEN):
        return Summary(archive=archive, state=OLD, note=note)


def _check(summary: Summary) -> None:
    """Raise ValueError where a field is not of its type: JSON edited by hand may hold anything."""
    numbers = _numbers(summary)
    for name, value in numbers.items():
        is_date = name in ("began", "ended")
        if finite(value) is None or (is_date and not 0 <= value < LATEST):
            raise ValueError(f"{name} is {str(value)[:40]!r}")
    texts = (
        summary.state,
        summary.note,
        summary.title,
        summary.data,
        summary.model,
        summary.metric,
        summary.stopped or "",
        *summary.qualifiers,
    )
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"{str(text)[:40]!r} where a text is expected")
    p_value = numbers.get("p_value", 0)
    if not isinstance(summary.open, bool) or not 0 <= p_value <= 1:
        raise ValueError("open or p_value has no possible value")


def _numbers(summary: Summary) -> dict[str, Any]:
    """Return every field that must be a number, those of the effect too, by its name."""
    numbers = {name: getattr(summary, name) for name in COUNTS}
    optional = {name: getattr(summary, name) for name in NUMBERS}
    if summary.effect is not None:
        low, high = summary.effect["ci95"]
        numbers["delta"] = summary.effect["delta"]
        numbers["p_value"] = summary.effect["p_value"]
        numbers["ci95, low"] = low
        numbers["ci95, high"] = high
        for name in EFFECT_NUMBERS:
            optional[name] = summary.effect.get(name)
    for name, value in optional.items():
        if value is not None:
            numbers[name] = value
    return numbers


def _state(
    archive: Archive, config: dict[str, Any], events: list[dict[str, Any]]
) -> tuple[str, str]:
    """Return the state of an experiment without a verdict, and a note that says more."""
    lock = experiment_lock(archive.folder.parent, config["key"])
    if is_locked(lock) and archive.folder == _newest(archive, config["key"]):
        return RUNNING, ""
    for event in reversed(events):
        if event["event"] == "fault":
            return FAULT, clean(f"{event['kind']}: {event['detail']}")
        if event["event"] in ("stopped", "edit", "attempt"):
            return UNFINISHED, event.get("reason") or GOES_ON
    return UNFINISHED, GOES_ON


def _newest(archive: Archive, key: str) -> Path:
    """Return the last experiment of this idea with this key: a lock on the key is that one's."""
    for folder in sorted(archive.folder.parent.iterdir(), reverse=True):
        config = folder / "config.json"
        try:
            if config.is_file() and read_json(config).get("key") == key:
                return folder
        except Fault:
            continue
    return archive.folder
