"""Settings -> everything that an experiment needs before it begins: environment, data, keys, a new archive."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

from agent.archive import Archive, new_experiment
from agent.baseline import Baseline
from agent.datasets import Dataset, prepare
from agent.environment import REQUIRED, Environment, ensure, existing, find_built
from agent.errors import Fault
from agent.files import append_event, write_bytes, write_json
from agent.forks import PRELOADED, ForkServer
from agent.plan import Limits, Plan, Seeds, Setup
from agent.preflight import find_sandbox
from agent.provenance import cores, device_name, provenance
from agent.report.console import progress, say
from agent.requirements import addable
from agent.run import Budget
from agent.sandbox import Limits as SandboxLimits
from agent.settings import Settings
from agent.workspace import Workspace


def make_plan(settings: Settings) -> Plan:
    options = settings.options
    budget = Budget(settings.epochs, options.seed, options.timeout, options.device, cores())
    seeds = Seeds(1 if settings.scaffold.open else options.baseline_seeds, options.confirm_seeds)
    limits = Limits(settings.runs, options.max_failures)
    return Plan(settings.idea, settings.scaffold, budget, settings.metric, limits, seeds,
                addable(settings.scaffold.open, options.allow_packages))  # fmt: skip


def make_setup(settings: Settings) -> Setup:
    """Environment and data, made on first need."""
    options, dataset = settings.options, None
    sandbox = find_sandbox(options.sandbox, options.network, SandboxLimits.given(options.memory, options.processes, options.disk))
    with progress("preparing the experiments' environment"):
        environment = _existing(settings) or ensure(settings.scaffold.requirements, say)
    if settings.dataset:
        with progress(f"preparing {settings.dataset}"):
            dataset = prepare(settings.dataset, environment.python, options.data_dir, options.train_size)
    return Setup(make_plan(settings), environment, dataset, _baseline_key(settings, environment, dataset), sandbox, announce=say)


def look_up(settings: Settings) -> Environment | None:
    """The environment, if it is there already."""
    return _existing(settings) or find_built(settings.scaffold.requirements)


def _existing(settings: Settings) -> Environment | None:
    """That of --python; an open scaffold imports what it likes."""
    python = settings.options.python
    return existing(python, () if settings.scaffold.open else REQUIRED) if python else None


def serving(setup: Setup) -> AbstractContextManager[ForkServer | None]:
    """The server that starts the runs; an open scaffold may import what it likes, and starts by itself."""
    if setup.plan.scaffold.open:
        return nullcontext()
    # Under Landlock W&B can neither open its loopback connection nor keep its temporary files.
    modules = tuple(name for name in PRELOADED if setup.sandbox.kind != "landlock" or "wandb" not in name)
    return ForkServer(setup.environment.python, setup.plan.budget.threads, modules)


def baseline_of(setup: Setup, runs: Path) -> Baseline:
    """The control seeds that every experiment with this set-up shares."""
    first = setup.plan.budget.seed
    return Baseline(runs, setup.baseline_key, tuple(range(first, first + setup.plan.seeds.control)))


def _baseline_key(settings: Settings, environment: Environment, dataset: Dataset | None) -> dict:
    """What decides the baseline's number."""
    return {
        "scaffold": settings.scaffold.fingerprint, "split": dataset.info["split"] if dataset else None,
        "epochs": settings.epochs, "device": device_name(settings.options.device),
        "metric": asdict(settings.metric), "environment": environment.key, "packages": environment.packages,
    }  # fmt: skip


def experiment_key(settings: Settings, setup: Setup) -> str:
    """Two commands with the same key are one experiment: idea, model, runs, seed, and whatever decides the baseline."""
    idea = settings.idea
    budget = [settings.epochs, settings.options.seed, asdict(setup.plan.seeds)]
    models = [settings.model.identity, settings.options.judge]
    parts = [idea.title, idea.text, idea.settings, models, settings.runs, budget, setup.baseline_key]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def create(settings: Settings, setup: Setup) -> Archive:
    """A new archive with the idea and the workspace in it."""
    archive = new_experiment(settings.options.runs_dir, settings.idea.slug)
    try:
        write_bytes(archive.idea, settings.idea.path.read_bytes())
        workspace = Workspace(archive.workspace)
        workspace.create(settings.scaffold, setup.dataset.info if setup.dataset else None)
        append_event(archive.events, "workspace", files=workspace.read())
        write_json(archive.config, _config(settings, setup))  # last: from here on it is found again
    except Fault:
        shutil.rmtree(archive.folder, ignore_errors=True)  # nothing was asked or run: what is left would fill a full disk further
        raise
    return archive


def _config(settings: Settings, setup: Setup) -> dict:
    dataset, options, idea = setup.dataset, settings.options, settings.idea
    return {
        "key": experiment_key(settings, setup), "idea": idea.title, "slug": idea.slug, "source": str(idea.path),
        "idea_sha": hashlib.sha256(idea.path.read_bytes()).hexdigest()[:16], "front_matter": idea.settings,
        "model": settings.model.name, "judge": options.judge, "scaffold": str(settings.scaffold.folder),
        "asked": {"dataset": settings.dataset, "train_size": options.train_size, "data_dir": str(options.data_dir or ""),
                  "python": str(options.python or "")}, "seeds": asdict(setup.plan.seeds),
        "open": settings.scaffold.open, "dataset": dataset.info if dataset else None, "budget": asdict(setup.plan.budget),
        "metric": asdict(setup.plan.metric), "limits": asdict(setup.plan.limits),
        "baseline_key": setup.baseline_key, "provenance": provenance(setup.environment),
    }  # fmt: skip
