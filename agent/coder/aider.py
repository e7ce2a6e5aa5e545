"""TODO: docstring."""

from __future__ import annotations

import time
from collections.abc import Callable
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

FAULTS = ("provider", "disk")  # those statuses of a turn that end a command


class AiderCoder:
    """Aider in a child process: its pins, its prints, its keys and its hangs stay there."""

    def __init__(
        self,
        archive: Archive,
        editable: list[str],
        model: ModelConfig,
        cost_left: Callable[[], float | None],
    ):
        """A worker of a killed command may still wait for a reply that is paid for: the archive is read when it has ended."""
        self._archive, self._model, self._cost_left = archive, model, cost_left
        with held(archive.coder_lock, START_SECONDS + model.timeout) as lock:
            taken, self._recorded, history = _recording(archive)
            self._answers = answers_in(read_events(archive.session))
            replies = None if model.replies is None else model.replies[taken:]
            files = {
                name: str(getattr(archive, name).resolve())
                for name in ("workspace", "session", "requests", "chat")
            }
            self._worker = Worker(lock, [name for name in (model.name, model.judge) if name])
        self._worker.send(
            files
            | {
                "model": model.name,
                "judge": model.judge,
                "editable": editable,
                "history": history,
                "replies": replies,
                "price": model.price,
                "timeout": model.timeout,
                "stream": model.stream,
            }
        )

    def ready(self) -> list[str]:
        """Wait until the models can be asked; returns those whose price is unknown. Raises UserError for an unusable model."""
        answer = self._worker.receive(START_SECONDS)
        if "error" in answer:
            raise UserError(answer["error"])
        return list(answer["unpriced"])

    def edit(self, turn: int, prompt: str) -> Reply:
        recorded = self._recorded.pop(turn, [])
        self._worker.send(
            {
                "turn": turn,
                "message": redact(prompt),
                "recorded": recorded,
                "cost_left": self._cost_left(),
            }
        )
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
                append_line(
                    self._archive.session,
                    {"purpose": purpose, **self._answers[purpose], "replayed": True, "cost": 0.0},
                )
            elif asked is None:
                return Answer(None, NO_MODEL)
            else:
                self._worker.send(
                    {
                        "purpose": purpose,
                        "prompt": redact(prompt),
                        "model": asked,
                        "cost_left": self._cost_left(),
                    }
                )
                answer = self._worker.receive(question_seconds(self._model.timeout))
                if answer.get("kind") == "disk":
                    raise Fault("disk", answer["why"])
                if "why" in answer:
                    return Answer(None, answer["why"], asked)
                self._answers[purpose] = {"reply": answer["text"], "asked": asked}
        return Answer(
            redact(self._answers[purpose]["reply"]), model=self._answers[purpose]["asked"]
        )

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
            taken += max(
                len(recorded.pop(event["turn"], [])), event["repairs"] + 1 if event["text"] else 0
            )
    return taken + sum(map(len, recorded.values())), recorded, history


def _reply(answer: dict[str, Any], seconds: float) -> Reply:
    replies = [call for call in answer["calls"] if "reply" in call]
    paid = [call for call in answer["calls"] if "cost" in call]  # an empty reply is paid for, too
    costs = [call["cost"] for call in paid]
    return Reply(
        text="\n\n".join(call["reply"] for call in replies),
        status=answer["status"],
        unmatched=answer["unmatched"],
        refused=tuple(answer["refused"]),
        repairs=max(0, len(replies) - 1),
        tokens_sent=sum(call.get("prompt_tokens") or 0 for call in paid),
        tokens_received=sum(call.get("completion_tokens") or 0 for call in paid),
        cost=None if None in costs else sum(costs),
        seconds=round(sum(call.get("seconds") or 0 for call in answer["calls"]) or seconds, 3),
        messages=answer["messages"],
    )
