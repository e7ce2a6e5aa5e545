"""Many ideas, one after the other: found again, resumed, skipped when finished; a failed one does not stop the rest."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from agent.archive import Archive, experiments, new_experiment
from agent.coder import AiderCoder
from agent.datasets import Dataset, find_prepared, prepare
from agent.environment import REQUIRED, Environment, ensure, existing
from agent.errors import Fault, UserError, record_bug
from agent.experiment import Experiment
from agent.files import append_event, locked, read_events, read_json, write_bytes, write_json
from agent.plan import Limits, Plan, Setup, StopReason, start_prompt
from agent.provenance import commit, cores, provenance
from agent.report.console import console, progress, say, show
from agent.report.tables import experiment_table, run_line
from agent.run import Budget
from agent.settings import SESSION_NOTE, Settings
from agent.wandb_sync import upload
from agent.workspace import Workspace


def run_all(queue: list[Settings], debug: bool = False) -> int:
    """Carry out every experiment. 0: each reached its end; 1: one did not; 2: none could begin, for what the user gave."""
    codes, archives = list[int](), list[Archive]()
    for settings in queue:
        try:
            _run_one(settings, archives)
            codes.append(0)
        except UserError as error:
            say(f"{settings.idea.path}: {error}", error=True)
            codes.append(2)
        except Fault as fault:
            say(f"{settings.idea.path}: stopped by a fault: {fault}")
            say("  nothing is lost: once that is mended, the same command goes on from here")
            codes.append(1)
        except Exception:  # a bug of ours in one experiment; the others are not to blame
            say(f"{settings.idea.path}: {record_bug(debug)}", error=True)
            codes.append(1)
    return 2 if set(codes) == {2} else int(any(codes))


def _run_one(settings: Settings, archives: list[Archive]) -> None:
    """One experiment, from finding its archive to its table."""
    say(f"{settings.idea.title}  ({settings.idea.path})")
    if settings.model.replies is not None:
        say(f"  {settings.model.name}" + (f"  ({SESSION_NOTE})" if settings.shipped_session else ""))
    setup, folder = make_setup(settings), settings.options.runs_dir / settings.idea.slug
    key = experiment_key(settings, setup)
    with locked(folder / f".{key}.lock") as mine:
        if not mine:
            raise Fault("busy", f"another process is working on this experiment in {folder}")
        archive = None if settings.options.fresh else _find(settings, key)
        if archive and (reason := stop_reason(archive)) and reason != StopReason.COST_LIMIT:
            say(f"  finished earlier ({reason}); --fresh runs it again")
        else:
            archive = _conduct(settings, setup, archive, archives)
    show(experiment_table(archive, console().width))
    say(f"  python launch.py review {archive.folder}")


def _conduct(settings: Settings, setup: Setup, found: Archive | None, archives: list[Archive]) -> Archive:
    """Begin an experiment, or go on with the one that was found; returns its archive."""
    archive = found or _create(settings, setup)
    archives.append(archive)

    def cost_left() -> float | None:
        cap, costs = settings.options.max_cost, [cost_of(one) for one in archives]
        return None if cap is None else cap - sum(math.inf if cost is None else cost for cost in costs)  # unknown is not nothing

    coder = AiderCoder(archive, Workspace(archive.workspace).editable, settings.model, cost_left)
    try:
        with progress("starting the coder"):
            priced = coder.ready()
        if settings.options.max_cost is not None and not priced:
            raise UserError(f"--max-cost cannot be kept: the price of {settings.model.name} is unknown; give it with --price IN,OUT")
        append_event(archive.events, "sitting", **_sitting(settings, setup))
        reason = Experiment(setup, archive, coder, progress, cost_left, lambda run: say(run_line(run, settings.metric))).conduct()
        say(f"  stopped: {reason.value}")
        for problem in upload(archive, setup.environment):
            say(f"  {problem}")
    except UserError:
        if not found:  # nothing was asked or run: an archive of nothing would only be in the way
            shutil.rmtree(archive.folder, ignore_errors=True)
        raise
    except Fault as fault:
        append_event(archive.events, "fault", kind=fault.kind, detail=fault.detail)
        raise
    finally:
        coder.close()
    return archive


def _sitting(settings: Settings, setup: Setup) -> dict[str, Any]:
    """What this command may change in an experiment that goes on, and with which Assay."""
    plan = setup.plan
    return {"limits": asdict(plan.limits), "budget": asdict(plan.budget), "max_cost": settings.options.max_cost, "commit": commit()}


def make_plan(settings: Settings) -> Plan:
    options = settings.options
    budget = Budget(settings.epochs, options.seed, options.timeout, options.device, cores())
    return Plan(settings.idea, settings.scaffold, budget, settings.metric, Limits(settings.runs, options.max_failures))


def make_setup(settings: Settings) -> Setup:
    """Environment and data, made on first need."""
    options, dataset = settings.options, None
    with progress("preparing the experiments' environment"):
        if options.python:  # an open scaffold imports what it likes
            environment = existing(options.python, () if settings.scaffold.open else REQUIRED)
        else:
            environment = ensure(settings.scaffold.requirements, say)
    if settings.dataset:
        with progress(f"preparing {settings.dataset}"):
            dataset = prepare(settings.dataset, environment.python, options.data_dir, options.train_size)
    return Setup(make_plan(settings), environment, dataset, _baseline_key(settings, environment, dataset))


def _baseline_key(settings: Settings, environment: Environment, dataset: Dataset | None) -> dict:
    """What decides the baseline's number."""
    return {
        "scaffold": settings.scaffold.fingerprint, "split": dataset.info["split"] if dataset else None,
        "epochs": settings.epochs, "device": settings.options.device,
        "metric": asdict(settings.metric), "environment": environment.key, "packages": environment.packages,
    }  # fmt: skip


