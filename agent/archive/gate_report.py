"""TODO: docstring."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from agent.archive.paths import RunFolder
from agent.archive.run import RunStatus
from agent.util.files import read_json, write_json


@dataclass(frozen=True)
class Check:
    """What one check found. status says which kind of failed attempt it makes; None: passed."""

    name: str
    status: RunStatus | None = None
    message: str = ""  # what to do about it, for the coder
    seconds: float = 0.0


@dataclass(frozen=True)
class GateReport:
    """All checks that were made; the first that fails is the last."""

    checks: tuple[Check, ...]
    facts: Facts | None = None  # None: the smoke runs were not reached, or there are none

    @property
    def failed(self) -> Check | None:
        return next((check for check in self.checks if check.status), None)

    @property
    def seconds(self) -> float:
        return sum(check.seconds for check in self.checks)

    def save(self, folder: RunFolder) -> None:
        facts = asdict(self.facts) if self.facts else None
        write_json(
            folder.gate, {"checks": [asdict(check) for check in self.checks], "facts": facts}
        )


def load_facts(folder: RunFolder) -> dict[str, Any] | None:
    """The facts of an archived gate report; None where there are none."""
    return read_json(folder.gate).get("facts") if folder.gate.is_file() else None


@dataclass(frozen=True)
class Facts:
    """What the traces say, as plain values: for the archive, the coder, the judge and the verdict."""

    control_equals_baseline: bool
    idea_differs_from_control: bool
    idea_equals_baseline: bool  # then it is the control that was changed, or nothing
    largest_difference: float  # of the two arms' losses, and a tenth of that of their scores
    added_statements: int
    executed: int  # of these, with the idea on
    idea_only: int  # and not with the idea off
    operators: dict[
        str, int
    ]  # calls with the idea on, minus those with it off; only where they differ
    parameters: tuple[int, int]  # control, idea
    steps: tuple[int, int, int]  # that baseline, control and idea made
    order_differs: bool  # of the training images
    recipe: dict[str, tuple[str, str, str]]  # what differs: baseline, control, idea
    lines: tuple[int, ...]  # executed with the idea on

    @property
    def shown(self) -> dict[str, Any]:
        """What a judge is told: all but the lines."""
        return {name: value for name, value in asdict(self).items() if name != "lines"}
