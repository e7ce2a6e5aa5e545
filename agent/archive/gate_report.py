"""This record is gate/report.json: the checks before a run, and facts from the smoke runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from agent.archive.paths import RunFolder
from agent.archive.run import RunStatus
from agent.util.files import read_json, write_json


@dataclass(frozen=True)
class Check:
    """The outcome of a check."""

    name: str
    status: RunStatus | None = None  # the kind of failed attempt that it makes; None: passed
    message: str = ""  # advice to the coder
    seconds: float = 0.0


@dataclass(frozen=True)
class Facts:
    """The traces as plain values: for the archive, the coder, the judge and the verdict."""

    control_equals_baseline: bool
    idea_differs_from_control: bool
    idea_equals_baseline: bool  # then it is the control that was changed, or nothing
    largest_difference: float  # of the two arms' losses, and a tenth of that of their scores
    added_statements: int
    executed: int  # added statements that ran with the idea on
    idea_only: int  # those of them that did not run with the idea off
    # Calls with the idea on, minus those with it off, where the two differ.
    operators: dict[str, int]
    parameters: tuple[int, int]  # control, idea
    steps: tuple[int, int, int]  # baseline, control, idea
    order_differs: bool  # the training images came in another order
    recipe: dict[str, tuple[str, str, str]]  # the parts that differ: baseline, control, idea
    lines: tuple[int, ...]  # executed with the idea on

    @property
    def shown(self) -> dict[str, Any]:
        """The facts that a judge sees: all but the lines."""
        facts = asdict(self)
        del facts["lines"]
        return facts


@dataclass(frozen=True)
class GateReport:
    """All checks that were carried out; the first that fails is the last."""

    checks: tuple[Check, ...]
    facts: Facts | None = None  # None: the smoke runs were not reached, or there are none

    @property
    def failed(self) -> Check | None:
        """The check that failed."""
        return next((check for check in self.checks if check.status), None)

    @property
    def seconds(self) -> float:
        """The time that all checks took."""
        return sum(check.seconds for check in self.checks)

    def save(self, folder: RunFolder) -> None:
        """Write the report into a run folder."""
        report = {
            "checks": [asdict(check) for check in self.checks],
            "facts": asdict(self.facts) if self.facts else None,
        }
        write_json(folder.gate, report)


def load_facts(folder: RunFolder) -> dict[str, Any] | None:
    """Return the facts of an archived gate report; None where there are none."""
    if not folder.gate.is_file():
        return None
    return read_json(folder.gate).get("facts")