def experiment_key(settings: Settings, setup: Setup) -> str:
    """Two commands with the same key are one experiment: idea, model, runs, seed, and whatever decides the baseline."""
    idea = settings.idea
    budget = [settings.epochs, settings.options.seed]
    parts = [idea.title, idea.text, idea.settings, settings.model.identity, settings.runs, budget, setup.baseline_key]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _find(settings: Settings, key: str) -> Archive | None:
    """The newest experiment of this idea with this key."""
    folder = settings.options.runs_dir / settings.idea.slug
    found = [archive for archive in experiments(settings.options.runs_dir) if archive.folder.parent == folder]
    return next((archive for archive in reversed(found) if _key_of(archive) == key), None)


def _key_of(archive: Archive) -> str | None:
    try:
        return str(read_json(archive.config).get("key"))
    except Fault:
        return None  # damaged: it cannot be gone on with, and `review` says so


def _create(settings: Settings, setup: Setup) -> Archive:
    """A new archive with the idea and the workspace in it."""
    archive = new_experiment(settings.options.runs_dir, settings.idea.slug)
    write_bytes(archive.idea, settings.idea.path.read_bytes())
    workspace = Workspace(archive.workspace)
    workspace.create(settings.scaffold, setup.dataset.info if setup.dataset else None)
    append_event(archive.events, "workspace", files=workspace.read())
    write_json(archive.config, _config(settings, setup))  # last: from here on it is found again
    return archive


def _config(settings: Settings, setup: Setup) -> dict:
    dataset = setup.dataset
    return {
        "key": experiment_key(settings, setup), "idea": settings.idea.title, "source": str(settings.idea.path),
        "front_matter": settings.idea.settings, "model": settings.model.name, "scaffold": str(settings.scaffold.folder),
        "open": settings.scaffold.open, "dataset": dataset.info if dataset else None, "budget": asdict(setup.plan.budget),
        "metric": asdict(setup.plan.metric), "limits": asdict(setup.plan.limits),
        "baseline_key": setup.baseline_key, "sandbox": "none", "provenance": provenance(setup.environment),
    }  # fmt: skip


def stop_reason(archive: Archive) -> str | None:
    """Why an experiment ended; None where it has not."""
    events = [event for event in read_events(archive.events) if event["event"] in ("stopped", "edit", "attempt", "fault")]
    return events[-1]["reason"] if events and events[-1]["event"] == "stopped" else None


def cost_of(archive: Archive) -> float | None:
    """US dollars that the replies of an experiment cost, those of unfinished turns too; None where a price is unknown."""
    costs: list[Any] = [line.get("cost") for line in read_events(archive.session) if "reply" in line and not line.get("replayed")]
    return None if None in costs else float(sum(costs))


def dry_run(queue: Iterable[Settings]) -> int:
    """Print the plan and the first prompt of every experiment. Builds, downloads, asks and keeps nothing."""
    for settings in queue:
        options = settings.options
        dataset = find_prepared(settings.dataset, options.train_size) if settings.dataset else None
        data = f"{settings.dataset or 'its own data'}{'' if dataset or not settings.dataset else ' (not prepared yet)'}"
        say(f"{settings.idea.path}: baseline and {settings.runs} runs, {settings.epochs} epochs each, on {data}; "
            f"model {settings.model.name}; archive under {options.runs_dir / settings.idea.slug}\n")  # fmt: skip
        say(start_prompt(make_plan(settings), dataset, None, None))
    return 0
