"""Many ideas, one after the other: found again, resumed, skipped when finished.

A failed one does not stop the rest.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from agent.archive.lookup import experiments
from agent.archive.paths import Archive, experiment_lock
from agent.archive.provenance import commit
from agent.archive.session import spent
from agent.coder.aider import AiderCoder
from agent.execution.workbench import Workbench
from agent.experiment.controls import train_missing
from agent.experiment.loop import Experiment
from agent.experiment.prepare import (
    control_seeds_of,
    create,
    experiment_key,
    make_plan,
    make_workbench,
    serving,
)
from agent.experiment.settings import SESSION_NOTE, Settings
from agent.queue.observer import QueueObserver
from agent.queue.recorder import recorded
from agent.task.scaffold import Workspace
from agent.util.errors import Fault, UserError, record_bug
from agent.util.files import append_event, read_events, read_json
from agent.util.locks import locked


def run_all(queue: list[Settings], observer: QueueObserver, debug: bool = False) -> int:
    """Carry out every experiment.

    0: each reached its end; 1: one did not; 2: none could begin, for what the user gave.
    """
    scheduler = Scheduler(observer, debug)
    codes = list[int]()
    runs = queue[0].options.runs_dir
    ideas = [settings.idea for settings in queue]
    with recorded(runs, ideas) as record:
        for number, settings in enumerate(queue):
            note = partial(record.note, number)
            code, stopped_by = scheduler.attempt(settings, note)
            note(code=code, stopped_by=stopped_by)
            codes.append(code)
    if set(codes) == {2}:
        return 2
    return int(any(codes))


class Scheduler:
    """The experiments of one command, carried out in turn under one cap on what they may cost."""

    def __init__(self, observer: QueueObserver, debug: bool = False):
        self.observer = observer
        self.debug = debug
        self.archives = list[Archive]()  # of the experiments that this command worked on

    def attempt(self, settings: Settings, note: Callable[..., None]) -> tuple[int, str]:
        """Return the exit code of one experiment, and what stopped it ('' for nothing)."""
        say = self.observer.say
        before = len(self.archives)
        try:
            self._run(settings, note)
        except UserError as error:
            say(f"{settings.idea.path}: {error}", error=True)
            return 2, str(error)
        except Fault as fault:
            say(f"{settings.idea.path}: stopped by a fault: {fault}")
            say("  nothing is lost: once that is mended, the same command goes on from here")
            for archive in self.archives[before:]:
                self.observer.experiment_stopped(archive, settings.options.runs_dir)
            return 1, str(fault)
        except Exception:  # a bug of ours in one experiment; the others are not to blame
            bug = record_bug(self.debug)
            say(f"{settings.idea.path}: {bug}", error=True)
            return 1, bug
        return 0, ""

    def _run(self, settings: Settings, note: Callable[..., None]) -> None:
        """Carry out one experiment, from finding its archive to its verdict."""
        say = self.observer.say
        say(f"{settings.idea.title}  ({settings.idea.path})")
        if settings.model.replies is not None:
            shipped = f"  ({SESSION_NOTE})" if settings.shipped_session else ""
            say(f"  {settings.model.name}{shipped}")
        workbench = make_workbench(settings, self.observer)
        folder = settings.options.runs_dir / settings.idea.slug
        key = experiment_key(settings, workbench)
        note(key=key)
        with locked(experiment_lock(folder, key)) as mine:
            if not mine:
                raise Fault("busy", f"another process is working on this experiment in {folder}")
            archive = None
            if not settings.options.fresh:
                archive = self._find(settings, key)
            if archive and is_finished(archive):
                say("  finished earlier; --fresh runs it again")
            else:
                with serving(workbench) as server:
                    archive = self._conduct(settings, replace(workbench, server=server), archive)
            self.observer.experiment_stopped(archive, settings.options.runs_dir)
        self.observer.result_known(archive)

    def _conduct(
        self,
        settings: Settings,
        workbench: Workbench,
        known: Archive | None,
    ) -> Archive:
        """Begin an experiment, or go on with the known one; return its archive."""
        say = self.observer.say
        if workbench.dataset:
            self.observer.data_prepared(workbench.dataset.info)
        if workbench.sandbox.kind != "bwrap" or workbench.sandbox.network:
            say(f"  sandbox: {workbench.sandbox.described}")
        archive = known or create(settings, workbench)
        self.archives.append(archive)
        cost_left = partial(self._cost_left, settings.options.max_cost)
        editable = Workspace(archive.workspace).editable
        with self.observer.step("waiting for a reply that an earlier command asked for"):
            coder = AiderCoder(archive, editable, settings.model, cost_left)
        try:
            self._check_prices(settings, coder)
            append_event(archive.events, "sitting", **_sitting(settings, workbench))
            self.observer.experiment_began(settings.options.runs_dir)
            self._loop(settings, workbench, archive, coder)
        except UserError:
            if known is None:
                # Nothing was asked or run: an archive of nothing would only be in the way.
                shutil.rmtree(archive.folder, ignore_errors=True)
            raise
        except Fault as fault:
            _note_fault(archive, fault)
            raise
        finally:
            coder.close()
        return archive

    def _loop(
        self,
        settings: Settings,
        workbench: Workbench,
        archive: Archive,
        coder: AiderCoder,
    ) -> None:
        """Train the control seeds that are missing, then carry the idea to its verdict."""
        observer = self.observer
        plan = make_plan(settings)
        controls = control_seeds_of(plan, workbench, settings.options.runs_dir)
        trained = train_missing(workbench, controls, observer)
        if not plan.scaffold.open:
            observer.controls_trained(controls, trained, plan.seeds.confirm)
        experiment = Experiment(
            plan=plan,
            workbench=workbench,
            archive=archive,
            controls=controls,
            coder=coder,
            observer=observer,
            cost_left=partial(self._cost_left, settings.options.max_cost),
            tell=lambda run: observer.run_kept(run, settings.metric),
        )
        observer.say(f"  stopped: {experiment.conduct().value}")
        observer.runs_ended(archive, workbench.environment.python)

    def _check_prices(self, settings: Settings, coder: AiderCoder) -> None:
        """Wait for the coder. Raises UserError where a cap is asked for that cannot be kept."""
        with self.observer.step("starting the coder"):
            unpriced = coder.ready()
        if settings.options.max_cost is None or not unpriced:
            return
        way = "name a judge with a known price"
        if settings.model.name in unpriced:
            way = "give it with --price IN,OUT"
        models = " and ".join(unpriced)
        raise UserError(f"--max-cost cannot be kept: the price of {models} is unknown; {way}")

    def _cost_left(self, cap: float | None) -> float | None:
        """Return the US dollars that this command may still spend; None: there is no cap."""
        if cap is None:
            return None
        costs = [spent(archive)[0] for archive in self.archives]
        known = [cost for cost in costs if cost is not None]
        if len(known) < len(costs):  # an unknown cost is not nothing
            return -math.inf
        return cap - sum(known)

    def _find(self, settings: Settings, key: str) -> Archive | None:
        """Return the newest experiment of this idea with this key."""
        folder = settings.options.runs_dir / settings.idea.slug
        for archive in reversed(experiments(settings.options.runs_dir)):
            if archive.folder.parent == folder and self._key_of(archive) == key:
                return archive
        return None

    def _key_of(self, archive: Archive) -> str | None:
        """Return the key of an experiment; None, and a line that says so, where it is lost."""
        try:
            return str(read_json(archive.config).get("key"))
        except Fault as fault:
            self.observer.say(f"  {fault}: this experiment cannot be gone on with")
            return None


def _sitting(settings: Settings, workbench: Workbench) -> dict[str, Any]:
    """Return what this command may change in an experiment that goes on, and Assay's commit."""
    plan = make_plan(settings)
    return {
        "limits": asdict(plan.limits),
        "budget": asdict(plan.budget),
        "max_cost": settings.options.max_cost,
        "addable": sorted(plan.addable),
        "sandbox": asdict(workbench.sandbox),
        "commit": commit(),
    }


def _note_fault(archive: Archive, fault: Fault) -> None:
    """Note a fault in the archive, if that can still be written.

    A full disk must not hide what went wrong.
    """
    try:
        append_event(archive.events, "fault", kind=fault.kind, detail=fault.detail)
    except Fault:
        pass


def is_finished(archive: Archive) -> bool:
    """Return whether nothing is left to do.

    Then the verdict was written after everything else, and is still there.
    """
    names = [event["event"] for event in read_events(archive.events)]
    steps = [name for name in names if name != "sitting"]
    return steps[-1:] == ["verdict"] and archive.verdict.exists()
