"""One idea carried from prompt to result: the loop, and nothing else.

The state is events.jsonl. A cycle has two points that survive a kill: the edit, whose event holds the edited files and
the conversation; and the attempt, whose folder gets its final name when it is whole. What was under way between two
points is kept as run_N.interrupted_K and made again, with the recorded replies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from agent.archive.control_seeds import ControlSeeds
from agent.archive.gate_report import Facts, load_facts
from agent.archive.judgement import Criteria, Judgement
from agent.archive.paths import FAILED, FOREIGN, INTERRUPTED, Archive, RunFolder, rename
from agent.archive.run import Run, RunStatus, load_run, own_values
from agent.coder.base import Coder, Reply
from agent.execution.local import kill_tree
from agent.execution.training import Training, train_and_score
from agent.execution.workbench import Workbench
from agent.experiment.conclude import conclude
from agent.experiment.confirm import Confirmation
from agent.experiment.controls import copy_seed
from agent.experiment.criteria import criteria_of
from agent.experiment.plan import Plan, StopReason
from agent.experiment.prompts import start_prompt
from agent.gate.checks import Candidate, inspect, smoke_baseline
from agent.gate.judge import JudgedCode, judge
from agent.task.scaffold import Workspace
from agent.util.diff import diff
from agent.util.errors import Fault
from agent.util.files import (
    append_event,
    copy_files,
    read_events,
    read_json,
    sync_tree,
    write_json,
    write_text,
)
from agent.util.observer import Observer
from agent.util.templates import render
from agent.util.text import fence
from agent.verdict.chance import sampling_noise

FILLER = "I updated the files."  # Aider puts it into the conversation in the user's name
IDLE_REPLIES = 2  # in a row that change nothing: the coder has given up


@dataclass(frozen=True)
class Experiment:
    """The loop over one archive."""

    plan: Plan
    workbench: Workbench
    archive: Archive
    baseline: ControlSeeds  # its seeds are trained
    coder: Coder
    observer: Observer
    cost_left: Callable[[], float | None]  # US dollars; None: no cap
    tell: Callable[[Run], None]  # called with the baseline and with every run when it is kept

    def conduct(self) -> StopReason:
        """Baseline, criteria, then edit, gate, run, read, until something says stop; then confirm and decide."""
        self._prepare()
        while not (reason := self._stop_reason()):
            edit = self._open_edit() or self._edit()
            if edit["attempt"]:
                self._keep(self._attempt(edit))
        append_event(self.archive.events, "stopped", reason=reason.value)
        if reason is not StopReason.COST_LIMIT:  # which a later command may lift, and go on
            if not self.plan.scaffold.open:
                Confirmation(
                    self.workbench,
                    self.archive,
                    self.baseline,
                    self.plan.seeds.confirm,
                    self.observer,
                    self.tell,
                ).conduct()
            conclude(self.archive, self.coder.ask, self.observer)
        return reason

    # ---- the steps -----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Workspace, baseline and criteria, and after a kill whatever was made but not said."""
        archive = self.archive
        kill_tree(archive.folder)
        if not (edited := self._events("workspace", "edit")):
            raise Fault("archive", f"{archive.events}: its beginning is gone")
        self.workspace.write(edited[-1]["files"])
        if not self._events("baseline"):
            self._start_from_the_baseline()
        if not archive.criteria.is_file():
            criteria = (
                Criteria()
                if self.plan.scaffold.open
                else criteria_of(self.plan.idea, self.coder.ask)
            )  # no judge reads those
            write_json(archive.criteria, criteria.as_dict())
        if edit := self._open_edit():
            self._adopt(edit["number"])

    def _start_from_the_baseline(self) -> None:
        """The first control seed becomes run_0, with the trace that the gate compares with."""
        run_0 = self.archive.run(0)
        if not run_0.folder.exists():  # else a kill came before it was said
            copy_seed(self.baseline, self.baseline.seeds[0], run_0, scored=False)
        baseline = load_run(run_0)
        if not self.plan.scaffold.open and (problem := smoke_baseline(self.workbench, run_0)):
            raise Fault("baseline", f"a few steps of the scaffold as it is fail:\n{problem}")
        sync_tree(run_0.gate.parent)  # every attempt is compared with this trace
        append_event(self.archive.events, "baseline", value=baseline.value)
        self.tell(baseline)

    def _adopt(self, number: int) -> None:
        """Say the attempt at run `number` that was finished when a kill came; no more than one can be."""
        pending, said = (
            self.archive.pending(number),
            {event["folder"] for event in self._events("attempt")},
        )
        if pending.folder.exists():  # then nothing else of this number is ours
            return self._keep(load_run(pending)) if pending.result.is_file() else None
        failed = map(RunFolder, sorted(self.archive.folder.glob(f"run_{number}.{FAILED}_*")))
        for folder in (self.archive.run(number), *failed):
            if folder.result.is_file() and folder.folder.name not in said:
                return self._say(load_run(folder))

    def _edit(self) -> dict[str, Any]:
        """One turn of the coder. Its event holds all that is needed to go on from here."""
        turn, before = len(self._events("edit")) + 1, self.workspace.fingerprint()
        with self.observer.step(f"run {self._number}: waiting for the coder"):
            reply = self.coder.edit(turn, self._prompt())
        if (
            reply.status == "cost_limit"
        ):  # the turn is not done: a later command with a higher cap repeats it
            return {"attempt": False}
        changed = self.workspace.fingerprint() != before
        done = reply.status == "session_ended" or (reply.completed and bool(self._successes()))
        fields = {
            name: getattr(reply, name) for name in Reply.__dataclass_fields__ if name != "messages"
        }
        append_event(
            self.archive.events,
            "edit",
            turn=turn,
            number=self._number,
            attempt=changed or not done,
            changed=changed,
            completed=reply.completed,
            **fields,
            files=self.workspace.read(),
            messages=reply.messages,
        )
        return self._events("edit")[-1]

    def _attempt(self, edit: dict[str, Any]) -> Run:
        """An edit that changed nothing fails; so does one that the gate stops; the rest is judged and run."""
        number, folder = edit["number"], self._pending(edit)
        if not edit["changed"]:
            return Run(
                number,
                RunStatus.NO_EDIT,
                "",
                message=render("no_edit.md.j2", edit=edit, editable=self.workspace.editable),
            )
        candidate = Candidate(
            self.workspace, self.archive.run(0), folder, self.workbench, self.criteria.varies
        )
        with self.observer.step(f"run {number}: gate"):
            report = inspect(candidate)
        if (failed := report.failed) and failed.status:
            return Run(number, failed.status, "", message=failed.message, seconds=report.seconds)
        if report.facts:
            write_json(
                folder.judgement, self._judge(candidate, report.facts, edit["turn"]).as_dict()
            )
        return self._train(number, folder)

    def _judge(self, candidate: Candidate, facts: Facts, turn: int) -> Judgement:
        """What readers of the diff say about the criteria; absent without a reader or without criteria."""
        with self.observer.step(f"run {self._number}: judge"):
            base, new = candidate.source()
            code = JudgedCode(base, new, set(facts.lines), facts.shown)
            return judge(
                self.criteria,
                code,
                lambda purpose, prompt: self.coder.ask(
                    purpose.replace("judge ", f"judge {turn}."), prompt
                ),
            )

    def _train(self, number: int, folder: RunFolder) -> Run:
        slug = self.plan.idea.slug
        wandb = f"{slug} run {number}", f"{slug} {self.archive.folder.name}"
        training = Training(folder, number, "idea", self.plan.budget.seed, wandb)
        with self.observer.step(f"run {number}: training", folder.work):
            return train_and_score(self.workbench, training)

    def _keep(self, run: Run) -> None:
        """Write the result, give the attempt its final name, say so. A kill between these is mended by _prepare."""
        pending = self.archive.pending(run.number)
        target = self.archive.run(run.number) if run.ok else self.archive.unused(run.number, FAILED)
        if (
            target.folder.exists()
        ):  # some program put it there; it is kept, but not in this run's place
            rename(target, self.archive.unused(run.number, FOREIGN))
        run = replace(run, folder=target.folder.name)
        write_json(pending.result, run.save())
        rename(pending, target)
        self._say(run)

    def _say(self, run: Run) -> None:
        append_event(
            self.archive.events,
            "attempt",
            number=run.number,
            folder=run.folder,
            status=run.status.value,
            value=run.value,
        )
        self.tell(run)

    # ---- what the archive says -----------------------------------------------------------------------------

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.archive.workspace)

    @property
    def criteria(self) -> Criteria:
        return Criteria.from_dict(read_json(self.archive.criteria))

    @property
    def _number(self) -> int:
        """Of the run that is being worked on."""
        return len(self._successes()) + 1

    def _events(self, *names: str) -> list[dict[str, Any]]:
        return [event for event in read_events(self.archive.events) if event["event"] in names]

    def _successes(self) -> list[dict[str, Any]]:
        return [event for event in self._events("attempt") if event["status"] == RunStatus.SUCCESS]

    def _failures_in_a_row(self) -> int:
        return _trailing(
            self._events("attempt"), lambda attempt: attempt["status"] != RunStatus.SUCCESS
        )

    def _open_edit(self) -> dict[str, Any] | None:
        """An edit whose attempt was not finished, of an earlier process."""
        last = self._events("edit", "attempt")[-1:]
        return last[0] if last and last[0]["event"] == "edit" and last[0]["attempt"] else None

    def _stop_reason(self) -> StopReason | None:
        if self._events(
            "confirm"
        ):  # the best run was chosen: who raises a limit now begins anew with --fresh
            return StopReason(self._events("stopped")[-1]["reason"])
        attempts, edits = self._events("attempt"), self._events("edit")
        if edits and not edits[-1]["attempt"]:
            return (
                StopReason.SESSION_ENDED
                if edits[-1]["status"] == "session_ended"
                else StopReason.COMPLETED
            )
        if self._open_edit():
            return None
        if len(self._successes()) >= self.plan.limits.runs:
            return StopReason.RUN_LIMIT
        if edits and edits[-1]["completed"] and attempts[-1]["status"] == RunStatus.SUCCESS:
            return StopReason.COMPLETED
        if (
            _trailing(attempts, lambda attempt: attempt["status"] == RunStatus.NO_EDIT)
            >= IDLE_REPLIES
        ):
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
            return start_prompt(
                self.plan,
                self.workbench.environment,
                self.workbench.dataset,
                self.criteria,
                baseline.value,
                baseline.seconds,
            )
        if last.ok:
            return self._after_run(
                baseline,
                attempts[-1],
                [baseline, *(run for run in map(load_run, attempts) if run.ok)],
            )
        left = self.plan.limits.failures - self._failures_in_a_row()
        return render(
            "after_failure.md.j2", plan=self.plan, run=last, left=left, message=fence(last.message)
        )

    def _after_run(self, baseline: Run, folder: RunFolder, runs: list[Run]) -> str:
        """What the run gave, and what the gate and the judge noticed without stopping it."""
        judgement = (
            Judgement.from_dict(read_json(folder.judgement))
            if folder.judgement.is_file()
            else Judgement()
        )
        facts = load_facts(folder) or {}
        return render(
            "after_run.md.j2",
            plan=self.plan,
            baseline=baseline,
            runs=runs,
            number=self._number,
            noise=self._noise(baseline),
            logged=own_values(runs[-1]),
            own_switch=facts.get("control_equals_baseline") is False,
            doubts=[finding for finding in judgement.findings if not finding.passed],
        )

    def _noise(self, baseline: Run) -> float | None:
        dataset = self.workbench.dataset
        return (
            None
            if dataset is None or self.plan.scaffold.open
            else sampling_noise(baseline.value, dataset.info["val_count"])
        )

    def _pending(self, edit: dict[str, Any]) -> RunFolder:
        """A new folder with the edited code, the prompt, the replies and the diff; an unfinished one is set aside."""
        number = edit["number"]
        folder = self.archive.pending(number)
        if folder.folder.exists():
            rename(folder, self.archive.unused(number, INTERRUPTED))
        copy_files(self.workspace.folder, folder.code)
        asked = [
            message["content"]
            for message in edit["messages"]
            if message["role"] == "user" and message["content"] != FILLER
        ]
        write_text(folder.prompt, "\n\n---\n\n".join(asked))
        write_text(folder.reply, edit["text"])
        write_text(folder.diff, diff(self.archive.run(number - 1).code, folder.code))
        return folder


def _trailing(items: list[dict[str, Any]], test: Callable[[dict[str, Any]], bool]) -> int:
    """How many items at the end pass the test."""
    return next((count for count, item in enumerate(reversed(items)) if not test(item)), len(items))
