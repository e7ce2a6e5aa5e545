"""One idea carried from prompt to result: the loop, and nothing else.

The state is events.jsonl. A cycle has two points that survive a kill: the edit, whose event holds
the edited files and the conversation; and the attempt, whose folder gets its final name when it is
whole. What was under way between two points is kept as run_N.interrupted_K and made again, with the
recorded replies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from agent.archive.control_seeds import ControlSeeds
from agent.archive.gate_report import Facts
from agent.archive.judgement import Criteria, Judgement
from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Run, RunStatus, load_run
from agent.coder.base import Answer, Coder
from agent.execution.local import kill_tree
from agent.execution.training import Training, train_and_score
from agent.execution.workbench import Workbench
from agent.experiment.attempts import Attempts
from agent.experiment.conclude import conclude
from agent.experiment.confirm import Confirmation
from agent.experiment.controls import copy_seed
from agent.experiment.criteria import criteria_of
from agent.experiment.event_log import Event, EventLog
from agent.experiment.plan import Plan, StopReason
from agent.experiment.prompts import Prompts
from agent.experiment.stopping import stop_reason
from agent.gate.checks import Candidate, inspect, smoke_baseline
from agent.gate.judge import JudgedCode, judge
from agent.task.scaffold import Workspace
from agent.util.errors import Fault
from agent.util.files import append_event, read_json, sync_tree, write_json
from agent.util.observer import Observer
from agent.util.templates import render


@dataclass(frozen=True)
class Experiment:
    """The loop over one archive."""

    plan: Plan
    workbench: Workbench
    archive: Archive
    controls: ControlSeeds  # its seeds are trained
    coder: Coder
    observer: Observer
    cost_left: Callable[[], float | None]  # US dollars; None: no cap
    tell: Callable[[Run], None]  # called with the baseline and with every run when it is kept

    def conduct(self) -> StopReason:
        """Edit, gate, run and read until something says stop; then confirm and decide."""
        self._prepare()
        while not (reason := self._stop_reason()):
            edit = self.log.open_edit() or self._edit()
            if edit["attempt"]:
                run = self._attempt(edit)
                self.attempts.keep(run)
        append_event(self.archive.events, "stopped", reason=reason.value)
        if reason is not StopReason.COST_LIMIT:  # which a later command may lift, and go on
            if not self.plan.scaffold.open:
                self._confirm()
            conclude(self.archive, self.coder.ask, self.observer)
        return reason

    # ---- before the first cycle ----------------------------------------------------------------

    def _prepare(self) -> None:
        """Set up workspace, baseline and criteria; after a kill, announce what was finished."""
        kill_tree(self.archive.folder)
        contents = self.log.named("workspace", "edit")
        if not contents:
            raise Fault("archive", f"{self.archive.events}: its beginning is gone")
        self.workspace.write(contents[-1]["files"])
        if not self.log.named("baseline"):
            self._start_from_the_baseline()
        if not self.archive.criteria.is_file():
            self._fix_criteria()
        edit = self.log.open_edit()
        if edit:
            self.attempts.adopt(edit["number"])

    def _start_from_the_baseline(self) -> None:
        """Make the first control seed run_0, with the trace that the gate compares with."""
        run_0 = self.archive.run(0)
        if not run_0.folder.exists():  # else a kill came before it was announced
            first = self.controls.seeds[0]
            copy_seed(self.controls, first, run_0, scored=False)
        baseline = load_run(run_0)
        if not self.plan.scaffold.open:
            problem = smoke_baseline(self.workbench, run_0)
            if problem:
                raise Fault("baseline", f"a few steps of the scaffold as it is fail:\n{problem}")
        sync_tree(run_0.gate.parent)  # every attempt is compared with this trace
        append_event(self.archive.events, "baseline", value=baseline.value)
        self.tell(baseline)

    def _fix_criteria(self) -> None:
        criteria = Criteria()  # no judge reads those of an open scaffold
        if not self.plan.scaffold.open:
            criteria = criteria_of(self.plan.idea, self.coder.ask)
        write_json(self.archive.criteria, criteria.as_dict())

    # ---- one cycle -----------------------------------------------------------------------------

    def _stop_reason(self) -> StopReason | None:
        return stop_reason(self.log, self.plan.limits, self.cost_left)

    def _edit(self) -> Event:
        """Let the coder take one turn. Its event holds all that is needed to go on from here."""
        turn = len(self.log.named("edit")) + 1
        number = self.log.run_number()
        before = self.workspace.fingerprint()
        with self.observer.step(f"run {number}: waiting for the coder"):
            prompt = self.prompts.next_message(self.archive)
            reply = self.coder.edit(turn, prompt)
        if reply.status == "cost_limit":  # a later command with a higher cap repeats the turn
            return {"attempt": False}
        changed = self.workspace.fingerprint() != before
        done = reply.completed and bool(self.log.successes())
        ended = done or reply.status == "session_ended"
        fields = asdict(reply)
        messages = fields.pop("messages")
        append_event(
            self.archive.events,
            "edit",
            turn=turn,
            number=number,
            attempt=changed or not ended,
            changed=changed,
            completed=reply.completed,
            **fields,
            files=self.workspace.read(),
            messages=messages,
        )
        return self.log.named("edit")[-1]

    def _attempt(self, edit: Event) -> Run:
        """Return what came of an edit, which fails if it changed nothing or the gate stops it."""
        number = edit["number"]
        folder = self.attempts.set_up(edit)
        if not edit["changed"]:
            message = render("no_edit.md.j2", edit=edit, editable=self.workspace.editable)
            return Run(number, RunStatus.NO_EDIT, folder="", message=message)
        candidate = Candidate(
            self.workspace,
            self.archive.run(0),
            folder,
            self.workbench,
            self.criteria.varies,
        )
        with self.observer.step(f"run {number}: gate"):
            report = inspect(candidate)
        failed = report.failed
        if failed and failed.status:
            return Run(
                number,
                failed.status,
                folder="",
                message=failed.message,
                seconds=report.seconds,
            )
        if report.facts:
            judgement = self._judge(candidate, report.facts, edit["turn"])
            write_json(folder.judgement, judgement.as_dict())
        return self._train(number, folder)

    def _judge(self, candidate: Candidate, facts: Facts, turn: int) -> Judgement:
        """Return what readers of the diff say about the criteria; empty without either of them."""

        def ask(purpose: str, prompt: str) -> Answer:
            return self.coder.ask(purpose.replace("judge ", f"judge {turn}."), prompt)

        before, now = candidate.source()
        code = JudgedCode(before, now, set(facts.lines), facts.shown)
        with self.observer.step(f"run {self.log.run_number()}: judge"):
            return judge(self.criteria, code, ask)

    def _train(self, number: int, folder: RunFolder) -> Run:
        slug = self.plan.idea.slug
        training = Training(
            folder=folder,
            number=number,
            arm="idea",
            seed=self.plan.budget.seed,
            wandb=(f"{slug} run {number}", f"{slug} {self.archive.folder.name}"),
        )
        with self.observer.step(f"run {number}: training", folder.work):
            return train_and_score(self.workbench, training)

    # ---- after the last cycle ------------------------------------------------------------------

    def _confirm(self) -> None:
        Confirmation(
            workbench=self.workbench,
            archive=self.archive,
            controls=self.controls,
            fresh_seeds=self.plan.seeds.confirm,
            observer=self.observer,
            tell=self.tell,
        ).conduct()

    # ---- what an experiment works with ---------------------------------------------------------

    @property
    def log(self) -> EventLog:
        """The event log, which says how far the experiment is."""
        return EventLog(self.archive.events)

    @property
    def workspace(self) -> Workspace:
        """The copy of the scaffold that the coder edits."""
        return Workspace(self.archive.workspace)

    @property
    def criteria(self) -> Criteria:
        """The statements about the code that were fixed before the first edit."""
        return Criteria.from_dict(read_json(self.archive.criteria))

    @property
    def attempts(self) -> Attempts:
        """The folders of this experiment's attempts."""
        return Attempts(self.archive, self.tell)

    @property
    def prompts(self) -> Prompts:
        """The messages to the coder."""
        return Prompts(self.plan, self.workbench.environment, self.workbench.dataset)
