"""`launch.py report`: write the HTML pages again, of one experiment or of all."""

from __future__ import annotations

from pathlib import Path

from agent.cli.options import RUN, command_parser, runs_dir
from agent.report.html.pages import write_pages


def command(arguments: list[str]) -> int:
    """Write the page of each experiment whose page is missing or old, and the page of them all."""
    about = "HTML pages: report.html of each experiment, and one of them all."
    parser = command_parser("report", about, runs_dir)
    choice = f"{RUN} (default: all whose page is missing or old)"
    parser.add_argument(
        "run",
        nargs="?",
        type=Path,
        metavar="RUN",
        help=choice,
    )
    given = parser.parse_args(arguments)
    return write_pages(given.run, given.runs_dir)
