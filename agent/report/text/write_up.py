"""The skeleton of a write-up, report.md, made from the archive once.

What a user makes of it is never overwritten.
"""

from __future__ import annotations

from typing import Any

from agent.archive.commentary import load_commentary
from agent.archive.paths import Archive, RunFolder
from agent.archive.run import load_run
from agent.report.summary import Summary
from agent.report.terminal.tables import data_line, number
from agent.report.terminal.verdict_text import verdict_block
from agent.report.text.attempt_lines import AttemptLine, attempt_lines
from agent.report.text.markdown import code, render_markdown
from agent.util.diff import diff
from agent.util.files import read_json, read_untrusted_text, write_text

LINES = 600  # of the idea and of the diff
CHARACTERS = 60_000  # likewise
VERSIONS = ("torch", "pytorch-lightning", "torchvision", "numpy")
# How a qualifier begins, and what it means to a reader.
_MEANING = {
    "at ": "The idea has a price",
    "stopped for futility": "Fewer fresh seeds than planned were trained",
    "judge absent": (
        "No judge read the code: that the idea is in it rests on what the gate saw of a few "
        "training steps"
    ),
    "judge doubts it": "A judge that read the code doubts that it is the idea as agreed on",
    "judge = coder's model": "The judge is the model that wrote the code",
    "bundled with other changes": (
        "More was changed than the idea, by a judge's reading, so that the difference may be due "
        "to the rest"
    ),
    "own off-switch": (
        "With the idea off the code is not the scaffold: the control is the code's own"
    ),
    "with another": "The two arms differ in their training recipe, as the idea says",
    "self-reported": (
        "The numbers are the word of the program that the coder wrote, of one run each; nothing "
        "was confirmed"
    ),
    "unsandboxed": "A run was not confined, and could have read what it was graded on",
    "network open": "Runs could use the network",
    "harmful": "The interval lies below 0: the idea does harm here",
}


def write_up(summary: Summary, verdict: dict[str, Any]) -> None:
    """Write the skeleton, unless there is one.

    Raises Fault for a damaged archive and a full disk.
    """
    if not summary.archive.write_up.exists():
        write_text(summary.archive.write_up, compose(summary, verdict))


def compose(summary: Summary, verdict: dict[str, Any]) -> str:
    """Return the skeleton of a write-up as Markdown."""
    archive = summary.archive
    config = read_json(archive.config)
    chosen = verdict["selection"]["chosen"]
    idea = read_untrusted_text(archive.idea)
    data = "its own"
    if config["dataset"]:
        data = data_line(config["dataset"]).removeprefix("data: ")
    changes = _diff(archive, archive.run(chosen)) if chosen else ""
    return render_markdown(
        "report.md.j2",
        one=summary,
        v=verdict,
        config=config,
        idea=code(idea, LINES, CHARACTERS),
        number=number,
        path=summary.name,
        data=data,
        tried=[*_baseline_line(archive), *attempt_lines(archive)],
        versions=_versions(config["provenance"]["environment"]["packages"]),
        block=code(verdict_block(verdict), LINES, CHARACTERS),
        reading=load_commentary(archive),
        diff=changes,
        chosen=f"run_{chosen}",
        limitations=limitations(summary, verdict),
    )


def limitations(summary: Summary, verdict: dict[str, Any]) -> list[str]:
    """Return what the verdict has to be read with, each as a sentence."""
    sentences = [f"{_meaning(qualifier)} ({qualifier})." for qualifier in verdict["qualifiers"]]
    effect = verdict["effect"]
    if effect:
        smallest = f"{100 * effect['mde80']:.2f} pp"
        sentences += [
            f"With as many seeds, a true effect of {smallest} is found in 4 of 5 cases; "
            "a smaller one less often.",
            "The interval holds the spread over seeds and the sampling of the test, "
            "and nothing else.",
        ]
    sentences.append(
        f"One data set ({summary.data or 'its own'}), one scaffold and one budget: "
        "nothing is said about others."
    )
    return sentences


def _meaning(qualifier: str) -> str:
    for beginning, meaning in _MEANING.items():
        if qualifier.startswith(beginning):
            return meaning
    return "To be said with it"


def _baseline_line(archive: Archive) -> list[AttemptLine]:
    """Return the line of the baseline; [] where it has no result."""
    baseline = archive.run(0)
    if not baseline.result.is_file():
        return []
    return [AttemptLine(load_run(baseline), "the scaffold as it is", "")]


def _versions(packages: dict[str, str]) -> str:
    versions = [f"{name} {packages[name]}" for name in VERSIONS if name in packages]
    return ", ".join(versions) or "no packages of its own"


def _diff(archive: Archive, chosen: RunFolder) -> str:
    text = diff(archive.run(0).code, chosen.code)
    if not text:
        return ""
    return code(text, LINES, CHARACTERS, "diff")
