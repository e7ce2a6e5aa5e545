"""A moment under runs/ as lines of plain text: for a terminal, a pipe or a test. All that others wrote is made harmless and short here."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from agent.archive.progress import share_done
from agent.archive.queue import QueueEntry
from agent.archive.verdict import load_verdict
from agent.report.summary import DAMAGED, FAULT, MISSHAPEN, RUNNING, STATES, Summary
from agent.report.terminal.verdict_text import headline
from agent.report.watch.snapshot import QueueSnapshot, Running, Snapshot
from agent.report.watch.time_left import duration
from agent.util.errors import Fault
from agent.util.text import clean

SHOWN = 5  # of a list of experiments or ideas
LONGEST = 160  # characters of a text that a program, a model or a user wrote


def lines_of(view: Snapshot, runs: Path, now: float) -> list[str]:
    """What works, what is to come, what is finished, what is not. now: seconds since 1970."""
    lines = [line for queue in view.queues for line in queue_lines(queue, view)]
    for one in view.live:
        lines += ["", *live_lines(one, now)]
    lines += [
        baseline_line(name, share_done(folder.work / "progress.json"))
        for name, folder in view.baselines
    ]
    if not view.working:
        lines += idle_lines(view, runs)
    lines += [
        "",
        *_finished(view.summaries),
        *_unfinished(view.summaries),
        *(one_line(problem) for problem in view.problems),
    ]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def one_line(text: object, longest: int = LONGEST) -> str:
    """Without control codes and line ends, and bounded."""
    said = " ".join(clean(str(text)).split())
    return said if len(said) <= longest else said[: longest - 3] + "..."


# ---- commands ------------------------------------------------------------------------------------------------


def queue_lines(queue: QueueSnapshot, view: Snapshot) -> list[str]:
    """Of a command that works."""
    if queue.state is None:
        return [one_line(f"queue {queue.name}: damaged: {queue.damage}")]
    entries, now = queue.state.entries, queue.now
    lines = [f"queue since {clock(queue.state.began)}: {_position(queue)}{_to_come(queue)}"]
    if now and not _begun(now, queue.state.began, view):
        lines.append(f"  {one_line(now.title, 60)}: preparing the environment and the data")
    return lines + [
        f"  stopped: {one_line(entry.source, 60)}: {one_line(entry.stopped_by)}"
        for entry in entries
        if entry.code
    ]


def _begun(entry: QueueEntry, began: float, view: Snapshot) -> bool:
    """Whether its experiment is shown: it is worked on, or has just ended."""
    own = [one for one in view.summaries if one.archive.folder.parent.name == entry.slug]
    return any(one.state == RUNNING or (one.ended or 0.0) >= began for one in own)


def _position(queue: QueueSnapshot) -> str:
    state = queue.state
    assert state
    if not (now := queue.now):
        return f"{len(state.entries)} of {len(state.entries)} done"
    return f"{state.position + 1} of {len(state.entries)}: {one_line(now.title, 60)}"


def _to_come(queue: QueueSnapshot) -> str:
    assert queue.state
    coming = queue.state.entries[queue.state.position + 1 :]
    said = ", ".join(one_line(entry.title, 40) for entry in coming[:SHOWN])
    more = f" and {len(coming) - SHOWN} more" if len(coming) > SHOWN else ""
    return f"; then: {said}{more}" if coming else ""


def idle_lines(view: Snapshot, runs: Path) -> list[str]:
    """Where nothing works: how the last command ended, and how to begin another."""
    lines, ended = [], view.ended
    if ended and ended.state:
        stopped = [
            f"  stopped: {one_line(entry.source, 60)}: {one_line(entry.stopped_by)}"
            for entry in ended.state.entries
            if entry.code
        ]
        how = "was interrupted at" if ended.now else "has ended:"
        lines = [
            f"the last queue, since {clock(ended.state.began)}, {how} {_position(ended)}{_to_come(ended)}",
            *stopped,
        ]
    elsewhere = "" if runs == Path("runs") else f" --runs-dir {one_line(runs)}"
    return [
        *lines,
        f"nothing is running in {one_line(runs)}: waiting for a queue, as in",
        f"    python launch.py ideas/frequency_domain_cnn.md --dataset digits{elsewhere}",
    ]


def baseline_line(name: str, share: float = 0.0) -> str:
    return f"baseline {one_line(name)}: training" + (f", {share:.0%}" if share else "")


# ---- experiments ---------------------------------------------------------------------------------------------


def live_lines(one: Running, now: float) -> list[str]:
    """Name, step, numbers, price and time left."""
    since = (
        f", for {duration(max(0.0, now - one.step.begun))}" if one.step.begun is not None else ""
    )
    share = f" ({one.progress.share:.0%})" if one.progress.share else ""
    numbers = "; ".join(filter(None, (own_words(one), graded_words(one))))
    lines = [
        f"{one_line(one.summary.name, 80)}  {one_line(one.summary.title, 60)}",
        f"  {step_words(one)}{share}{since}",
    ]
    return [
        *lines,
        *([f"  {numbers}"] if numbers else []),
        "  " + "; ".join(filter(None, (cost_words(one.summary), left_words(one)))),
    ]


def step_words(one: Running) -> str:
    """`run 2 of 3: training, epoch 7 of 20`."""
    part = f"{one.step.part}: " if one.step.part else ""
    epochs = f" of {one.epochs}" if not one.summary.open else ""
    epoch = f", epoch {one.progress.epoch}{epochs}" if one.progress.epoch is not None else ""
    return f"{part}{one_line(one.step.what)}{epoch}"


def own_words(one: Running) -> str:
    said = ", ".join(f"{one_line(name, 40)} {value:.4g}" for name, value in one.progress.metrics)
    after = f" after epoch {one.progress.after}" if one.progress.after else ""
    return f"{said}{after} (the program's own word)" if said else ""


def graded_words(one: Running) -> str:
    """What the runs before it came to."""
    summary, said = one.summary, list[str]()
    if one.graded:
        said.append(f"{one_line(one.graded[0], 40)} {one.graded[1]:.4f}")
    if summary.baseline is not None:
        said.append(f"baseline {summary.baseline:.4f}")
    by = "self-reported" if summary.open else "graded"
    return f"{by} {one_line(summary.metric, 40)}: {', '.join(said)}" if said else ""


def cost_words(summary: Summary) -> str:
    return "cost unknown" if summary.cost is None else f"cost ${summary.cost:.2f}"


def left_words(one: Running) -> str:
    """An estimate, and what it rests on."""
    if not (left := one.left):
        return ""
    at_most, rests_on = (
        " at most" if left.at_most else "",
        f" ({left.rests_on})" if left.rests_on else "",
    )
    return f"about {duration(left.seconds)} left{at_most}{rests_on}"


def live_line(one: Running) -> str:
    """All of it in one line."""
    said = (
        step_words(one),
        own_words(one),
        graded_words(one),
        cost_words(one.summary),
        left_words(one),
    )
    return f"{one_line(one.summary.name, 80)}: {'; '.join(filter(None, said))}"


def other_line(summary: Summary) -> str:
    """Of an experiment that nobody works on."""
    if summary.finished:
        return f"{one_line(summary.name, 80)}: {_headline(summary)}"
    note = f": {one_line(summary.note)}" if summary.note else ""
    return f"{one_line(summary.name, 80)}: {state_words(summary.state)}{note}"


def state_words(state: str) -> str:
    return state.replace("_", " ")


def _headline(summary: Summary) -> str:
    try:
        if verdict := load_verdict(summary.archive):
            return one_line(headline(verdict))
    except (Fault, *MISSHAPEN):
        pass  # it has changed since the summary was made: the next look says what is wrong
    return state_words(summary.state)


def _finished(summaries: tuple[Summary, ...]) -> list[str]:
    finished = [one for one in summaries if one.finished]
    if not finished:
        return []
    last = sorted(finished, key=lambda one: (one.ended or 0.0, one.name))[-SHOWN:]
    count = Counter(one.state for one in finished)
    kinds = ", ".join(f"{count[state]} {state_words(state)}" for state in STATES if count[state])
    return [
        f"finished: {len(finished)} ({kinds})" + ("; the last:" if len(finished) > SHOWN else ""),
        *(f"  {clock(one.ended)}  {other_line(one)}" for one in reversed(last)),
    ]


def _unfinished(summaries: tuple[Summary, ...]) -> list[str]:
    """Those that a fault, an interruption or damage ended before their verdict."""
    found = sorted(
        (one for one in summaries if not one.finished and one.state != RUNNING),
        key=lambda one: (one.state not in (DAMAGED, FAULT), -(one.ended or 0.0)),
    )
    more = [f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return [
        *([f"not finished: {len(found)}"] if found else []),
        *(f"  {other_line(one)}" for one in found[:SHOWN]),
        *more,
    ]


def clock(seconds: float | None) -> str:
    """Local time; with the date where it was not today."""
    try:
        then, today = time.localtime(seconds or 0.0), time.localtime()
    except (ValueError, OverflowError, OSError):
        return "?"
    return time.strftime("%H:%M" if then[:3] == today[:3] else "%Y-%m-%d %H:%M", then)
