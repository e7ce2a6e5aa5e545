"""One conversation with Aider, in a process of its own: the only module that imports aider.

    first line in:   {"model", "judge", "workspace", "editable", "session", "requests", "chat", "history", "replies", ...}
    first line out:  {"ready": true, "unpriced": [model, ...]} or {"error": "why this model cannot be used"}
    then, per turn:  {"turn", "message", "recorded", "cost_left"} in, {"status", ...} out
    or a question:   {"purpose", "prompt", "model", "cost_left"} in, {"text"} or {"why"} out

Everything that leaves for a model passes GatewayModel.send_completion or GatewayModel.ask, and with it agent.coder.worker.gateway.
"""

# ruff: noqa: E402 what aider reads while it is imported is set before

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no price list from the network
os.environ["LITELLM_MODE"] = "PRODUCTION"  # no .env picked up from folders
os.environ["HF_HUB_OFFLINE"] = "1"  # no tokenizer download
sys.path[0] = str(Path(__file__).resolve().parents[3])  # the repository, in place of this folder

gc.disable()  # what is imported stays: to look through it again and again costs half a second
import litellm
from aider import models as aider_models
from aider.coders import base_coder
from aider.coders.editblock_coder import EditBlockCoder
from aider.io import InputOutput
from aider.models import model_info_manager
from litellm.llms.openai import openai as openai_handler

from agent.coder.worker.channel import ParentChannel
from agent.coder.worker.edit_blocks import check_blocks, check_search, editable_name, not_plain
from agent.coder.worker.gateway import (
    ModelGateway,
    NoReply,
    drop_or_raise,
    kept_from_aider,
    providers,
    record_of,
)
from agent.util.flake8 import flake8
from agent.util.secrets import redact

gc.freeze()
gc.enable()
TEMPERATURE = 1.0  # of a single question: at 0 three votes would be one vote
# The harness is the one who asks and retries; aider looks nothing up and repeats nothing.
model_info_manager._update_cache = lambda: None
model_info_manager.openrouter_manager._update_cache = lambda: None
model_info_manager.fetch_openrouter_model_info = lambda model: {}
base_coder.RETRY_TIMEOUT = aider_models.RETRY_TIMEOUT = 0
handler: Any = openai_handler
handler.drop_params_from_unprocessable_entity_error = drop_or_raise(
    handler.drop_params_from_unprocessable_entity_error
)


class GatewayModel(aider_models.Model):
    """aider's model, with one way out."""

    def prepare(self, desk: ModelGateway, stream: bool, price: list[float] | None) -> GatewayModel:
        self.desk, self.streamed = desk, stream
        if price:
            self.info = {
                **(self.info or {}),
                **dict(zip(("input_cost_per_token", "output_cost_per_token"), price, strict=True)),
            }
        self.info.pop(
            "supports_assistant_prefill", None
        )  # else a reply that is too long is continued without end
        self.weak_model = self.editor_model = self
        self.max_chat_history_tokens = 10**9
        self.extra_params = {**(self.extra_params or {}), "timeout": desk.timeout, "max_retries": 0}
        if self.streamed:  # else the tokens of a streamed reply are a guess
            self.extra_params["stream_options"] = {"include_usage": True}
        return self

    @property
    def priced(self) -> bool:
        return self.info.get("input_cost_per_token") is not None

    def send_completion(self, messages, functions, stream, temperature=None):
        record = self.desk.reply(messages, partial(self._request, messages, functions, temperature))
        usage = {
            "prompt_tokens": record.get("prompt_tokens") or 0,
            "completion_tokens": record.get("completion_tokens") or 0,
        }
        reason = (
            "length" if record["finish_reason"] == "length" else "stop"
        )  # litellm refuses words that it does not know
        choice = {
            "index": 0,
            "finish_reason": reason,
            "message": {"role": "assistant", "content": record["reply"]},
        }
        return hashlib.sha1(), litellm.ModelResponse(model=self.name, choices=[choice], usage=usage)

    def ask(self, prompt: str) -> dict:
        messages = [{"role": "user", "content": prompt}]
        return self.desk.reply(messages, partial(self._request, messages, None, TEMPERATURE))

    def _request(self, messages, functions, temperature) -> dict:
        _, response = super().send_completion(messages, functions, self.streamed, temperature)
        if self.streamed:
            response = litellm.stream_chunk_builder(list(response), messages=messages)
        return {**record_of(response, self.info), "model": self.name}


