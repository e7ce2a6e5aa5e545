"""One conversation with Aider, in a process of its own; it runs as a script.

    first line in:   {"model", "judge", "workspace", "editable", "session", "requests", ...}
    first line out:  {"ready": true, "unpriced": [model, ...]} or {"error": "why not this model"}
    then, per turn:  {"turn", "message", "recorded", "cost_left"} in, {"status", ...} out
    or a question:   {"purpose", "prompt", "model", "cost_left"} in, {"text"} or {"why"} out

Everything that leaves for a model passes GatewayModel.send_completion or GatewayModel.ask, and with
it agent.coder.worker.gateway.
"""

# ruff: noqa: E402 what aider reads while it is imported is set before

from __future__ import annotations

import contextlib
import gc
import os
import sys
from pathlib import Path
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no price list from the network
os.environ["LITELLM_MODE"] = "PRODUCTION"  # no .env picked up from folders
os.environ["HF_HUB_OFFLINE"] = "1"  # no tokenizer download
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # the repository

gc.disable()  # what is imported stays: to look through it again and again costs half a second
from agent.coder.worker.channel import ParentChannel
from agent.coder.worker.edit_blocks import not_plain
from agent.coder.worker.gateway import ModelGateway, NoReply
from agent.coder.worker.guarded_aider import (
    GatewayModel,
    GuardedCoder,
    Terminal,
    problem,
)

gc.freeze()
gc.enable()
MAIN = "main.py"

DETAIL_CHARACTERS = 2000


class Conversation:
    """The state between turns: aider's messages, and what the models were asked."""

    def __init__(
        self,
        config: dict[str, Any],
        channel: ParentChannel,
    ):
        self.config = config
        workspace = Path(config["workspace"])
        session = Path(config["session"])
        requests = Path(config["requests"])
        self.gateway = ModelGateway(session, requests, config["timeout"], channel)
        name = "openai/replay" if self._replayed else config["model"]
        self.model = GatewayModel(name)
        self.model.prepare(self.gateway, config["stream"], config["price"])
        self.others: dict[str, GatewayModel] = {}
        ends = "crlf" if b"\r\n" in (workspace / MAIN).read_bytes() else "lf"
        terminal = Terminal(
            yes=False,
            pretty=False,
            fancy_input=False,
            chat_history_file=config["chat"],
            line_endings=ends,
        )
        self.coder = GuardedCoder(
            self.model,
            terminal,
            workspace.resolve(),
            config["editable"],
            config["history"],
        )

    @property
    def _replayed(self) -> bool:
        return self.config["replies"] is not None

    @property
    def unpriced(self) -> list[str]:
        """Return the models whose price is unknown, of those that may be asked."""
        names = models_asked(self.config)
        return [name for name in names if not self._model_of(name).priced]

    def take(
        self,
        turn: int,
        message: str,
        recorded: list[dict],
        cost_left: float | None,
    ) -> dict[str, Any]:
        """Send one message, take up to four replies (repairs included), and apply the edits.

        Always answers with a status.
        """
        coder = self.coder
        self.gateway.begin({"turn": turn}, cost_left, recorded, self.config["replies"])
        messages = len(coder.done_messages)
        refused = len(coder.refused)
        exhausted = coder.num_exhausted_context_windows
        coder.unmatched = False
        status = "ok"
        detail = ""
        try:
            # preproc=True would obey a message that begins with / or !, and fetch URLs in it.
            coder.run(message, preproc=False)
        except NoReply as error:
            status = error.kind
            detail = error.detail
        if coder.num_exhausted_context_windows > exhausted:
            status = "truncated"
        coder.move_back_cur_messages(None)
        return {
            "status": status,
            "detail": detail[:DETAIL_CHARACTERS],
            "unmatched": coder.unmatched,
            "refused": coder.refused[refused:],
            "calls": self.gateway.calls,
            "messages": coder.done_messages[messages:],
        }

    def ask(
        self,
        purpose: str,
        prompt: str,
        model: str,
        cost_left: float | None,
    ) -> dict[str, Any]:
        """Ask one question outside the conversation.

        Always answers, with a reason where there is no reply.
        """
        self.gateway.begin({"purpose": purpose, "asked": model}, cost_left, [], None)
        try:
            record = self._model_of(model).ask(prompt)
        except NoReply as error:
            return self.gateway.unanswered(error)
        return {"text": record["reply"]}

    def _model_of(self, name: str) -> GatewayModel:
        """Return the coder's own model, or another, which is made when it is first needed.

        --price is the coder's, unless that is a recording.
        """
        if name == self.config["model"] and not self._replayed:
            return self.model
        if name not in self.others:
            why = problem(name)
            if why:
                raise NoReply("provider", why)
            price = self.config["price"] if self._replayed else None
            model = GatewayModel(name).prepare(self.gateway, self.config["stream"], price)
            self.others[name] = model
        return self.others[name]


def models_asked(config: dict[str, Any]) -> list[str]:
    """Return the models that may be asked; a recording is none."""
    models = [config["judge"]]
    if config["replies"] is None:
        models.insert(0, config["model"])
    return list(filter(None, models))


def problems_of(config: dict[str, Any]) -> list[str]:
    """Return why this conversation cannot begin; [] where it can."""
    workspace = Path(config["workspace"])
    problems = [not_plain(workspace, [MAIN, *config["editable"]])]
    problems += map(problem, models_asked(config))
    return list(filter(None, problems))


def main() -> None:
    """Answer the harness until it ends."""
    parent = ParentChannel()
    config = parent.first()
    problems = problems_of(config)
    if problems:
        parent.answer({"error": problems[0]})
        return
    conversation = Conversation(config, parent)
    parent.answer({"ready": True, "unpriced": conversation.unpriced})
    while True:
        message = parent.next()
        if "purpose" in message:
            parent.answer(conversation.ask(**message))
        else:
            parent.answer(conversation.take(**message))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
