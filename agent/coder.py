"""What edits the workspace and answers single questions: the Coder protocol, its scripted twin, and Aider behind a process boundary."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.archive import Archive
from agent.asking import question_seconds, turn_seconds
from agent.errors import Fault, UserError
from agent.files import append_line, read_events, write_text
from agent.replay import answers_in
from agent.secrets import redact
from agent.worker import START_SECONDS, Worker, held

COMPLETED = "ALL_COMPLETED"
NO_MODEL = "no model is at hand"
FAULTS = ("provider", "disk")  # those statuses of a turn that end a command


@dataclass(frozen=True)
class Reply:
    """What one turn of the coder gave. Whether the workspace changed is for the workspace to say."""

    text: str  # all replies of the turn, repairs included
    status: str = "ok"  # ok, truncated, session_ended, cost_limit
    unmatched: bool = False  # the last SEARCH block that matched nothing was never repaired
    refused: tuple[str, ...] = ()  # paths the coder may not edit
    repairs: int = 0  # replies after the first
    tokens_sent: int = 0
    tokens_received: int = 0
    cost: float | None = 0.0  # US dollars; None: unknown
    seconds: float = 0.0  # spent waiting for the model
    messages: list[dict] = field(default_factory=list)  # what the turn added to the conversation

    @property
    def completed(self) -> bool:
        """The coder says that it is done, on a line of its own."""
        return any(line.strip().strip("*`") == COMPLETED for line in self.text.splitlines())


@dataclass(frozen=True)
class Answer:
    """What became of a question outside the conversation."""

    text: str | None  # None: there is no answer
    why: str = ""  # there is none
    model: str = ""  # that was asked, as the user named it; '' where a recording does not say


class Coder(Protocol):
    """Edits the workspace when it is told what to do; answers questions that leave its conversation as it is."""

    def edit(self, turn: int, prompt: str) -> Reply:
        """Raises Fault("provider", ...) when no reply can be had. The turn can then be repeated."""
        ...

    def ask(self, purpose: str, prompt: str) -> Answer:
        """One stateless request. A purpose ("criteria", "judge 2.1") is asked once in an experiment, and then known."""
        ...

    def close(self) -> None: ...


class ScriptedCoder:
    """Plays a list of functions that edit the workspace and return the text of a reply, and a list or a dict of answers."""

    def __init__(self, steps: list[Callable[[], str]], answers: dict[str, str] | list[str] | None = None):
        self.steps, self.prompts = steps, list[str]()
        self.answers, self.asked = answers or {}, list[tuple[str, str]]()

    def edit(self, turn: int, prompt: str) -> Reply:
        self.prompts.append(prompt)
        if not self.steps:
            return Reply("", "session_ended")
        return Reply(self.steps.pop(0)())

    def ask(self, purpose: str, prompt: str) -> Answer:
        self.asked.append((purpose, prompt))
        text = (self.answers.pop(0) if self.answers else None) if isinstance(self.answers, list) else self.answers.get(purpose)
        return Answer(None, NO_MODEL) if text is None else Answer(text, model="scripted")

    def close(self) -> None:
        return None


@dataclass(frozen=True)
class ModelOptions:
    """Which model is asked, and how."""

    name: str
    replies: list[dict] | None = None  # a recording that stands in for the provider
    price: tuple[float, float] | None = None  # US dollars a token, in and out
    timeout: float = 300.0  # seconds for one request
    stream: bool = False
    judge: str | None = None  # another model for the questions outside the conversation
    answers: dict[str, dict] = field(default_factory=dict)  # the recording's answers to them, by purpose

    @property
    def asked(self) -> str | None:
        """The model that questions go to. A recording can be asked nothing new."""
        return self.judge or (self.name if self.replies is None else None)

    @property
    def identity(self) -> str:
        """The same for the same model; for a recording it is the replies that count, not where they lie."""
        if self.replies is None:
            return self.name
        return "replay:" + hashlib.sha256(json.dumps(self.replies).encode()).hexdigest()[:16]


class AiderCoder:
    """Aider in a child process: its pins, its prints, its keys and its hangs stay there."""

    def __init__(self, archive: Archive, editable: list[str], model: ModelOptions, cost_left: Callable[[], float | None]):
        """A worker of a killed command may still wait for a reply that is paid for: the archive is read when it has ended."""
        self._archive, self._model, self._cost_left = archive, model, cost_left
        with held(archive.coder_lock, START_SECONDS + model.timeout) as lock:
            taken, self._recorded, history = _recording(archive)
            self._answers = answers_in(read_events(archive.session))
            replies = None if model.replies is None else model.replies[taken:]
            files = {name: str(getattr(archive, name).resolve()) for name in ("workspace", "session", "requests", "chat")}
            self._worker = Worker(lock, [name for name in (model.name, model.judge) if name])
        self._worker.send(files | {"model": model.name, "judge": model.judge, "editable": editable, "history": history, "replies": replies,
                                   "price": model.price, "timeout": model.timeout, "stream": model.stream})  # fmt: skip

    def ready(self) -> list[str]:
        """Wait until the models can be asked; returns those whose price is unknown. Raises UserError for an unusable model."""
        answer = self._worker.receive(START_SECONDS)
        if "error" in answer:
            raise UserError(answer["error"])
        return list(answer["unpriced"])

    def edit(self, turn: int, prompt: str) -> Reply:
        recorded = self._recorded.pop(turn, [])
        self._worker.send({"turn": turn, "message": redact(prompt), "recorded": recorded, "cost_left": self._cost_left()})
        started = time.monotonic()
        answer = self._worker.receive(turn_seconds(self._model.timeout))
        if answer["status"] in FAULTS:
            raise Fault(answer["status"], answer["detail"])
        return _reply(answer, time.monotonic() - started)

    def ask(self, purpose: str, prompt: str, model: str | None = None) -> Answer:
        """One stateless request to `model` (None: the judge that was named, else the coder's own model).

        What this archive or the replayed recording already holds for the purpose is not asked for. A provider that fails and a
        cap that is reached are an Answer without text; the next command then asks again. Raises Fault("provider", ...) only
        for a worker that hangs.
        """
        asked = model or self._model.asked
        if purpose not in self._answers:
            if asked is None and purpose in self._model.answers:
                self._answers[purpose] = self._model.answers[purpose]
                append_line(self._archive.session, {"purpose": purpose, **self._answers[purpose], "replayed": True, "cost": 0.0})
            elif asked is None:
                return Answer(None, NO_MODEL)
            else:
                self._worker.send({"purpose": purpose, "prompt": redact(prompt), "model": asked, "cost_left": self._cost_left()})
                answer = self._worker.receive(question_seconds(self._model.timeout))
                if answer.get("kind") == "disk":
                    raise Fault("disk", answer["why"])
                if "why" in answer:
                    return Answer(None, answer["why"], asked)
                self._answers[purpose] = {"reply": answer["text"], "asked": asked}
        return Answer(redact(self._answers[purpose]["reply"]), model=self._answers[purpose]["asked"])

    def close(self) -> None:
        """End the process, keep what it said."""
        if said := self._worker.close():
            write_text(self._archive.coder_log, said)


def _recording(archive: Archive) -> tuple[int, dict[int, list[dict]], list[dict]]:
    """How many replies were taken, those of unfinished turns by turn, and the conversation of the finished ones.

    Of a finished turn the event counts them: the session may have lost its last line.
    """
    history, recorded, taken = list[dict](), dict[int, list[dict]](), 0
    for line in read_events(archive.session):
        if "reply" in line and "purpose" not in line:
            recorded.setdefault(line["turn"], []).append(line)
    for event in read_events(archive.events):
        if event["event"] == "edit":
            history += event["messages"]
            taken += max(len(recorded.pop(event["turn"], [])), event["repairs"] + 1 if event["text"] else 0)
    return taken + sum(map(len, recorded.values())), recorded, history


def _reply(answer: dict[str, Any], seconds: float) -> Reply:
    replies = [call for call in answer["calls"] if "reply" in call]
    paid = [call for call in answer["calls"] if "cost" in call]  # an empty reply is paid for, too
    costs = [call["cost"] for call in paid]
    return Reply(
        text="\n\n".join(call["reply"] for call in replies),
        status=answer["status"], unmatched=answer["unmatched"], refused=tuple(answer["refused"]),
        repairs=max(0, len(replies) - 1),
        tokens_sent=sum(call.get("prompt_tokens") or 0 for call in paid),
        tokens_received=sum(call.get("completion_tokens") or 0 for call in paid),
        cost=None if None in costs else sum(costs),
        seconds=round(sum(call.get("seconds") or 0 for call in answer["calls"]) or seconds, 3),
        messages=answer["messages"],
    )  # fmt: skip