class Terminal(InputOutput):
    """Answers every question by a fixed rule: repair lint, refuse the rest. Opens nothing, and redacts what it keeps."""

    write_text = kept_from_aider(InputOutput.write_text)

    def confirm_ask(self, question, *args, **kwargs):
        if question.startswith(
            "Try to proceed anyway?"
        ):  # else aider goes on as if the model had answered nothing
            raise NoReply(
                "provider",
                "ContextWindowExceeded: by Aider's estimate the conversation is longer than the model can read",
            )
        self.yes = question.startswith("Attempt to fix lint errors?")
        return super().confirm_ask(question, *args, **kwargs)

    def prompt_ask(self, question, default="", subject=None):
        return "no"

    def offer_url(self, url, *args, **kwargs):
        return False

    def append_chat_history(self, text, linebreak=False, blockquote=False, strip=True):
        super().append_chat_history(redact(text), linebreak, blockquote, strip)


# aider's summaries cost requests that it does not count, and are thrown away.
NO_SUMMARY = SimpleNamespace(
    too_big=lambda messages: False, summarize=lambda messages, depth=0: messages
)


class GuardedCoder(EditBlockCoder):
    """aider's SEARCH/REPLACE coder, kept to the editable files of one folder."""

    def __init__(self, model, terminal, workspace: Path, editable: list[str], history: list[dict]):
        super().__init__(
            model,
            terminal,
            fnames=[str(workspace / name) for name in editable],
            use_git=False,
            map_tokens=0,
            auto_commits=False,
            dirty_commits=False,
            stream=False,
            auto_lint=True,
            auto_test=False,
            detect_urls=False,
            suggest_shell_commands=False,
            summarizer=NO_SUMMARY,
            chat_language="English",
        )
        self.root, self.editable = str(workspace), editable
        self.linter.root = self.root
        self.linter.flake8_lint = self._flake8
        self.done_messages = history
        self.refused, self.unmatched = list[str](), False

    def get_abs_fnames_content(self):
        """In one order: aider keeps the names in a set, and no prompt would be the same again in another process."""
        return sorted(super().get_abs_fnames_content())

    def get_edits(self):
        """Paths are judged before aider opens them: even its dry run reads the file that a reply names."""
        check_blocks(self.partial_response_content)
        kept = []
        for path, search, replace in super().get_edits():
            if name := editable_name(path, self.root, self.editable):
                check_search(name, search, self.io.read_text(Path(self.root) / name) or "")
                kept.append((name, search, replace))
            else:
                self.refused.append(path)
        return kept

    def allowed_to_edit(self, path):
        return path in self.editable and not (Path(self.root) / path).is_symlink()

    def apply_updates(self):
        refused, malformed = len(self.refused), self.num_malformed_responses
        edited = super().apply_updates()
        if self.num_malformed_responses > malformed:
            self.unmatched = True
        elif edited:
            self.unmatched = False
        if names := self.refused[refused:]:
            note = f"Not applied: edits to {', '.join(names)}. Only {' and '.join(self.editable)} may be edited."
            self.reflected_message = (
                f"{self.reflected_message}\n\n{note}" if self.reflected_message else note
            )
        return edited

    def lint_edited(self, fnames):
        try:
            return super().lint_edited([name for name in fnames if name and name.endswith(".py")])
        except (
            Exception
        ) as error:  # NUL bytes and very deep nesting make aider's linter itself fail
            return f"The file could not be parsed: {type(error).__name__}: {error}\n"

    def _flake8(self, name):
        if findings := flake8(Path(self.root) / name):
            return self.linter.errors_to_lint_result(name, f"## flake8 {name}\n\n{findings}")


