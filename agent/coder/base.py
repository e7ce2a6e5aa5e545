"""The protocol of a coder, which edits the workspace and answers single questions, its scripted
twin, and the choice of a model.
"""

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
    """The outcome of one turn. Whether the workspace changed is for the workspace to say."""

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
        """Return whether the coder says, on a line of its own, that it is done."""
        return any(line.strip().strip("*`") == COMPLETED for line in self.text.splitlines())


@dataclass(frozen=True)
class Answer:
    """The outcome of a question outside the conversation."""

    text: str | None  # None: there is no answer
    why: str = ""  # why there is no answer
    model: str = ""  # the model as the user named it; '' where a recording does not say


class Coder(Protocol):
    """A model that edits the workspace turn by turn, and answers questions that leave its
    conversation as it is.
    """

    def edit(self, turn: int, prompt: str) -> Reply:
        """Edit the workspace as the prompt says.

        Raises Fault("provider", ...) when no reply can be had. The turn can then be repeated.
        """
        ...

    def ask(self, purpose: str, prompt: str) -> Answer:
        """Make one stateless request.

        A purpose ("criteria", "judge 2.1") is asked for once in an experiment, and then known.
        """
        ...

    def close(self) -> None:
        """End the conversation."""
        ...


class ScriptedCoder:
    """A coder that plays a list of functions, which edit the workspace and return the text of a
    reply, and a list or a dict of answers.
    """

    def __init__(
        self,
        steps: list[Callable[[], str]],
        answers: dict[str, str] | list[str] | None = None,
    ):
        self.steps = steps
        self.answers = answers or {}
        self.prompts = list[str]()
        self.questions = list[tuple[str, str]]()  # purpose, prompt

    def edit(self, turn: int, prompt: str) -> Reply:
        """Play the next step."""
        self.prompts.append(prompt)
        if not self.steps:
            return Reply("", "session_ended")
        return Reply(self.steps.pop(0)())

    def ask(self, purpose: str, prompt: str) -> Answer:
        """Return the next answer of a list, or that of a dict for this purpose."""
        self.questions.append((purpose, prompt))
        text: str | None = None
        if isinstance(self.answers, dict):
            text = self.answers.get(purpose)
        elif self.answers:
            text = self.answers.pop(0)
        return Answer(None, NO_MODEL) if text is None else Answer(text, model="scripted")

    def close(self) -> None:
        """Do nothing: there is no process to end."""


@dataclass(frozen=True)
class ModelConfig:
    """The choice of a model, and how it is asked."""

    name: str
    replies: list[dict] | None = None  # a recording that stands in for the provider
    price: tuple[float, float] | None = None  # US dollars a token, in and out
    timeout: float = 300.0  # seconds for one request
    stream: bool = False
    judge: str | None = None  # another model for the questions outside the conversation
    answers: dict[str, dict] = field(default_factory=dict)  # the recording's answers, by purpose

    @property
    def question_model(self) -> str | None:
        """Return the model that questions go to. A recording can be asked nothing new."""
        if self.judge:
            return self.judge
        return self.name if self.replies is None else None

    @property
    def identity(self) -> str:
        """Return a text that is equal for the same model; for a recording its replies count, not
        where they lie.
        """
        if self.replies is None:
            return self.name
        return "replay:" + short_hash(json.dumps(self.replies))
