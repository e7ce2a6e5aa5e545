"""One idea carried from prompt to result: the loop, and nothing else.

The state is events.jsonl. A cycle has two points that survive a kill: the edit, whose event holds the edited files and
the conversation; and the attempt, whose folder gets its final name when it is whole. What was under way between two
points is kept as run_N.interrupted_K and made again, with the recorded replies.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from agent.archive import FAILED, FOREIGN, INTERRUPTED, Archive, RunFolder, rename
from agent.baseline import SharedBaseline
from agent.coder import Coder, Reply
from agent.datasets import check_intact
from agent.errors import Fault
from agent.files import append_event, copy_files, free_bytes, read_events, write_json, write_text
from agent.gate import Candidate, inspect
from agent.plan import Plan, Setup, StopReason, start_prompt
from agent.prompts import render
from agent.run import (
    Run,
    RunStatus,
    environment_variables,
    implausible,
    load_run,
    out_dir_arguments,
    own_values,
    read_run,
    sampling_noise,
    train,
)
from agent.runner import kill_tree
from agent.text import fence
from agent.workspace import MAIN, Workspace, diff

MIN_FREE_BYTES = 64 * 2**20
FILLER = "I updated the files."  # Aider puts it into the conversation in the user's name
IDLE_REPLIES = 2  # in a row that change nothing: the coder has given up
Progress = Callable[[str, "RunFolder | None"], AbstractContextManager[Any]]  # around one step: its name, what it fills


@dataclass(frozen=True)
class Experiment:
    """The loop over one archive."""

    setup: Setup
    archive: Archive
    coder: Coder
    progress: Progress
    cost_left: Callable[[], float | None]  # US dollars; None: no cap
    tell: Callable[[Run], None]  # called with the baseline and with every attempt when it is kept

    def conduct(self) -> StopReason:
        """Baseline, then edit, gate, run, read, until something says stop. Goes on where a killed one was."""
        self._prepare()
        while not (reason := self._stop_reason()):
            edit = self._open_edit() or self._edit()
            if edit["attempt"]:
                self._keep(self._attempt(edit))
        append_event(self.archive.events, "stopped", reason=reason.value)
        return reason

    # ---- the steps -----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Workspace and run_0, and after a kill whatever was made but not said."""
        archive = self.archive
        kill_tree(archive.folder)
        self.workspace.write(self._events("workspace", "edit")[-1]["files"])
        if not self._events("baseline"):
            copied = archive.run(0).folder.exists()  # but a kill came before it was said
            baseline = load_run(archive.run(0)) if copied else self._ensure_baseline()
            append_event(archive.events, "baseline", value=baseline.value)
            self.tell(baseline)
        if edit := self._open_edit():
            self._adopt(edit["number"])

    def _adopt(self, number: int) -> None:
        """Say the attempt at run `number` that was finished when a kill came; no more than one can be."""
        pending, said = self.archive.pending(number), {event["folder"] for event in self._events("attempt")}
        if pending.folder.exists():  # then nothing else of this number is ours
            if pending.result.is_file():
                self._keep(load_run(pending))
            return
        failed = map(RunFolder, sorted(self.archive.folder.glob(f"run_{number}.{FAILED}_*")))
        for folder in (self.archive.run(number), *failed):
            if folder.result.is_file() and folder.folder.name not in said:
                return self._say(load_run(folder))

    def _edit(self) -> dict[str, Any]:
        """One turn of the coder. Its event holds all that is needed to go on from here."""
        turn, before = len(self._events("edit")) + 1, self.workspace.fingerprint()
        with self.progress(f"run {self._number}: waiting for the coder", None):
            reply = self.coder.edit(turn, self._prompt())
        if reply.status == "cost_limit":  # the turn is not done: a later command with a higher cap repeats it
            return {"attempt": False}
        changed = self.workspace.fingerprint() != before
        done = reply.status == "session_ended" or (reply.completed and bool(self._successes()))
        fields = {name: getattr(reply, name) for name in Reply.__dataclass_fields__ if name != "messages"}
        append_event(self.archive.events, "edit", turn=turn, number=self._number, attempt=changed or not done, changed=changed,
                     completed=reply.completed, **fields, files=self.workspace.read(), messages=reply.messages)  # fmt: skip
        return self._events("edit")[-1]

    def _attempt(self, edit: dict[str, Any]) -> Run:
        """An edit that changed nothing fails; so does one that the gate stops; the rest is run."""
        number, setup, folder = edit["number"], self.setup, self._pending(edit)
        if not edit["changed"]:
            return Run(number, RunStatus.NO_EDIT, "", message=render("no_edit.md.j2", edit=edit, editable=self.workspace.editable))
        candidate = Candidate(self.workspace, self.plan.scaffold, self.archive.run(0).code, folder, setup.environment,
                              setup.dataset, self.plan.budget)  # fmt: skip
        with self.progress(f"run {number}: gate", None):
            report = inspect(candidate)
        if (failed := report.failed) and failed.status:
            return Run(number, failed.status, "", message=failed.message, seconds=report.seconds)
        return self._train(number, folder, arm="idea")

    def _train(self, number: int, folder: RunFolder, arm: str) -> Run:
        setup = self.setup
        copy_files(folder.code, folder.work)
        variables = environment_variables(setup.dataset, self.plan.budget, arm=arm) | self._wandb(number)
        arguments: tuple[str, ...] = ()
        if self.plan.scaffold.open:
            arguments = out_dir_arguments(folder.work / MAIN)
            if setup.dataset and not (folder.work / "data").exists():
                (folder.work / "data").symlink_to(setup.dataset.arrays, target_is_directory=True)
        with self.progress(f"run {number}: training", folder):
            execution = train(folder, setup.environment, self.plan.budget, variables, arguments=arguments)
        if setup.dataset:
            check_intact(setup.dataset)
        if not execution.ok and free_bytes(folder.folder) < MIN_FREE_BYTES:
            raise Fault("disk", f"{folder.folder}: less than {MIN_FREE_BYTES >> 20} MiB free, so the run says nothing about its code")
        run = read_run(number, folder, execution, self.plan.metric, timeout=self.plan.budget.timeout)
        if run.ok and not self.plan.scaffold.open and (problem := implausible(run.metrics, self.plan.budget)):
            run = replace(run, status=RunStatus.NO_RESULT, metrics={}, value=None, message=problem)
        return replace(run, self_reported=self.plan.scaffold.open, variables=variables)

    def _ensure_baseline(self) -> Run:
        shared = SharedBaseline(self.archive.folder.parent.parent, self.setup.baseline_key, self.plan.budget.seed)
        return shared.ensure(self._train_baseline, self.archive.run(0))

    def _train_baseline(self, folder: RunFolder) -> Run:
        copy_files(self.workspace.folder, folder.code)
        return self._train(0, folder, arm="control")

    def _keep(self, run: Run) -> None:
        """Write the result, give the attempt its final name, say so. A kill between these is mended by _prepare."""
        pending = self.archive.pending(run.number)
        target = self.archive.run(run.number) if run.ok else self.archive.unused(run.number, FAILED)
        if target.folder.exists():  # some program put it there; it is kept, but not in this run's place
            rename(target, self.archive.unused(run.number, FOREIGN))
        run = replace(run, folder=target.folder.name)
        write_json(pending.result, run.save())
        rename(pending, target)
        self._say(run)

    def _say(self, run: Run) -> None:
        append_event(self.archive.events, "attempt", number=run.number, folder=run.folder, status=run.status.value, value=run.value)
        self.tell(run)

    # ---- what the archive says -----------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        return self.setup.plan

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.archive.workspace)

    @property
    def _number(self) -> int:
        """Of the run that is being worked on."""
        return len(self._successes()) + 1

    def _events(self, *names: str) -> list[dict[str, Any]]:
        return [event for event in read_events(self.archive.events) if event["event"] in names]

    def _successes(self) -> list[dict[str, Any]]:
        return [event for event in self._events("attempt") if event["status"] == RunStatus.SUCCESS]

    def _failures_in_a_row(self) -> int:
        return _trailing(self._events("attempt"), lambda attempt: attempt["status"] != RunStatus.SUCCESS)

    def _open_edit(self) -> dict[str, Any] | None:
        """An edit whose attempt was not finished, of an earlier process."""
        last = self._events("edit", "attempt")[-1:]
        return last[0] if last and last[0]["event"] == "edit" and last[0]["attempt"] else None

    def _stop_reason(self) -> StopReason | None:
        attempts, edits = self._events("attempt"), self._events("edit")
        if edits and not edits[-1]["attempt"]:
            return StopReason.SESSION_ENDED if edits[-1]["status"] == "session_ended" else StopReason.COMPLETED
        if self._open_edit():
            return None
        if len(self._successes()) >= self.plan.limits.runs:
            return StopReason.RUN_LIMIT
        if edits and edits[-1]["completed"] and attempts[-1]["status"] == RunStatus.SUCCESS:
            return StopReason.COMPLETED
        if _trailing(attempts, lambda attempt: attempt["status"] == RunStatus.NO_EDIT) >= IDLE_REPLIES:
            return StopReason.NO_EDIT
        if self._failures_in_a_row() >= self.plan.limits.failures:
            return StopReason.FAILURE_LIMIT
        left = self.cost_left()
        return StopReason.COST_LIMIT if left is not None and left <= 0 else None

    def _prompt(self) -> str:
        """What the coder is told next: the idea first, then what came of its last edit."""
        attempts = self.archive.attempts()
        baseline, last = load_run(self.archive.run(0)), load_run(attempts[-1]) if attempts else None
        if last is None:
            return start_prompt(self.plan, self.setup.dataset, baseline.value, baseline.seconds)
        if last.ok:
            runs = [baseline, *(run for run in map(load_run, attempts) if run.ok)]
            return render(
                "after_run.md.j2",
                plan=self.plan,
                baseline=baseline,
                runs=runs,
                number=self._number,
                noise=self._noise(baseline),
                logged=own_values(last),
            )
        left = self.plan.limits.failures - self._failures_in_a_row()
        return render("after_failure.md.j2", plan=self.plan, run=last, left=left, message=fence(last.message))

    def _noise(self, baseline: Run) -> float | None:
        dataset = self.setup.dataset
        return None if dataset is None or self.plan.scaffold.open else sampling_noise(baseline.value, dataset.info["val_count"])

    def _pending(self, edit: dict[str, Any]) -> RunFolder:
        """A new folder with the edited code, the prompt, the replies and the diff; an unfinished one is set aside."""
        number = edit["number"]
        folder = self.archive.pending(number)
        if folder.folder.exists():
            rename(folder, self.archive.unused(number, INTERRUPTED))
        copy_files(self.workspace.folder, folder.code)
        asked = [message["content"] for message in edit["messages"] if message["role"] == "user" and message["content"] != FILLER]
        write_text(folder.prompt, "\n\n---\n\n".join(asked))
        write_text(folder.reply, edit["text"])
        write_text(folder.diff, diff(self.archive.run(number - 1).code, folder.code))
        return folder

    def _wandb(self, number: int) -> dict[str, str]:
        slug = self.plan.idea.slug
        return {"WANDB_PROJECT": "assay", "WANDB_NAME": f"{slug} run {number}", "WANDB_RUN_GROUP": f"{slug} {self.archive.folder.name}",
                "WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}  # fmt: skip


def _trailing(items: list[dict[str, Any]], test: Callable[[dict[str, Any]], bool]) -> int:
    """How many items at the end pass the test."""
    return next((count for count, item in enumerate(reversed(items)) if not test(item)), len(items))
