"""`launch.py watch`: look at a running queue."""

from __future__ import annotations

from agent.cli.options import command_parser, once, runs_dir
from agent.report.watch.screen import watch


def command(arguments: list[str]) -> int:
    """Show a running queue until it is interrupted, or once."""
    about = "A running queue, live; in a pipe a line for each change."
    given = command_parser("watch", about, runs_dir, once).parse_args(arguments)
    return watch(given.runs_dir, given.once)
