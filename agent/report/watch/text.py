"""Put a moment under runs/ into lines of plain text: for a terminal, a pipe or a test.

All that others wrote is made harmless and short here.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from agent.archive.progress import share_done
from agent.archive.queue import QueueEntry, QueueState
from agent.report.summary import DAMAGED, FAULT, RUNNING, STATES, Summary
from agent.report.watch.experiment_text import live_lines, other_line
from agent.report.watch.phrases import clock, short_line, state_words
from agent.report.watch.snapshot import QueueSnapshot, Snapshot

SHOWN = 5  # entries of a list of experiments or ideas


def lines_of(view: Snapshot, runs: Path, now: float) -> list[str]:
    """Return what works, what is to come, what is finished and what is not.

    now: seconds since 1970.
    """
    lines = []
    for queue in view.queues:
        lines += queue_lines(queue, view)
    for running in view.live:
        lines += ["", *live_lines(running, now)]
    for name, folder in view.baselines:
        lines.append(baseline_line(name, share_done(folder.work / "progress.json")))
    if not view.working:
        lines += idle_lines(view, runs)
    lines.append("")
    lines += _finished(view.summaries)
    lines += _unfinished(view.summaries)
    lines += map(short_line, view.problems)
    while lines and not lines[-1]:
        lines.pop()
    return lines


# ---- commands ----------------------------------------------------------------------------------


def queue_lines(queue: QueueSnapshot, view: Snapshot) -> list[str]:
    """Return the lines of a command that works."""
    state = queue.state
    if state is None:
        return [short_line(f"queue {queue.name}: damaged: {queue.damage}")]
    now = queue.now
    lines = [f"queue since {clock(state.began)}: {_position(state)}{_to_come(state)}"]
    if now and not _is_shown(now, state.began, view):
        lines.append(f"  {short_line(now.title, 60)}: preparing the environment and the data")
    return lines + _stopped(state)


def idle_lines(view: Snapshot, runs: Path) -> list[str]:
    """Return, where nothing works, how the last command ended, and how to begin another."""
    lines = []
    ended = view.ended
    if ended and ended.state:
        state = ended.state
        how = "was interrupted at" if ended.now else "has ended:"
        since = f"the last queue, since {clock(state.began)}, {how}"
        lines.append(f"{since} {_position(state)}{_to_come(state)}")
        lines += _stopped(state)
    command = "python launch.py ideas/frequency_domain_cnn.md --dataset digits"
    if runs != Path("runs"):
        command += f" --runs-dir {short_line(runs)}"
    return [
        *lines,
        f"nothing is running in {short_line(runs)}: waiting for a queue, as in",
        f"    {command}",
    ]


def baseline_line(name: str, share: float = 0.0) -> str:
    """Return a line about a control seed in training, with the share of it that is done."""
    line = f"baseline {short_line(name)}: training"
    return f"{line}, {share:.0%}" if share else line


def _is_shown(entry: QueueEntry, began: float, view: Snapshot) -> bool:
    """Return whether an entry's experiment is shown: it is worked on, or has just ended."""
    for summary in view.summaries:
        if summary.archive.folder.parent.name != entry.slug:
            continue
        if summary.state == RUNNING or (summary.ended or 0.0) >= began:
            return True
    return False


def _position(state: QueueState) -> str:
    entries = len(state.entries)
    if state.position == entries:
        return f"{entries} of {entries} done"
    title = short_line(state.entries[state.position].title, 60)
    return f"{state.position + 1} of {entries}: {title}"


def _to_come(state: QueueState) -> str:
    coming = state.entries[state.position + 1 :]
    if not coming:
        return ""
    titles = ", ".join(short_line(entry.title, 40) for entry in coming[:SHOWN])
    if len(coming) <= SHOWN:
        return f"; then: {titles}"
    return f"; then: {titles} and {len(coming) - SHOWN} more"


def _stopped(state: QueueState) -> list[str]:
    return [
        f"  stopped: {short_line(entry.source, 60)}: {short_line(entry.stopped_by)}"
        for entry in state.entries
        if entry.code
    ]


# ---- experiments that nobody works on ----------------------------------------------------------


def _finished(summaries: tuple[Summary, ...]) -> list[str]:
    finished = [summary for summary in summaries if summary.finished]
    if not finished:
        return []
    counts = Counter(summary.state for summary in finished)
    kinds = [f"{counts[state]} {state_words(state)}" for state in STATES if counts[state]]
    title = f"finished: {len(finished)} ({', '.join(kinds)})"
    if len(finished) > SHOWN:
        title += "; the last:"
    finished.sort(key=lambda summary: (summary.ended or 0.0, summary.name))
    lines = [title]
    for summary in reversed(finished[-SHOWN:]):
        lines.append(f"  {clock(summary.ended)}  {other_line(summary)}")
    return lines


def _unfinished(summaries: tuple[Summary, ...]) -> list[str]:
    """Return those that a fault, an interruption or damage ended before their verdict."""
    left = [summary for summary in summaries if not summary.finished and summary.state != RUNNING]
    if not left:
        return []
    left.sort(key=_worst_first)
    lines = [f"not finished: {len(left)}"]
    lines += [f"  {other_line(summary)}" for summary in left[:SHOWN]]
    if len(left) > SHOWN:
        lines.append(f"  and {len(left) - SHOWN} more")
    return lines


def _worst_first(summary: Summary) -> tuple[bool, float]:
    return summary.state not in (DAMAGED, FAULT), -(summary.ended or 0.0)
