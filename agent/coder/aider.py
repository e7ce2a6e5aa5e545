"""Aider, behind the protocol: what a conversation's process is told and asked for, and what is on
disk of it already and need not be asked for again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.archive.commentary import NO_MODEL
from agent.archive.paths import Archive
from agent.archive.session import answers_in
from agent.coder.base import Answer, ModelConfig, Reply
from agent.coder.process import START_SECONDS, Worker
from agent.coder.worker.gateway import question_seconds, turn_seconds
from agent.util.errors import Fault, UserError
from agent.util.files import append_line, read_events, write_text
from agent.util.locks import held
from agent.util.secrets import redact

FAULTS = ("provider", "disk")  # the statuses of a turn that end a command


class AiderCoder:
    """Aider in a child process: its pins, its prints, its keys and its hangs stay there."""

    def __init__(
        self,
        archive: Archive,
        editable: list[str],
        model: ModelConfig,
        cost_left: Callable[[], float | None],
    ):
        """Start the process, and hand it what it needs to go on where the archive ends.

        A worker of a killed command may still wait for a reply that is paid for: the archive is
        read when it has ended.
        """
        self._archive = archive
        self._model = model
        self._cost_left = cost_left
        with held(archive.coder_lock, START_SECONDS + model.timeout) as lock:
            recording = _read_recording(archive)
            self._recorded = recording.unfinished
            self._answers = answers_in(read_events(archive.session))
            models = [name for name in (model.name, model.judge) if name]
            self._worker = Worker(lock, models)
        replies = model.replies
        if replies is not None:
            replies = replies[recording.taken :]
        self._worker.send(
            {
                "workspace": str(archive.workspace.resolve()),
                "session": str(archive.session.resolve()),
                "requests": str(archive.requests.resolve()),
                "chat": str(archive.chat.resolve()),
                "model": model.name,
                "judge": model.judge,
                "editable": editable,
                "history": recording.history,
                "replies": replies,
                "price": model.price,
                "timeout": model.timeout,
                "stream": model.stream,
            }
        )

    def ready(self) -> list[str]:
        """Wait until the models can be asked, and return those whose price is unknown.

        Raises UserError for an unusable model.
        """
        answer = self._worker.receive(START_SECONDS)
        if "error" in answer:
            raise UserError(answer["error"])
        return list(answer["unpriced"])

    def edit(self, turn: int, prompt: str) -> Reply:
        """Carry out one turn. Raises Fault("provider", ...) or Fault("disk", ...)."""
        self._worker.send(
            {
                "turn": turn,
                "message": redact(prompt),
                "recorded": self._recorded.pop(turn, []),
                "cost_left": self._cost_left(),
            }
        )
        started = time.monotonic()
        answer = self._worker.receive(turn_seconds(self._model.timeout))
        if answer["status"] in FAULTS:
            raise Fault(answer["status"], answer["detail"])
        return _reply(answer, time.monotonic() - started)

    def ask(
        self,
        purpose: str,
        prompt: str,
        model: str | None = None,
    ) -> Answer:
        """Make one stateless request: to `model`, else the judge that was named, else the coder's.

        What this archive or the replayed recording already holds for the purpose is not asked for.
        A provider that fails and a cap that is reached are an Answer without text; the next command
        then asks again. Raises Fault("provider", ...) only for a worker that hangs.
        """
        model = model or self._model.question_model
        if purpose in self._answers:
            return self._known(purpose)
        if model is None:
            if purpose not in self._model.answers:
                return Answer(None, NO_MODEL)
            self._replay(purpose)
        else:
            reply = self._question(purpose, prompt, model)
            if "why" in reply:
                return Answer(None, reply["why"], model)
            self._answers[purpose] = {"reply": reply["text"], "asked": model}
        return self._known(purpose)

    def _known(self, purpose: str) -> Answer:
        answer = self._answers[purpose]
        return Answer(redact(answer["reply"]), model=answer["asked"])

    def _replay(self, purpose: str) -> None:
        """Take over the recording's answer, and keep it in the archive."""
        answer = self._model.answers[purpose]
        self._answers[purpose] = answer
        line = {"purpose": purpose, **answer, "replayed": True, "cost": 0.0}
        append_line(self._archive.session, line)

    def _question(
        self,
        purpose: str,
        prompt: str,
        model: str,
    ) -> dict[str, Any]:
        """Return the worker's message: {"text"}, or {"why"} where the model gave no reply."""
        self._worker.send(
            {
                "purpose": purpose,
                "prompt": redact(prompt),
                "model": model,
                "cost_left": self._cost_left(),
            }
        )
        reply = self._worker.receive(question_seconds(self._model.timeout))
        if reply.get("kind") == "disk":
            raise Fault("disk", reply["why"])
        return reply

    def close(self) -> None:
        """End the process, and keep what it printed."""
        printed = self._worker.close()
        if printed:
            write_text(self._archive.coder_log, printed)


@dataclass(frozen=True)
class _Recording:
    """The turns that an archive holds."""

    taken: int  # replies that were used
    unfinished: dict[int, list[dict]]  # the replies of turns that did not end, by turn
    history: list[dict]  # the conversation of the finished turns


def _read_recording(archive: Archive) -> _Recording:
    """Read the turns that are on disk.

    The replies of a finished turn are counted by its event too: the session may have lost its last
    line.
    """
    replies = dict[int, list[dict]]()
    for line in read_events(archive.session):
        if "reply" in line and "purpose" not in line:
            replies.setdefault(line["turn"], []).append(line)
    taken = 0
    history = list[dict]()
    for event in read_events(archive.events):
        if event["event"] != "edit":
            continue
        history += event["messages"]
        counted = event["repairs"] + 1 if event["text"] else 0
        taken += max(len(replies.pop(event["turn"], [])), counted)
    taken += sum(map(len, replies.values()))
    return _Recording(taken, unfinished=replies, history=history)


def _reply(
    answer: dict[str, Any],
    seconds: float,
) -> Reply:
    """Return a turn's outcome. seconds: how long it took, where no request says so itself."""
    calls = answer["calls"]
    replies = [call["reply"] for call in calls if "reply" in call]
    paid = [call for call in calls if "cost" in call]  # an empty reply is paid for, too
    costs = [call["cost"] for call in paid]
    return Reply(
        text="\n\n".join(replies),
        status=answer["status"],
        unmatched=answer["unmatched"],
        refused=tuple(answer["refused"]),
        repairs=max(0, len(replies) - 1),
        tokens_sent=_total(paid, "prompt_tokens"),
        tokens_received=_total(paid, "completion_tokens"),
        cost=None if None in costs else sum(costs),
        seconds=round(_total(calls, "seconds") or seconds, 3),
        messages=answer["messages"],
    )


def _total(
    calls: list[dict[str, Any]],
    name: str,
) -> Any:
    return sum(call.get(name) or 0 for call in calls)
