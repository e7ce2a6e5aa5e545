"""The confirmation: the best run's code, trained again with seeds that nobody saw before.

It begins when the coder is done. Two seeds first, and no more where their mean is not above the
control's; else the rest. The control is the cached baseline where this code with the idea off is
the baseline, exactly: not for the gate's few steps only, but over one whole training with a fresh
seed, to the same predictions (on a GPU: nearly). Else it is this code with the idea off, with the
same seeds. The plan and every run that counts are events, so a killed confirmation goes on where it
was.
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
from agent.experiment.event_log import Event, EventLog
from agent.util.errors import Fault
from agent.util.files import append_event, write_json
from agent.util.observer import Observer
from agent.verdict.statistics import FIRST_SEEDS, futile

SMALLEST_FRESH_SEED = 10_000  # those below are for users and for the baseline


@dataclass(frozen=True)
class Confirmation:
    """The confirmation of one experiment's best run."""

    workbench: Workbench
    archive: Archive
    controls: ControlSeeds
    fresh_seeds: int  # how many confirm the best run
    observer: Observer
    tell: Callable[[Run], None]  # called with every run of the idea when it is kept

    def conduct(self) -> None:
        """Train what the plan names; nothing where no run succeeded.

        Never raises for what the program did.
        """
        plan = self._confirm_plan()
        if plan is None:
            return
        self._copy_controls("control" if plan["control"] == "cached" else "scaffold")
        first = plan["seeds"][:FIRST_SEEDS]
        rest = plan["seeds"][FIRST_SEEDS:]
        self._train(plan, first)
        if rest and not self._futile():
            self._train(plan, rest)

    # ---- which run, which seeds, which control -------------------------------------------------

    def _confirm_plan(self) -> Event | None:
        """Return the plan, which is decided once and written down before a run that counts."""
        if plans := self._events("confirm"):
            return plans[0]
        chosen = self._best_attempt()
        if chosen is None:
            return None
        folder = chosen["folder"]
        facts = load_facts(self.archive.named(folder)) or {}
        check = None
        if facts.get("control_equals_baseline"):
            check = self._check_control(folder)
        append_event(
            self.archive.events,
            "confirm",
            run=chosen["number"],
            folder=folder,
            seeds=draw_seeds(self.fresh_seeds),
            control="cached" if check and check["same"] else "own",
            check=check,
        )
        return self._events("confirm")[0]

    def _best_attempt(self) -> Event | None:
        """Return the first of the attempts with the best number; None where none has one."""
        attempts = self._events("attempt")
        values = [event["value"] for event in attempts if event["value"] is not None]
        if not values:
            return None
        best = self.workbench.metric.best(values)
        return next(event for event in attempts if event["value"] == best)

    def _check_control(self, folder: str) -> dict[str, Any]:
        """Compare a run's code with the idea off with the scaffold as it is, on one fresh seed.

        What acts in both arms, but late or with some seeds only, shows here. A GPU does not repeat
        itself to the last bit: there, what is within three standard deviations of the control's
        seeds is the same.
        """
        seed = self._check_seed(folder)
        run_0 = self.archive.run(0)
        scaffold = self._train_once("check_scaffold", "control", seed, run_0)
        source = self.archive.named(folder)
        run = self._train_once("check", "control", seed, source)
        if not scaffold.ok:
            # Both are tried again: what broke the one may have broken the other.
            for name in ("check_scaffold", "check"):
                tried = self.archive.confirmation(name, seed)
                rename(tried, unused(tried, FAILED))
            ending = f"the scaffold as it is ended in {scaffold.status.value} with seed {seed}"
            raise Fault("baseline", f"{ending}:\n{scaffold.message}")
        if not run.ok:
            return {"seed": seed, "same": False, "status": run.status.value}
        repeats = scaffold.metrics.get("device") == "cpu"  # as the unedited scaffold says
        return self._compare_checks(seed, repeats)

    def _check_seed(self, folder: str) -> int:
        """Return the seed of the check of this run's code.

        It is written down first, so that what was finished when a kill came is found again.
        """
        for event in self._events("check"):
            if event["folder"] == folder:
                return int(event["seed"])
        seed = draw_seeds(1)[0]
        append_event(self.archive.events, "check", folder=folder, seed=seed)
        return seed

    def _compare_checks(self, seed: int, repeats: bool) -> dict[str, Any]:
        """Return how far the two trainings of the check are apart; repeats: the device does."""
        run = load_score(self.archive.confirmation("check", seed))
        scaffold = load_score(self.archive.confirmation("check_scaffold", seed))
        exact = run.fingerprint == scaffold.fingerprint
        distance = abs(run.accuracy("test") - scaffold.accuracy("test"))
        accuracies = []
        for control_seed in self.controls.seeds:
            score = load_score(self.controls.run(control_seed))
            accuracies.append(score.accuracy("test"))
        spread = np.std(accuracies, ddof=1)
        return {
            "seed": seed,
            "same": exact or (not repeats and distance <= 3 * float(spread)),
            "exact": exact,
            "distance": round(distance, 6),
        }

    # ---- the runs ------------------------------------------------------------------------------

    def _copy_controls(self, arm: str) -> None:
        """Copy the control seeds' runs: they are the control, or stand beside the code's own.

        A control of the code's own may be worse than they are.
        """
        confirmed = self._confirmed()
        for seed in self.controls.seeds:
            if (arm, seed) not in confirmed:
                target = self._free_folder(arm, seed)
                run = copy_seed(self.controls, seed, target, scored=True)
                self._announce(arm, seed, target, run)

    def _train(self, plan: Event, seeds: list[int]) -> None:
        arms = ["idea"]
        if plan["control"] != "cached":
            arms.append("control")
        for seed in seeds:
            for arm in arms:
                if (arm, seed) in self._confirmed():
                    continue
                source = self.archive.named(plan["folder"])
                run = self._train_once(arm, arm, seed, source)
                target = self.archive.confirmation(arm, seed)
                self._announce(arm, seed, target, run)

    def _train_once(self, name: str, arm: str, seed: int, source: RunFolder) -> Run:
        """Train the code of another run folder in confirm/<name>_seed_<seed>, and score it.

        It is scored on the hidden test. What was finished when a kill came is not trained again.
        """
        finished = self._finished_run(name, seed)
        if finished is not None:
            return finished
        target = self._free_folder(name, seed)
        pending = pending_of(target)
        source.copy_code(pending)
        training = Training(
            folder=pending,
            number=load_run(source).number,
            arm=arm,
            seed=seed,
            confirming=True,
            splits=DEV_AND_TEST,
        )
        label = f"confirm: {name.replace('_', ' ')}, seed {seed}"
        with self.observer.step(label, pending.work):
            run = train_and_score(self.workbench, training)
        run = replace(run, folder=f"confirm/{target.folder.name}")
        write_json(pending.result, run.save())
        rename(pending, target)
        return run

    def _finished_run(self, name: str, seed: int) -> Run | None:
        """Return a run that was finished and not announced.

        Beside a pending one, whatever has its final name is not ours.
        """
        target = self.archive.confirmation(name, seed)
        pending = pending_of(target)
        if pending.folder.exists():
            if not pending.result.is_file():
                return None
            if target.folder.exists():
                rename(target, unused(target, FOREIGN))
            rename(pending, target)
        return load_run(target) if target.result.is_file() else None

    def _free_folder(self, arm: str, seed: int) -> RunFolder:
        """Return the folder for this run.

        What lies there or beside it unannounced, of a killed process or a program, is set aside.
        """
        target = self.archive.confirmation(arm, seed)
        for folder in (target, pending_of(target)):
            if folder.folder.exists():
                rename(folder, unused(target, INTERRUPTED))
        return target

    def _announce(self, arm: str, seed: int, target: RunFolder, run: Run) -> None:
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

    # ---- what was found so far -----------------------------------------------------------------

    def _futile(self) -> bool:
        """Return whether the first seeds leave no hope; written down, for the verdict names it."""
        if answers := self._events("futile"):
            return bool(answers[0]["futile"])
        idea = self._correct("idea")
        control = self._correct("control")
        # A lost seed is no reason to stop on the other alone.
        enough = len(idea) >= FIRST_SEEDS and bool(control)
        hopeless = False
        if enough:
            hopeless = futile(np.array(idea), np.array(control))
        append_event(self.archive.events, "futile", futile=hopeless)
        return hopeless

    def _correct(self, arm: str) -> list[np.ndarray]:
        """Return which test images each run of this arm that succeeded predicted correctly."""
        correct = []
        for event in self._events("confirmed"):
            if event["arm"] == arm and event["status"] == "success":
                score = load_score(self.archive.named(event["folder"]))
                correct.append(score.correct["test"])
        return correct

    def _confirmed(self) -> set[tuple[str, int]]:
        events = self._events("confirmed")
        return {(event["arm"], event["seed"]) for event in events}

    def _events(self, name: str) -> list[Event]:
        return EventLog(self.archive.events).named(name)


def draw_seeds(count: int) -> list[int]:
    """Return so many different seeds that nobody knew before."""
    seeds: list[int] = []
    while len(seeds) < count:
        seed = SMALLEST_FRESH_SEED + secrets.randbelow(2**31 - SMALLEST_FRESH_SEED)
        if seed not in seeds:
            seeds.append(seed)
    return seeds
