"""`launch.py verdict`: the verdict of an experiment, computed again from its archive alone."""

from __future__ import annotations

from agent.archive.lookup import find
from agent.cli.options import command_parser, experiment, runs_dir
from agent.report.terminal.console import say
from agent.report.terminal.verdict_text import verdict_block
from agent.util.files import write_json
from agent.verdict.decide import decide


def command(arguments: list[str]) -> int:
    """Decide, write verdict.json, print it."""
    about = "The verdict of an experiment, from its archive alone."
    given = command_parser("verdict", about, experiment, runs_dir).parse_args(arguments)
    archive = find(given.run, given.runs_dir)
    verdict = decide(archive)
    write_json(archive.verdict, verdict)
    say(verdict_block(verdict))
    return 0
