"""What edits the workspace and answers single questions: the Coder protocol, its scripted twin, and Aider behind a process boundary."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agent.archive.commentary import NO_MODEL
from agent.util.hashes import short_hash

COMPLETED = "ALL_COMPLETED"


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

    def __init__(
        self, steps: list[Callable[[], str]], answers: dict[str, str] | list[str] | None = None
    ):
        self.steps, self.prompts = steps, list[str]()
        self.answers, self.asked = answers or {}, list[tuple[str, str]]()

    def edit(self, turn: int, prompt: str) -> Reply:
        self.prompts.append(prompt)
        if not self.steps:
            return Reply("", "session_ended")
        return Reply(self.steps.pop(0)())

    def ask(self, purpose: str, prompt: str) -> Answer:
        self.asked.append((purpose, prompt))
        text = (
            (self.answers.pop(0) if self.answers else None)
            if isinstance(self.answers, list)
            else self.answers.get(purpose)
        )
        return Answer(None, NO_MODEL) if text is None else Answer(text, model="scripted")

    def close(self) -> None:
        return None


@dataclass(frozen=True)
class ModelConfig:
    """Which model is asked, and how."""

    name: str
    replies: list[dict] | None = None  # a recording that stands in for the provider
    price: tuple[float, float] | None = None  # US dollars a token, in and out
    timeout: float = 300.0  # seconds for one request
    stream: bool = False
    judge: str | None = None  # another model for the questions outside the conversation
    answers: dict[str, dict] = field(
        default_factory=dict
    )  # the recording's answers to them, by purpose

    @property
    def asked(self) -> str | None:
        """The model that questions go to. A recording can be asked nothing new."""
        return self.judge or (self.name if self.replies is None else None)

    @property
    def identity(self) -> str:
        """The same for the same model; for a recording it is the replies that count, not where they lie."""
        if self.replies is None:
            return self.name
        return "replay:" + short_hash(json.dumps(self.replies))
