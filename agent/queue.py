"""Many ideas, one after the other: found again, resumed, skipped when finished; a failed one does not stop the rest."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from agent.archive import Archive, RunFolder, experiment_lock, experiments
from agent.baseline import Baseline
from agent.coder import AiderCoder, Answer
from agent.datasets import find_prepared
from agent.errors import Fault, UserError, record_bug
from agent.experiment import Experiment
from agent.files import append_event, read_events, read_json
from agent.idea import Idea, find_ideas
from agent.judge import criteria_of
from agent.locks import locked
from agent.plan import Setup, start_prompt
from agent.prepare import baseline_of, create, experiment_key, look_up, make_plan, make_setup, serving
from agent.provenance import commit
from agent.queue_state import recorded
from agent.report.console import progress, say, show
from agent.report.tables import data_line, experiment_table, run_line
from agent.report.verdicts import detectable_line, verdict_block
from agent.report.writing import write_overview, write_reports
from agent.run import Run
from agent.settings import SESSION_NOTE, Options, Settings, decide
from agent.spending import spent
from agent.training import train_baseline
from agent.verdict_file import load_verdict
from agent.wandb_sync import upload
from agent.workspace import Workspace


def run_all(queue: list[Settings], debug: bool = False) -> int:
    """Carry out every experiment. 0: each reached its end; 1: one did not; 2: none could begin, for what the user gave."""
    codes, archives = list[int](), list[Archive]()
    with recorded(queue[0].options.runs_dir, [settings.idea for settings in queue]) as record:
        for number, settings in enumerate(queue):
            note = partial(record.note, number)
            code, stopped_by = _try_one(settings, archives, note, debug)
            note(code=code, stopped_by=stopped_by)
            codes.append(code)
    return 2 if set(codes) == {2} else int(any(codes))


def _try_one(settings: Settings, archives: list[Archive], note: Callable[..., None], debug: bool) -> tuple[int, str]:
    """Its exit code, and what stopped it ('' for nothing)."""
    before = len(archives)
    try:
        _run_one(settings, archives, note)
    except UserError as error:
        say(f"{settings.idea.path}: {error}", error=True)
        return 2, str(error)
    except Fault as fault:
        say(f"{settings.idea.path}: stopped by a fault: {fault}")
        say("  nothing is lost: once that is mended, the same command goes on from here")
        _report(archives[before:], settings.options.runs_dir)
        return 1, str(fault)
    except Exception:  # a bug of ours in one experiment; the others are not to blame
        said = record_bug(debug)
        say(f"{settings.idea.path}: {said}", error=True)
        return 1, said
    return 0, ""


def _report(archives: list[Archive], runs: Path) -> None:
    for archive in archives:
        for problem in write_reports(archive, runs):
            say(f"  {problem}")


def _run_one(settings: Settings, archives: list[Archive], note: Callable[..., None]) -> None:
    """One experiment, from finding its archive to its verdict."""
    say(f"{settings.idea.title}  ({settings.idea.path})")
    if settings.model.replies is not None:
        say(f"  {settings.model.name}" + (f"  ({SESSION_NOTE})" if settings.shipped_session else ""))
    setup, folder = make_setup(settings), settings.options.runs_dir / settings.idea.slug
    key = experiment_key(settings, setup)
    note(key=key)
    with locked(experiment_lock(folder, key)) as mine:
        if not mine:
            raise Fault("busy", f"another process is working on this experiment in {folder}")
        archive = None if settings.options.fresh else _find(settings, key)
        if archive and is_finished(archive):
            say("  finished earlier; --fresh runs it again")
        else:
            with serving(setup) as server:
                archive = _conduct(settings, replace(setup, server=server), archive, archives)
        _report([archive], settings.options.runs_dir)
    show(experiment_table(archive))
    if verdict := load_verdict(archive):
        say(verdict_block(verdict))
    say(f"  python launch.py review {archive.folder}")
    say(f"  {archive.report}")


def _conduct(settings: Settings, setup: Setup, found: Archive | None, archives: list[Archive]) -> Archive:
    """Begin an experiment, or go on with the one that was found; returns its archive."""
    if setup.dataset:
        say(f"  {data_line(setup.dataset.info)}")
    if setup.sandbox.kind != "bwrap" or setup.sandbox.network:
        say(f"  sandbox: {setup.sandbox.described}")
    archive = found or create(settings, setup)
    archives.append(archive)

    def cost_left() -> float | None:
        cap, costs = settings.options.max_cost, [spent(one)[0] for one in archives]
        return None if cap is None else cap - sum(math.inf if cost is None else cost for cost in costs)  # unknown is not nothing

    with progress("waiting for a reply that an earlier command asked for"):
        coder = AiderCoder(archive, Workspace(archive.workspace).editable, settings.model, cost_left)
    try:
        with progress("starting the coder"):
            unpriced = coder.ready()
        if settings.options.max_cost is not None and unpriced:
            way = "give it with --price IN,OUT" if settings.model.name in unpriced else "name a judge with a known price"
            raise UserError(f"--max-cost cannot be kept: the price of {' and '.join(unpriced)} is unknown; {way}")
        append_event(archive.events, "sitting", **_sitting(settings, setup))
        if problem := write_overview(settings.options.runs_dir):
            say(f"  {problem}")
        baseline = baseline_of(setup, settings.options.runs_dir)
        train_missing(setup, baseline)
        experiment = Experiment(setup, archive, baseline, coder, progress, cost_left, lambda run: say(run_line(run, settings.metric)))
        say(f"  stopped: {experiment.conduct().value}")
        for problem in upload(archive, setup.environment):
            say(f"  {problem}")
    except UserError:
        if not found:  # nothing was asked or run: an archive of nothing would only be in the way
            shutil.rmtree(archive.folder, ignore_errors=True)
        raise
    except Fault as fault:
        _note_fault(archive, fault)
        raise
    finally:
        coder.close()
    return archive


def train_missing(setup: Setup, baseline: Baseline) -> None:
    """Train the control seeds that nobody has trained yet, and say what the set-up can tell before any idea is run."""
    if missing := baseline.missing:
        say(f"  baseline: training {len(missing)} of {len(baseline.seeds)} seeds, once for every idea with this set-up")

    def make(folder: RunFolder, seed: int) -> Run:
        with progress(f"baseline, seed {seed}", folder):
            return train_baseline(setup, folder, seed)

    runs = baseline.ensure(make)
    if not setup.plan.scaffold.open:
        say(f"  {detectable_line(baseline, runs, setup.plan.seeds.confirm)}")


def _sitting(settings: Settings, setup: Setup) -> dict[str, Any]:
    """What this command may change in an experiment that goes on, and with which Assay."""
    plan = setup.plan
    return {"limits": asdict(plan.limits), "budget": asdict(plan.budget), "max_cost": settings.options.max_cost,
            "addable": sorted(plan.addable), "sandbox": asdict(setup.sandbox), "commit": commit()}  # fmt: skip


def _find(settings: Settings, key: str) -> Archive | None:
    """The newest experiment of this idea with this key."""
    folder = settings.options.runs_dir / settings.idea.slug
    for archive in reversed(experiments(settings.options.runs_dir)):
        if archive.folder.parent == folder and _key_of(archive) == key:
            return archive
    return None


def _key_of(archive: Archive) -> str | None:
    """None, and a line that says so, where an experiment cannot be told from others any more."""
    try:
        return str(read_json(archive.config).get("key"))
    except Fault as fault:
        say(f"  {fault}: this experiment cannot be gone on with")
        return None


def _note_fault(archive: Archive, fault: Fault) -> None:
    """In the archive, if that can still be written: a full disk must not hide what went wrong."""
    try:
        append_event(archive.events, "fault", kind=fault.kind, detail=fault.detail)
    except Fault:
        pass


def train_baselines(paths: list[Path], options: Options) -> int:
    """`launch.py baseline`: the control's seeds for the set-up of these ideas; without one, of the options alone."""
    ideas = find_ideas(paths) if paths else [Idea(Path("baseline.md"), "Baseline", "The scaffold as it is.")]
    for idea in ideas:
        settings = decide(idea, replace(options, dry_run=True))  # no model is needed
        setup = make_setup(settings)
        if setup.plan.scaffold.open:
            raise UserError(f"{settings.scaffold.folder}: an open scaffold has no control that could be trained without an experiment")
        assert setup.dataset
        say(f"{idea.title}: {data_line(setup.dataset.info)}")
        with serving(setup) as server:
            baseline = baseline_of(setup, options.runs_dir)
            train_missing(replace(setup, server=server), baseline)
        say(f"  {baseline.folder}")
    return 0


def is_finished(archive: Archive) -> bool:
    """Whether nothing is left to do: the verdict was written after everything else, and is still there."""
    events = [event["event"] for event in read_events(archive.events) if event["event"] != "sitting"]
    return bool(events) and events[-1] == "verdict" and archive.verdict.exists()


def dry_run(queue: Iterable[Settings]) -> int:
    """Print the plan and the first prompt of every experiment. Builds, downloads, asks and keeps nothing."""
    for settings in queue:
        options = settings.options
        dataset = find_prepared(settings.dataset, options.train_size) if settings.dataset else None
        data = f"{settings.dataset or 'its own data'}{'' if dataset or not settings.dataset else ' (not prepared yet)'}"
        say(f"{settings.idea.path}: baseline and {settings.runs} runs, {settings.epochs} epochs each, on {data}; "
            f"model {settings.model.name}; archive under {options.runs_dir / settings.idea.slug}\n")  # fmt: skip
        criteria = criteria_of(settings.idea, lambda purpose, prompt: Answer(None))
        say(start_prompt(make_plan(settings), look_up(settings), dataset, criteria, None, None))
    return 0
