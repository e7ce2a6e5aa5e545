"""Put an experiment into words: step, numbers, price and time left, or how it ended."""

from __future__ import annotations

from agent.archive.verdict import load_verdict
from agent.report.summary import MISSHAPEN, Summary
from agent.report.terminal.verdict_text import headline
from agent.report.watch.phrases import short_line, state_words
from agent.report.watch.snapshot import Running
from agent.report.watch.time_left import duration
from agent.util.errors import Fault

NAME = 80  # characters of the name of an experiment


def live_lines(running: Running, now: float) -> list[str]:
    """Return the lines of an experiment that is worked on. now: seconds since 1970."""
    summary = running.summary
    step = f"  {step_words(running)}"
    if running.progress.share:
        step += f" ({running.progress.share:.0%})"
    if running.step.begun is not None:
        step += f", for {duration(max(0.0, now - running.step.begun))}"
    numbers = _joined(own_words(running), graded_words(running))
    lines = [f"{short_line(summary.name, NAME)}  {short_line(summary.title, 60)}", step]
    if numbers:
        lines.append(f"  {numbers}")
    lines.append(f"  {_joined(cost_words(summary), left_words(running))}")
    return lines


def live_line(running: Running) -> str:
    """Return all about an experiment that is worked on in one line."""
    words = _joined(
        step_words(running),
        own_words(running),
        graded_words(running),
        cost_words(running.summary),
        left_words(running),
    )
    return f"{short_line(running.summary.name, NAME)}: {words}"


def step_words(running: Running) -> str:
    """Return the step, as in `run 2 of 3: training, epoch 7 of 20`."""
    words = short_line(running.step.what)
    if running.step.part:
        words = f"{running.step.part}: {words}"
    if running.progress.epoch is None:
        return words
    words = f"{words}, epoch {running.progress.epoch}"
    return words if running.summary.open else f"{words} of {running.epochs}"


def own_words(running: Running) -> str:
    """Return the numbers of the training under way, which are its program's own word."""
    progress = running.progress
    metrics = [f"{short_line(name, 40)} {value:.4g}" for name, value in progress.metrics]
    if not metrics:
        return ""
    words = ", ".join(metrics)
    if progress.after:
        words += f" after epoch {progress.after}"
    return f"{words} (the program's own word)"


def graded_words(running: Running) -> str:
    """Return the values of the last run and of the baseline."""
    summary = running.summary
    values = []
    if running.graded:
        name, value = running.graded
        values.append(f"{short_line(name, 40)} {value:.4f}")
    if summary.baseline is not None:
        values.append(f"baseline {summary.baseline:.4f}")
    if not values:
        return ""
    origin = "self-reported" if summary.open else "graded"
    return f"{origin} {short_line(summary.metric, 40)}: {', '.join(values)}"


def cost_words(summary: Summary) -> str:
    """Return what the model's work has cost."""
    return "cost unknown" if summary.cost is None else f"cost ${summary.cost:.2f}"


def left_words(running: Running) -> str:
    """Return an estimate of the time left, and what it rests on; '' without one."""
    left = running.left
    if not left:
        return ""
    words = f"about {duration(left.seconds)} left"
    if left.at_most:
        words += " at most"
    if left.rests_on:
        words += f" ({left.rests_on})"
    return words


def other_line(summary: Summary) -> str:
    """Return a line about an experiment that nobody works on."""
    name = short_line(summary.name, NAME)
    if summary.finished:
        return f"{name}: {_headline(summary)}"
    line = f"{name}: {state_words(summary.state)}"
    return f"{line}: {short_line(summary.note)}" if summary.note else line


def _headline(summary: Summary) -> str:
    try:
        verdict = load_verdict(summary.archive)
        if verdict:
            return short_line(headline(verdict))
    except (Fault, *MISSHAPEN):
        pass  # it has changed since the summary was made: the next look says what is wrong
    return state_words(summary.state)


def _joined(*words: str) -> str:
    return "; ".join(filter(None, words))
