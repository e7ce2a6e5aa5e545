"""The verdict as people read it: the block of one experiment, and the table of many, corrected for their number."""

from __future__ import annotations

from statistics import mean, stdev
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from agent.archive import Archive
from agent.baseline import Baseline
from agent.errors import Fault
from agent.files import read_json
from agent.prompts import render
from agent.run import Run
from agent.scoring import load_score
from agent.statistics import benjamini_hochberg, detectable, expected_false_wins
from agent.text import clean
from agent.verdict import PARAMETER_RATIO, SCHEMA, TIME_RATIO


class OldFormat(Fault):
    """A verdict of another version: sound, but to be computed again."""


def load_verdict(archive: Archive) -> dict[str, Any] | None:
    """What was decided; None where nothing was yet. Raises Fault for a damaged one, OldFormat for one of another version."""
    if not archive.verdict.is_file():
        return None
    remedy = f"`python launch.py verdict {archive.folder}` computes it again"
    try:
        stored = read_json(archive.verdict)
    except Fault as fault:
        raise Fault("archive", f"{fault.detail}; {remedy}") from fault
    if stored.get("schema") != SCHEMA:
        raise OldFormat("archive", f"{archive.verdict}: not a verdict of this version; {remedy}")
    return stored


def verdict_block(verdict: dict[str, Any]) -> str:
    """A dozen lines; the first is the class with its effect and its price, so that a win cannot be quoted without it."""
    return clean(render("verdict.txt.j2", v=verdict, headline=headline(verdict), time_limit=TIME_RATIO, parameter_limit=PARAMETER_RATIO))


def headline(verdict: dict[str, Any]) -> str:
    """`SUPPORTED +1.90 pp [+0.60, +3.20] at 1.4x time, 1.1x parameters`, and what else has to be said with it."""
    words = [verdict["verdict"].upper().replace("_", " ")]
    if effect := verdict["effect"]:
        words.append(f"{100 * effect['delta']:+.2f} pp [{100 * effect['ci95'][0]:+.2f}, {100 * effect['ci95'][1]:+.2f}]")
        words.append(_price(verdict))
    said = [qualifier for qualifier in verdict["qualifiers"] if not qualifier.startswith("at ")]
    return " ".join(filter(None, words)) + (f"; {', '.join(said)}" if said else "")


def detectable_line(baseline: Baseline, runs: list[Run], confirm_seeds: int) -> str:
    """What this set-up can tell, from the control's seeds alone, before an idea is run."""
    accuracies = [load_score(baseline.run(seed)).accuracy("test") for seed in baseline.seeds]
    values = [run.value for run in runs if run.value is not None]
    seen = f"baseline: {len(runs)} seeds, validation {mean(values):.4f}"
    if len(accuracies) < 2 or confirm_seeds < 2:
        return f"{seen}; with a single seed nothing can be confirmed"
    smallest = detectable(stdev(accuracies), confirm_seeds, len(accuracies))
    return (f"{seen} +- {stdev(values):.4f}; {confirm_seeds} fresh seeds against these find a true effect of "
            f"{100 * smallest:.2f} pp or more in 4 of 5 cases")  # fmt: skip


def verdict_table(archives: list[Archive]) -> Table | None:
    """One row an experiment that has a verdict, by the interval's lower end; None where there is none."""
    found = [(archive, verdict) for archive in archives if (verdict := _load(archive))]
    if not found:
        return None
    compared = [verdict for _, verdict in found if verdict["effect"]]
    q_values = dict(zip(map(id, compared), benjamini_hochberg([one["effect"]["p_value"] for one in compared]), strict=True))
    chance = f"ideas compared: {len(compared)}; {expected_false_wins(len(compared)):.2f} wins are to be expected by chance alone"
    caption = f"{chance}; q: share of false wins among the ideas down to this row"
    table = Table("experiment", "verdict", "effect, pp", "95 % interval", "q", "time", "params", "with", box=SIMPLE_HEAD, caption=caption)
    found.sort(key=lambda pair: pair[1]["effect"]["ci95"][0] if pair[1]["effect"] else float("-inf"), reverse=True)
    for archive, verdict in found:
        q_value = f"{q_values[id(verdict)]:.3f}" if id(verdict) in q_values else ""
        cells = [f"{archive.folder.parent.name}/{archive.folder.name}", verdict["verdict"].replace("_", " "), *_effect_cells(verdict),
                 q_value, *_ratios(verdict), ", ".join(verdict["qualifiers"])]  # fmt: skip
        table.add_row(*(escape(clean(cell)) for cell in cells))
    return table


def _load(archive: Archive) -> dict[str, Any] | None:
    try:
        return load_verdict(archive)
    except Fault:
        return None  # the overview below it names the damage


def _effect_cells(verdict: dict[str, Any]) -> list[str]:
    if not (effect := verdict["effect"]):
        return ["", ""]
    low, high = effect["ci95"]
    return [f"{100 * effect['delta']:+.2f}", f"[{100 * low:+.2f}, {100 * high:+.2f}]"]


def _ratios(verdict: dict[str, Any]) -> list[str]:
    time, (control, idea) = verdict["budget"]["time_ratio"], verdict["budget"]["params"]
    return ["" if not time else f"{time:.1f}x", "" if not control or not idea else f"{idea / control:.1f}x"]


def _price(verdict: dict[str, Any]) -> str:
    time, parameters = _ratios(verdict)
    return f"at {time} time, {parameters} parameters" if time and parameters else ""