class Conversation:
    """The state between turns: aider's messages, and what the models were asked."""

    def __init__(self, config: dict[str, Any], wire: ParentChannel):
        self.config = config
        self.desk = ModelGateway(
            Path(config["session"]), Path(config["requests"]), config["timeout"], wire
        )
        self.model = GatewayModel(
            "openai/replay" if config["replies"] is not None else config["model"]
        )
        self.model.prepare(self.desk, config["stream"], config["price"])
        self.others: dict[str, GatewayModel] = {}
        ends = "crlf" if b"\r\n" in (Path(config["workspace"]) / "main.py").read_bytes() else "lf"
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
            Path(config["workspace"]).resolve(),
            config["editable"],
            config["history"],
        )

    @property
    def unpriced(self) -> list[str]:
        """The models whose price is unknown, of those that may be asked; a recording asks none."""
        return [name for name in providers(self.config) if not self._asked(name).priced]

    def take(
        self, turn: int, message: str, recorded: list[dict], cost_left: float | None
    ) -> dict[str, Any]:
        """One message, up to four replies (repairs included), the edits applied. Always answers with a status."""
        coder = self.coder
        self.desk.begin({"turn": turn}, cost_left, recorded, self.config["replies"])
        before, refused, exhausted = (
            len(coder.done_messages),
            len(coder.refused),
            coder.num_exhausted_context_windows,
        )
        coder.unmatched = False
        status, detail = "ok", ""
        try:
            # preproc=True would obey a message that begins with / or !, and fetch URLs in it.
            coder.run(message, preproc=False)
        except NoReply as error:
            status, detail = error.kind, error.detail
        if coder.num_exhausted_context_windows > exhausted:
            status = "truncated"
        coder.move_back_cur_messages(None)
        return {
            "status": status,
            "detail": detail[:2000],
            "unmatched": coder.unmatched,
            "refused": coder.refused[refused:],
            "calls": self.desk.calls,
            "messages": coder.done_messages[before:],
        }

    def ask(self, purpose: str, prompt: str, model: str, cost_left: float | None) -> dict[str, Any]:
        """One question outside the conversation. Always answers, with a reason where there is no reply."""
        self.desk.begin({"purpose": purpose, "asked": model}, cost_left, [], None)
        try:
            record = self._asked(model).ask(prompt)
        except NoReply as error:
            return self.desk.unanswered(error)
        return {"text": record["reply"]}

    def _asked(self, name: str) -> GatewayModel:
        """The coder's own model, or another, made when it is first needed. --price is the coder's, unless that is a recording."""
        replayed = self.config["replies"] is not None
        if name == self.config["model"] and not replayed:
            return self.model
        if name not in self.others:
            if why := problem(name):
                raise NoReply("provider", why)
            self.others[name] = GatewayModel(name).prepare(
                self.desk, self.config["stream"], self.config["price"] if replayed else None
            )
        return self.others[name]


def problem(name: str) -> str:
    """Why no provider can be asked for this model, or ''."""
    try:
        litellm.get_llm_provider(aider_models.Model(name).name)
    except Exception:
        return f"unknown model {name!r}: write provider/name, for instance openai/gpt-4o or ollama_chat/qwen2.5-coder"
    missing = aider_models.Model(name).missing_keys
    return f"model {name!r} needs a key: export {missing[0]}=..." if missing else ""


def main() -> None:
    wire = ParentChannel()
    config = wire.first()
    problems = [
        not_plain(Path(config["workspace"]), ["main.py", *config["editable"]]),
        *map(problem, providers(config)),
    ]
    if any(problems):
        return wire.answer({"error": next(filter(None, problems))})
    conversation = Conversation(config, wire)
    wire.answer({"ready": True, "unpriced": conversation.unpriced})
    while True:
        order = wire.next()
        wire.answer(conversation.ask(**order) if "purpose" in order else conversation.take(**order))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
