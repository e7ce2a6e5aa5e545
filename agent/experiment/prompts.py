"""The messages to the coder: the idea first, then what came of its last edit."""

from __future__ import annotations

from dataclasses import dataclass

from agent.archive.gate_report import load_facts
from agent.archive.judgement import Criteria, Judgement
from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Run, load_run, own_values
from agent.execution.environment.base import Environment
from agent.execution.environment.requirements import NOTABLE
from agent.experiment.event_log import EventLog
from agent.experiment.plan import Plan
from agent.task.dataset import Dataset
from agent.task.recipe import spoken
from agent.util.files import read_json
from agent.util.templates import render
from agent.util.text import fence
from agent.verdict.chance import sampling_noise


@dataclass(frozen=True)
class Prompts:
    """The messages to the coder of one experiment, as planned and prepared."""

    plan: Plan
    environment: Environment | None  # None: it is not built yet
    dataset: Dataset | None  # None: it is not prepared yet, or the scaffold brings its own

    def next_message(self, archive: Archive) -> str:
        """Return what the coder is told next: the idea first, then what came of its last edit."""
        attempts = archive.attempts()
        baseline = load_run(archive.run(0))
        if not attempts:
            return self.start(Criteria.from_dict(read_json(archive.criteria)), baseline)
        last = load_run(attempts[-1])
        if last.ok:
            return self._after_run(archive, baseline, attempts)
        return self._after_failure(archive, last)

    def start(self, criteria: Criteria, baseline: Run | None) -> str:
        """Return the first message: the idea, what is looked for, the rules, and the baseline.

        baseline: its run; None: it has not run yet.
        """
        return render(
            "start.md.j2",
            plan=self.plan,
            dataset=self.dataset.info if self.dataset else None,
            criteria=criteria.items,
            varies=[spoken(name) for name in criteria.varies],
            value=baseline.value if baseline else None,
            seconds=baseline.seconds if baseline else None,
            there=self._notable_packages(),
            addable=self._addable_packages(),
        )

    def _notable_packages(self) -> list[str]:
        packages = self.environment.packages if self.environment else {}
        installed = sorted(packages.items())
        return [f"{name} {version}" for name, version in installed if name in NOTABLE]

    def _addable_packages(self) -> list[str]:
        if self.environment is None:
            return sorted(self.plan.addable)
        if self.environment.fixed:
            return []
        return sorted(self.plan.addable - self.environment.packages.keys())

    def _after_failure(self, archive: Archive, run: Run) -> str:
        """Return what went wrong with the last attempt, and how many failures are left."""
        failures = EventLog(archive.events).failures_in_a_row()
        return render(
            "after_failure.md.j2",
            plan=self.plan,
            run=run,
            left=self.plan.limits.failures - failures,
            message=fence(run.message),
        )

    def _after_run(self, archive: Archive, baseline: Run, attempts: list[RunFolder]) -> str:
        """Return what the runs gave, and what gate and judge noticed about the last of them."""
        all_runs = [load_run(attempt) for attempt in attempts]
        runs = [run for run in all_runs if run.ok]
        facts = load_facts(attempts[-1]) or {}
        findings = _judgement(attempts[-1]).findings
        return render(
            "after_run.md.j2",
            plan=self.plan,
            baseline=baseline,
            runs=[baseline, *runs],
            number=EventLog(archive.events).run_number(),
            noise=self._noise(baseline),
            logged=own_values(runs[-1]),
            own_switch=facts.get("control_equals_baseline") is False,
            doubts=[finding for finding in findings if not finding.passed],
        )

    def _noise(self, baseline: Run) -> float | None:
        """Return what the number of validation images alone explains; None for an open scaffold."""
        if self.dataset is None or self.plan.scaffold.open:
            return None
        return sampling_noise(baseline.value, self.dataset.info["val_count"])


def _judgement(folder: RunFolder) -> Judgement:
    if not folder.judgement.is_file():
        return Judgement()
    return Judgement.from_dict(read_json(folder.judgement))
