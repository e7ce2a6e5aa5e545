"""Everything that an experiment needs before it begins: environment, data, keys, a new archive."""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
    """Return the plan of an experiment with these settings."""
    options = settings.options
    is_open = settings.scaffold.open
    return Plan(
        idea=settings.idea,
        scaffold=settings.scaffold,
        budget=Budget(
            epochs=settings.epochs,
            seed=options.seed,
            timeout=options.timeout,
            device=options.device,
            threads=cores(),
        ),
        metric=settings.metric,
        limits=StopLimits(runs=settings.runs, failures=options.max_failures),
        seeds=Seeds(
            control=1 if is_open else options.baseline_seeds,
            confirm=options.confirm_seeds,
        ),
        addable=addable(is_open, options.allow_packages),
    )


def make_workbench(settings: Settings, observer: Observer) -> Workbench:
    """Prepare environment and data, which are made on first need."""
    options = settings.options
    limits = ResourceLimits.given(options.memory, options.processes, options.disk)
    sandbox = find_sandbox(options.sandbox, options.network, limits)
    with observer.step("preparing the experiments' environment"):
        environment = _existing(settings) or ensure(settings.scaffold.requirements, observer.say)
    dataset = None
    if settings.dataset:
        with observer.step(f"preparing {settings.dataset}"):
            dataset = prepare(
                settings.dataset,
                environment.python,
                options.data_dir,
                options.train_size,
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
    """Return the environment, if it is there already."""
    return _existing(settings) or find_built(settings.scaffold.requirements)


def _existing(settings: Settings) -> Environment | None:
    """Return the environment of --python; an open scaffold imports what it likes."""
    python = settings.options.python
    if python is None:
        return None
    return existing(python, () if settings.scaffold.open else REQUIRED)


def serving(workbench: Workbench) -> AbstractContextManager[ForkServer | None]:
    """Return the server that starts the runs.

    An open scaffold may import what it likes, and starts by itself.
    """
    if workbench.scaffold.open:
        return nullcontext()
    modules: tuple[str, ...] = PRELOADED
    if workbench.sandbox.kind == "landlock":
        # There W&B can neither open its loopback connection nor keep its temporary files.
        modules = tuple(name for name in PRELOADED if "wandb" not in name)
    return ForkServer(workbench.environment.python, workbench.budget.threads, modules)


def control_seeds_of(plan: Plan, workbench: Workbench, runs: Path) -> ControlSeeds:
    """Return the control seeds that every experiment with this set-up shares."""
    first = plan.budget.seed
    seeds = tuple(range(first, first + plan.seeds.control))
    return ControlSeeds(runs, workbench.baseline_key, seeds)


def _baseline_key(
    settings: Settings,
    environment: Environment,
    dataset: Dataset | None,
) -> dict[str, Any]:
    """Return what decides the baseline's number."""
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
    """Return the key of an experiment: two commands with the same key are one experiment.

    It covers idea, model, runs, seeds, and whatever decides the baseline.
    """
    idea = settings.idea
    options = settings.options
    seeds = make_plan(settings).seeds
    models = [settings.model.identity, options.judge]
    budget = [settings.epochs, options.seed, asdict(seeds)]
    parts = [
        idea.title,
        idea.text,
        idea.settings,
        models,
        settings.runs,
        budget,
        workbench.baseline_key,
    ]
    text = json.dumps(parts, sort_keys=True, default=str)
    return short_hash(text)


def create(settings: Settings, workbench: Workbench) -> Archive:
    """Make a new archive with the idea and the workspace in it."""
    archive = new_experiment(settings.options.runs_dir, settings.idea.slug)
    dataset = workbench.dataset
    try:
        write_bytes(archive.idea, settings.idea.path.read_bytes())
        workspace = Workspace(archive.workspace)
        workspace.create(settings.scaffold, dataset.info if dataset else None)
        append_event(archive.events, "workspace", files=workspace.read())
        config = _config(settings, workbench)
        write_json(archive.config, config)  # last: from here on it is found again
    except Fault:
        # Nothing was asked or run: what is left would fill a full disk further.
        shutil.rmtree(archive.folder, ignore_errors=True)
        raise
    return archive


def _config(settings: Settings, workbench: Workbench) -> dict[str, Any]:
    """Return what config.json holds."""
    idea = settings.idea
    dataset = workbench.dataset
    plan = make_plan(settings)
    return {
        "key": experiment_key(settings, workbench),
        "idea": idea.title,
        "slug": idea.slug,
        "source": str(idea.path),
        "idea_sha": short_hash(idea.path.read_bytes()),
        "front_matter": idea.settings,
        "model": settings.model.name,
        "judge": settings.options.judge,
        "scaffold": str(settings.scaffold.folder),
        "asked": _request(settings),
        "seeds": asdict(plan.seeds),
        "open": settings.scaffold.open,
        "dataset": dataset.info if dataset else None,
        "budget": asdict(workbench.budget),
        "metric": asdict(workbench.metric),
        "limits": asdict(plan.limits),
        "baseline_key": workbench.baseline_key,
        "provenance": provenance(workbench.environment.identity),
    }


def _request(settings: Settings) -> dict[str, Any]:
    """Return what the user asked for, from which the same can be prepared again."""
    options = settings.options
    return {
        "dataset": settings.dataset,
        "train_size": options.train_size,
        "data_dir": str(options.data_dir or ""),
        "python": str(options.python or ""),
    }
