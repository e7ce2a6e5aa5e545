"""The observer of the command line.

It prints, and writes and uploads what is made of an experiment on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from agent.archive.control_seeds import ControlSeeds
from agent.archive.paths import Archive
from agent.archive.run import Metric, Run
from agent.archive.verdict import load_verdict
from agent.report.export.wandb import upload
from agent.report.terminal.console import progress, say, show
from agent.report.terminal.tables import data_line, experiment_table, run_line
from agent.report.terminal.verdict_text import detectable_line, verdict_block
from agent.report.write import write_overview, write_reports


class TerminalObserver:
    """An observer that prints a line for each event of a queue, and a bar for what takes long."""

    def say(self, text: str, *, error: bool = False) -> None:
        """Print one line, on standard error where it tells of an error."""
        say(text, error=error)

    def step(self, label: str, folder: Path | None = None) -> AbstractContextManager[None]:
        """Show a bar while inside, once it takes long; nothing where the output is no terminal."""
        return progress(label, folder)

    def data_prepared(self, info: dict[str, Any]) -> None:
        """Print the size of the data set and of its splits."""
        say(f"  {data_line(info)}")

    def experiment_began(self, runs: Path) -> None:
        """Write the page of all experiments, in which this one stands now."""
        if problem := write_overview(runs):
            say(f"  {problem}")

    def controls_trained(
        self, controls: ControlSeeds, trained: Sequence[Run], fresh_seeds: int
    ) -> None:
        """Print what the set-up can tell."""
        say(f"  {detectable_line(controls, trained, fresh_seeds)}")

    def run_kept(self, run: Run, metric: Metric) -> None:
        """Print how a run ended."""
        say(run_line(run, metric))

    def runs_ended(self, archive: Archive, python: Path) -> None:
        """Upload the W&B files of the runs, where there is a key."""
        for problem in upload(archive, python):
            say(f"  {problem}")

    def experiment_stopped(self, archive: Archive, runs: Path) -> None:
        """Write the reports of an experiment."""
        for problem in write_reports(archive, runs):
            say(f"  {problem}")

    def result_known(self, archive: Archive) -> None:
        """Print the table of runs, the verdict, and where to read on."""
        show(experiment_table(archive))
        if verdict := load_verdict(archive):
            say(verdict_block(verdict))
        say(f"  python launch.py review {archive.folder}")
        say(f"  {archive.report}")
