"""The events of a queue that somebody may watch.

The command line prints them, writes pages of them, and uploads what belongs elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from agent.archive.control_seeds import ControlSeeds
from agent.archive.paths import Archive
from agent.archive.run import Metric, Run
from agent.util.observer import Observer


class QueueObserver(Observer, Protocol):
    """Somebody who follows the experiments of a queue from their data to their result."""

    def data_prepared(self, info: dict[str, Any]) -> None:
        """Hear what the data set of an experiment holds."""
        ...

    def experiment_began(self, runs: Path) -> None:
        """Hear that an experiment under `runs` begins or goes on."""
        ...

    def controls_trained(
        self, controls: ControlSeeds, trained: Sequence[Run], fresh_seeds: int
    ) -> None:
        """Hear that all control seeds of a set-up are there, before any idea is run."""
        ...

    def run_kept(self, run: Run, metric: Metric) -> None:
        """Hear of the baseline and of every run when it is kept."""
        ...

    def runs_ended(self, archive: Archive, python: Path) -> None:
        """Hear that an experiment makes no further run; python: the interpreter of its runs."""
        ...

    def experiment_stopped(self, archive: Archive, runs: Path) -> None:
        """Hear that an experiment reached its end, or was stopped by a fault."""
        ...

    def result_known(self, archive: Archive) -> None:
        """Hear that an experiment reached its end, and its reports are written."""
        ...
