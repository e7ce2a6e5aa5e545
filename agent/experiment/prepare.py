"""Settings -> everything that an experiment needs before it begins: environment, data, keys, a new archive."""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

from agent.archive.control_seeds import ControlSeeds
from agent.archive.paths import Archive, new_experiment
from agent.archive.provenance import cores, device_name, provenance
from agent.archive.run import Budget
from agent.execution.environment.base import REQUIRED, Environment, ensure, existing, find_built
from agent.execution.environment.requirements import addable
from agent.execution.sandbox.detect import find_sandbox
from agent.execution.sandbox.policy import ResourceLimits
from agent.execution.sandbox.warm_server import PRELOADED, ForkServer
from agent.execution.workbench import Workbench
from agent.experiment.plan import Plan, Seeds, StopLimits
from agent.experiment.settings import Settings
from agent.task.dataset import Dataset, prepare
from agent.task.scaffold import Workspace
from agent.util.errors import Fault
from agent.util.files import append_event, write_bytes, write_json
from agent.util.hashes import short_hash
from agent.util.observer import Observer


def make_plan(settings: Settings) -> Plan:
    options = settings.options
    budget = Budget(settings.epochs, options.seed, options.timeout, options.device, cores())
    seeds = Seeds(1 if settings.scaffold.open else options.baseline_seeds, options.confirm_seeds)
    limits = StopLimits(settings.runs, options.max_failures)
    return Plan(
        settings.idea,
        settings.scaffold,
        budget,
        settings.metric,
        limits,
        seeds,
        addable(settings.scaffold.open, options.allow_packages),
    )


def make_workbench(settings: Settings, observer: Observer) -> Workbench:
    """Prepare environment and data, which are made on first need."""
    options = settings.options
    dataset = None
    sandbox = find_sandbox(
        options.sandbox,
        options.network,
        ResourceLimits.given(options.memory, options.processes, options.disk),
    )
    with observer.step("preparing the experiments' environment"):
        environment = _existing(settings) or ensure(settings.scaffold.requirements, observer.say)
    if settings.dataset:
        with observer.step(f"preparing {settings.dataset}"):
            dataset = prepare(
                settings.dataset, environment.python, options.data_dir, options.train_size
            )
    plan = make_plan(settings)
    return Workbench(
        scaffold=plan.scaffold,
        budget=plan.budget,
        metric=plan.metric,
        addable=plan.addable,
        environment=environment,
        dataset=dataset,
        baseline_key=_baseline_key(settings, environment, dataset),
        sandbox=sandbox,
        announce=observer.say,
    )


def look_up(settings: Settings) -> Environment | None:
    """The environment, if it is there already."""
    return _existing(settings) or find_built(settings.scaffold.requirements)


def _existing(settings: Settings) -> Environment | None:
    """That of --python; an open scaffold imports what it likes."""
    python = settings.options.python
    return existing(python, () if settings.scaffold.open else REQUIRED) if python else None


def serving(workbench: Workbench) -> AbstractContextManager[ForkServer | None]:
    """The server that starts the runs; an open scaffold may import what it likes, and starts by itself."""
    if workbench.scaffold.open:
        return nullcontext()
    # Under Landlock W&B can neither open its loopback connection nor keep its temporary files.
    modules = tuple(
        name for name in PRELOADED if workbench.sandbox.kind != "landlock" or "wandb" not in name
    )
    return ForkServer(workbench.environment.python, workbench.budget.threads, modules)


def control_seeds_of(plan: Plan, workbench: Workbench, runs: Path) -> ControlSeeds:
    """The control seeds that every experiment with this set-up shares."""
    first = plan.budget.seed
    seeds = tuple(range(first, first + plan.seeds.control))
    return ControlSeeds(runs, workbench.baseline_key, seeds)


def _baseline_key(settings: Settings, environment: Environment, dataset: Dataset | None) -> dict:
    """What decides the baseline's number."""
    return {
        "scaffold": settings.scaffold.fingerprint,
        "split": dataset.info["split"] if dataset else None,
        "epochs": settings.epochs,
        "device": device_name(settings.options.device),
        "metric": asdict(settings.metric),
        "environment": environment.key,
        "packages": environment.packages,
    }


def experiment_key(settings: Settings, workbench: Workbench) -> str:
    """Two commands with the same key are one experiment: idea, model, runs, seed, and whatever decides the baseline."""
    idea = settings.idea
    budget = [settings.epochs, settings.options.seed, asdict(make_plan(settings).seeds)]
    models = [settings.model.identity, settings.options.judge]
    parts = [
        idea.title,
        idea.text,
        idea.settings,
        models,
        settings.runs,
        budget,
        workbench.baseline_key,
    ]
    return short_hash(json.dumps(parts, sort_keys=True, default=str))


def create(settings: Settings, workbench: Workbench) -> Archive:
    """A new archive with the idea and the workspace in it."""
    archive = new_experiment(settings.options.runs_dir, settings.idea.slug)
    try:
        write_bytes(archive.idea, settings.idea.path.read_bytes())
        workspace = Workspace(archive.workspace)
        workspace.create(settings.scaffold, workbench.dataset.info if workbench.dataset else None)
        append_event(archive.events, "workspace", files=workspace.read())
        write_json(
            archive.config, _config(settings, workbench)
        )  # last: from here on it is found again
    except Fault:
        shutil.rmtree(
            archive.folder, ignore_errors=True
        )  # nothing was asked or run: what is left would fill a full disk further
        raise
    return archive


def _config(settings: Settings, workbench: Workbench) -> dict:
    dataset, options, idea = workbench.dataset, settings.options, settings.idea
    plan = make_plan(settings)
    return {
        "key": experiment_key(settings, workbench),
        "idea": idea.title,
        "slug": idea.slug,
        "source": str(idea.path),
        "idea_sha": short_hash(idea.path.read_bytes()),
        "front_matter": idea.settings,
        "model": settings.model.name,
        "judge": options.judge,
        "scaffold": str(settings.scaffold.folder),
        "asked": {
            "dataset": settings.dataset,
            "train_size": options.train_size,
            "data_dir": str(options.data_dir or ""),
            "python": str(options.python or ""),
        },
        "seeds": asdict(plan.seeds),
        "open": settings.scaffold.open,
        "dataset": dataset.info if dataset else None,
        "budget": asdict(workbench.budget),
        "metric": asdict(workbench.metric),
        "limits": asdict(plan.limits),
        "baseline_key": workbench.baseline_key,
        "provenance": provenance(workbench.environment.identity),
    }
