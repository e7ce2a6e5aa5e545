"""report.md: the skeleton of a write-up, made from the archive once. What a user makes of it is never overwritten."""

from __future__ import annotations

from typing import Any

from agent.archive.commentary import load_commentary
from agent.archive.paths import Archive, RunFolder
from agent.archive.run import load_run
from agent.report.summary import Summary
from agent.report.terminal.tables import data_line, number
from agent.report.terminal.verdict_text import verdict_block
from agent.report.text.attempt_lines import AttemptLine, tell
from agent.report.text.markdown import code, render_markdown
from agent.util.diff import diff
from agent.util.files import read_json, read_untrusted_text, write_text

LINES, CHARACTERS = 600, 60_000  # of the idea and of the diff
VERSIONS = ("torch", "pytorch-lightning", "torchvision", "numpy")
_MEANING = {  # how a qualifier begins -> what it means to a reader
    "at ": "The idea has a price",
    "stopped for futility": "Fewer fresh seeds than planned were trained",
    "judge absent": "No judge read the code: that the idea is in it rests on what the gate saw of a few training steps",
    "judge doubts it": "A judge that read the code doubts that it is the idea as agreed on",
    "judge = coder's model": "The judge is the model that wrote the code",
    "bundled with other changes": "More was changed than the idea, by a judge's reading, so that the difference may be due to the rest",
    "own off-switch": "With the idea off the code is not the scaffold: the control is the code's own",
    "with another": "The two arms differ in their training recipe, as the idea says",
    "self-reported": "The numbers are the word of the program that the coder wrote, of one run each; nothing was confirmed",
    "unsandboxed": "A run was not confined, and could have read what it was graded on",
    "network open": "Runs could use the network",
    "harmful": "The interval lies below 0: the idea does harm here",
}


def write_up(one: Summary, verdict: dict[str, Any]) -> None:
    """Nothing where there is one. Raises Fault for a damaged archive and a full disk."""
    if not one.archive.write_up.exists():
        write_text(one.archive.write_up, compose(one, verdict))


def compose(one: Summary, verdict: dict[str, Any]) -> str:
    archive, config, chosen = (
        one.archive,
        read_json(one.archive.config),
        verdict["selection"]["chosen"],
    )
    baseline = archive.run(0)
    tried = (
        [AttemptLine(load_run(baseline), "the scaffold as it is", "")]
        if baseline.result.is_file()
        else []
    )
    idea = read_untrusted_text(archive.idea)
    packages = config["provenance"]["environment"]["packages"]
    changed = _diff(archive, archive.run(chosen)) if chosen else ""
    return render_markdown(
        "report.md.j2",
        one=one,
        v=verdict,
        config=config,
        idea=code(idea, LINES, CHARACTERS),
        number=number,
        path=one.name,
        data=data_line(config["dataset"]).removeprefix("data: ")
        if config["dataset"]
        else "its own",
        tried=[*tried, *tell(archive)],
        versions=", ".join(f"{name} {packages[name]}" for name in VERSIONS if name in packages)
        or "no packages of its own",
        block=code(verdict_block(verdict), LINES, CHARACTERS),
        reading=load_commentary(archive),
        diff=changed,
        chosen=f"run_{chosen}",
        limitations=limitations(one, verdict),
    )


def limitations(one: Summary, verdict: dict[str, Any]) -> list[str]:
    """What the verdict has to be read with, each as a sentence."""
    found = []
    for qualifier in verdict["qualifiers"]:
        meaning = next(
            (meaning for begin, meaning in _MEANING.items() if qualifier.startswith(begin)),
            "To be said with it",
        )
        found.append(f"{meaning} ({qualifier}).")
    if effect := verdict["effect"]:
        missed = "found in 4 of 5 cases; a smaller one less often"
        found.append(
            f"With as many seeds, a true effect of {100 * effect['mde80']:.2f} pp is {missed}."
        )
        found.append(
            "The interval holds the spread over seeds and the sampling of the test, and nothing else."
        )
    found.append(
        f"One data set ({one.data or 'its own'}), one scaffold and one budget: nothing is said about others."
    )
    return found


def _diff(archive: Archive, chosen: RunFolder) -> str:
    text = diff(archive.run(0).code, chosen.code)
    return code(text, LINES, CHARACTERS, "diff") if text else ""
