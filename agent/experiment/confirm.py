"""After the coder is done: the best run's code, trained again with seeds that nobody saw before.

Two seeds first, and no more where their mean is not above the control's; else the rest. The control is the cached
baseline where this code with the idea off is the baseline, exactly: not for the gate's few steps only, but over one whole
training with a fresh seed, to the same predictions (on a GPU: nearly). Else it is this code with the idea off, with the same seeds.
The order to confirm and every run that counts are events, so a killed confirmation goes on where it was.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agent.archive.control_seeds import ControlSeeds
from agent.archive.gate_report import load_facts
from agent.archive.paths import (
    FAILED,
    FOREIGN,
    INTERRUPTED,
    Archive,
    RunFolder,
    pending_of,
    rename,
    unused,
)
from agent.archive.run import Run, load_run
from agent.archive.score import load_score
from agent.execution.training import DEV_AND_TEST, Training, train_and_score
from agent.execution.workbench import Workbench
from agent.experiment.controls import copy_seed
from agent.util.errors import Fault
from agent.util.files import append_event, read_events, write_json
from agent.util.observer import Observer
from agent.verdict.statistics import FIRST_SEEDS, futile

SMALLEST_FRESH_SEED = 10_000  # those below are for users and for the baseline


@dataclass(frozen=True)
class Confirmation:
    """Of one experiment's best run."""

    workbench: Workbench
    archive: Archive
    baseline: ControlSeeds
    fresh_seeds: int  # how many confirm the best run
    observer: Observer
    tell: Callable[[Run], None]

    def conduct(self) -> None:
        """Nothing to do where no run succeeded. Never raises for what the program did."""
        order = self._order()
        if order is None:
            return
        self._copy_baseline("control" if order["control"] == "cached" else "scaffold")
        first, rest = order["seeds"][:FIRST_SEEDS], order["seeds"][FIRST_SEEDS:]
        self._train(order, first)
        if rest and not self._futile():
            self._train(order, rest)

    def _order(self) -> dict[str, Any] | None:
        """Which run, which seeds, which control: decided once, and written down before a run that counts."""
        if found := self._events("confirm"):
            return found[0]
        successes = [event for event in self._events("attempt") if event["value"] is not None]
        if not successes:
            return None
        best = self.workbench.metric.best([event["value"] for event in successes])
        chosen = next(event for event in successes if event["value"] == best)
        facts = load_facts(self.archive.named(chosen["folder"])) or {}
        check = self._check_control(chosen) if facts.get("control_equals_baseline") else None
        control = "cached" if check and check["same"] else "own"
        order = {
            "run": chosen["number"],
            "folder": chosen["folder"],
            "seeds": draw_seeds(self.fresh_seeds),
        }
        append_event(self.archive.events, "confirm", **order, control=control, check=check)
        return self._events("confirm")[0]

    def _check_control(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """Train the code with the idea off and the scaffold as it is, with one fresh seed. What acts in both arms, but late or
        with some seeds only, shows here.

        A GPU does not repeat itself to the last bit: there, three standard deviations of the control's seeds are the same.
        """
        seed = self._check_seed(chosen["folder"])
        scaffold, run = (
            self._make("check_scaffold", "control", seed, None),
            self._make("check", "control", seed, chosen),
        )
        if not scaffold.ok:
            for name in (
                "check_scaffold",
                "check",
            ):  # both are tried again: what broke the one may have broken the other
                folder = self.archive.confirmation(name, seed)
                rename(folder, unused(folder, FAILED))
            raise Fault(
                "baseline",
                f"the scaffold as it is ended in {scaffold.status.value} with seed {seed}:\n{scaffold.message}",
            )
        if not run.ok:
            return {"seed": seed, "same": False, "status": run.status.value}
        one, other = (
            load_score(self.archive.confirmation(name, seed))
            for name in ("check", "check_scaffold")
        )
        distance = abs(one.accuracy("test") - other.accuracy("test"))
        repeats = scaffold.metrics.get("device") == "cpu"  # as the unedited scaffold says
        spread = np.std(
            [load_score(self.baseline.run(seed)).accuracy("test") for seed in self.baseline.seeds],
            ddof=1,
        )
        exact = one.fingerprint == other.fingerprint
        return {
            "seed": seed,
            "same": exact or (not repeats and distance <= 3 * float(spread)),
            "exact": exact,
            "distance": round(distance, 6),
        }

    def _check_seed(self, folder: str) -> int:
        """Of the check of this run's code; written down first, so that what was finished when a kill came is found again."""
        found = [int(event["seed"]) for event in self._events("check") if event["folder"] == folder]
        if not found:
            found = draw_seeds(1)
            append_event(self.archive.events, "check", folder=folder, seed=found[0])
        return found[0]

    def _copy_baseline(self, arm: str) -> None:
        """The baseline's runs are the control's, or stand beside a control of the code's own: it may be worse than they are."""
        said = self._done()
        for seed in self.baseline.seeds:
            if (arm, seed) not in said:
                target = self._free(arm, seed)
                run = copy_seed(self.baseline, seed, target, scored=True)
                self._say(arm, seed, target, run)

    def _train(self, order: dict[str, Any], seeds: list[int]) -> None:
        arms = ("idea",) if order["control"] == "cached" else ("idea", "control")
        for arm, seed in ((arm, seed) for seed in seeds for arm in arms):
            if (arm, seed) not in self._done():
                run = self._make(arm, arm, seed, order)
                self._say(arm, seed, self.archive.confirmation(arm, seed), run)

    def _make(self, name: str, arm: str, seed: int, chosen: dict[str, Any] | None) -> Run:
        """Train in confirm/<name>_seed_<seed>, and score on the hidden test: the chosen run's code, or the scaffold as it is. Not
        again what was finished when a kill came.
        """
        if (made := self._made(name, seed)) is not None:
            return made
        target, run_0 = self._free(name, seed), self.archive.run(0)
        source = self.archive.named(chosen["folder"]) if chosen else run_0
        pending = pending_of(target)
        source.copy_code(pending)
        with self.observer.step(f"confirm: {name.replace('_', ' ')}, seed {seed}", pending.work):
            run = train_and_score(
                self.workbench,
                Training(
                    pending,
                    load_run(source).number,
                    arm,
                    seed,
                    confirming=True,
                    splits=DEV_AND_TEST,
                ),
            )
        run = replace(run, folder=f"confirm/{target.folder.name}")
        write_json(pending.result, run.save())
        rename(pending, target)
        return run

    def _made(self, name: str, seed: int) -> Run | None:
        """A run that was finished and not said. Beside a pending one, whatever has its final name is not ours."""
        target = self.archive.confirmation(name, seed)
        pending = pending_of(target)
        if pending.folder.exists():
            if not pending.result.is_file():
                return None
            if target.folder.exists():
                rename(target, unused(target, FOREIGN))
            rename(pending, target)
        return load_run(target) if target.result.is_file() else None

    def _free(self, arm: str, seed: int) -> RunFolder:
        """The folder for this run; what lies there or beside it unsaid, of a killed process or a program, is set aside."""
        target = self.archive.confirmation(arm, seed)
        for folder in (target, pending_of(target)):
            if folder.folder.exists():
                rename(folder, unused(target, INTERRUPTED))
        return target

    def _say(self, arm: str, seed: int, target: RunFolder, run: Run) -> None:
        append_event(
            self.archive.events,
            "confirmed",
            arm=arm,
            seed=seed,
            folder=f"confirm/{target.folder.name}",
            status=run.status.value,
        )
        if arm == "idea":
            self.tell(run)

    def _futile(self) -> bool:
        """Whether the first seeds already leave no hope; written down, for the verdict says so."""
        if found := self._events("futile"):
            return bool(found[0]["futile"])
        scores = {
            arm: [
                load_score(self.archive.named(event["folder"])).correct["test"]
                for event in self._events("confirmed")
                if event["arm"] == arm and event["status"] == "success"
            ]
            for arm in ("idea", "control")
        }
        enough = len(scores["idea"]) >= FIRST_SEEDS and bool(
            scores["control"]
        )  # a lost seed is no reason to stop on the other alone
        hopeless = enough and futile(np.array(scores["idea"]), np.array(scores["control"]))
        append_event(self.archive.events, "futile", futile=hopeless)
        return hopeless

    def _done(self) -> set[tuple[str, int]]:
        return {(event["arm"], event["seed"]) for event in self._events("confirmed")}

    def _events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in read_events(self.archive.events) if event["event"] == name]


def draw_seeds(count: int) -> list[int]:
    """So many different seeds that nobody knew before."""
    seeds: list[int] = []
    while len(seeds) < count:
        seed = SMALLEST_FRESH_SEED + secrets.randbelow(2**31 - SMALLEST_FRESH_SEED)
        seeds += [seed] if seed not in seeds else []
    return seeds
