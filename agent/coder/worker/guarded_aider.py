"""Aider's classes, with one way out to the models, one fixed answer to every question, and no file
but the editable ones.

Importing it changes aider and litellm: they look nothing up and repeat nothing. main.py sets the
environment that they read when they are imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import litellm
from aider import models as aider_models
from aider.coders import base_coder
from aider.coders.editblock_coder import EditBlockCoder
from aider.io import InputOutput
from aider.models import model_info_manager
from litellm.llms.openai import openai as openai_handler

from agent.coder.worker.edit_blocks import check_blocks, check_search, editable_name
from agent.coder.worker.gateway import ModelGateway, NoReply, record_of
from agent.util.flake8 import flake8
from agent.util.secrets import redact

TEMPERATURE = 1.0  # of a single question: at 0 three votes would be one vote


def drop_or_raise(drop: Callable[[Any, dict], dict]) -> Callable[[Any, dict], dict]:
    """Return LiteLLM's handler of a 422, changed to raise an error that names no parameter.

    LiteLLM asks again without the parameters that the error names: where there are none, the same.
    """

    def changed(error: Any, parameters: dict) -> dict:
        kept = drop(error, parameters)
        if kept == parameters:
            raise error
        return kept

    return changed


# The harness is the one who asks and retries.
model_info_manager._update_cache = lambda: None
model_info_manager.openrouter_manager._update_cache = lambda: None
model_info_manager.fetch_openrouter_model_info = lambda model: {}
base_coder.RETRY_TIMEOUT = 0
aider_models.RETRY_TIMEOUT = 0
handler: Any = openai_handler
handler.drop_params_from_unprocessable_entity_error = drop_or_raise(
    handler.drop_params_from_unprocessable_entity_error
)


def problem(name: str) -> str:
    """Return why no provider can be asked for this model, or ''."""
    try:
        litellm.get_llm_provider(aider_models.Model(name).name)
    except Exception:
        return (
            f"unknown model {name!r}: write provider/name, "
            "for instance openai/gpt-4o or ollama_chat/qwen2.5-coder"
        )
    missing = aider_models.Model(name).missing_keys
    return f"model {name!r} needs a key: export {missing[0]}=..." if missing else ""


class GatewayModel(aider_models.Model):
    """Aider's model, with one way out."""

    def prepare(
        self,
        gateway: ModelGateway,
        stream: bool,
        price: list[float] | None,
    ) -> GatewayModel:
        """Send every request through the gateway, and return the model itself."""
        self.gateway = gateway
        self.streamed = stream
        if price:
            sent, received = price
            prices = {"input_cost_per_token": sent, "output_cost_per_token": received}
            self.info = {**(self.info or {}), **prices}
        # Else a reply that is too long is continued without end.
        self.info.pop("supports_assistant_prefill", None)
        self.weak_model = self
        self.editor_model = self
        self.max_chat_history_tokens = 10**9
        limits = {"timeout": gateway.timeout, "max_retries": 0}
        self.extra_params = {**(self.extra_params or {}), **limits}
        if self.streamed:  # else the tokens of a streamed reply are a guess
            self.extra_params["stream_options"] = {"include_usage": True}
        return self

    @property
    def priced(self) -> bool:
        """Return whether the price of a request is known."""
        return self.info.get("input_cost_per_token") is not None

    def send_completion(self, messages, functions, stream, temperature=None):
        """Return what aider expects of a request that was answered, from the gateway's record."""
        request = partial(self._request, messages, functions, temperature)
        record = self.gateway.reply(messages, request)
        usage = {
            "prompt_tokens": record.get("prompt_tokens") or 0,
            "completion_tokens": record.get("completion_tokens") or 0,
        }
        # litellm refuses words that it does not know.
        reason = "length" if record["finish_reason"] == "length" else "stop"
        choice = {
            "index": 0,
            "finish_reason": reason,
            "message": {"role": "assistant", "content": record["reply"]},
        }
        return hashlib.sha1(), litellm.ModelResponse(model=self.name, choices=[choice], usage=usage)

    def ask(self, prompt: str) -> dict:
        """Return the record of the reply to a single question. Raises NoReply."""
        messages = [{"role": "user", "content": prompt}]
        return self.gateway.reply(messages, partial(self._request, messages, None, TEMPERATURE))

    def _request(self, messages, functions, temperature) -> dict:
        _, response = super().send_completion(messages, functions, self.streamed, temperature)
        if self.streamed:
            response = litellm.stream_chunk_builder(list(response), messages=messages)
        return {**record_of(response, self.info), "model": self.name}


class Terminal(InputOutput):
    """Aider's terminal, which answers every question by a fixed rule: repair lint, refuse the rest.

    It opens nothing, and redacts what it keeps.
    """

    def write_text(self, filename, content, *args, **kwargs):
        """Write a file.

        Of a full disk aider would tell the model, and pay for what that answers.
        """
        try:
            super().write_text(filename, content, *args, **kwargs)
        except OSError as error:
            raise NoReply("disk", f"{filename}: {error.strerror}") from error

    def confirm_ask(self, question, *args, **kwargs):
        """Answer yes to a repair of lint, and no to anything else."""
        # Aider would go on as if the model had answered nothing.
        if question.startswith("Try to proceed anyway?"):
            raise NoReply(
                "provider",
                "ContextWindowExceeded: by Aider's estimate the conversation is longer than "
                "the model can read",
            )
        self.yes = question.startswith("Attempt to fix lint errors?")
        return super().confirm_ask(question, *args, **kwargs)

    def prompt_ask(self, question, default="", subject=None):
        """Answer no."""
        return "no"

    def offer_url(self, url, *args, **kwargs):
        """Open no page."""
        return False

    def append_chat_history(
        self,
        text,
        linebreak=False,
        blockquote=False,
        strip=True,
    ):
        """Keep a part of the chat, without secrets."""
        super().append_chat_history(redact(text), linebreak, blockquote, strip)


# aider's summaries cost requests that it does not count, and are thrown away.
NO_SUMMARY = SimpleNamespace(
    too_big=lambda messages: False,
    summarize=lambda messages, depth=0: messages,
)


class GuardedCoder(EditBlockCoder):
    """Aider's SEARCH/REPLACE coder, kept to the editable files of one folder."""

    def __init__(
        self,
        model,
        terminal,
        workspace: Path,
        editable: list[str],
        history: list[dict],
    ):
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
        self.root = str(workspace)
        self.editable = editable
        self.linter.root = self.root
        self.linter.flake8_lint = self._flake8
        self.done_messages = history
        self.refused = list[str]()
        self.unmatched = False

    def get_abs_fnames_content(self):
        """Return the files in one order.

        Aider keeps the names in a set, and no prompt would be the same again in another process.
        """
        return sorted(super().get_abs_fnames_content())

    def get_edits(self):
        """Return the edits of editable files.

        Paths are judged before aider opens them: even its dry run reads the file that a reply
        names.
        """
        check_blocks(self.partial_response_content)
        kept = []
        for path, search, replace in super().get_edits():
            name = editable_name(path, self.root, self.editable)
            if name:
                check_search(name, search, self.io.read_text(Path(self.root) / name) or "")
                kept.append((name, search, replace))
            else:
                self.refused.append(path)
        return kept

    def allowed_to_edit(self, path):
        """Return whether a path is that of an editable file itself."""
        return path in self.editable and not (Path(self.root) / path).is_symlink()

    def apply_updates(self):
        """Apply a reply's edits, note what matched nothing, and tell the model what was refused."""
        refused = len(self.refused)
        malformed = self.num_malformed_responses
        edited = super().apply_updates()
        if self.num_malformed_responses > malformed:
            self.unmatched = True
        elif edited:
            self.unmatched = False
        names = self.refused[refused:]
        if names:
            files = " and ".join(self.editable)
            note = f"Not applied: edits to {', '.join(names)}. Only {files} may be edited."
            if self.reflected_message:
                note = f"{self.reflected_message}\n\n{note}"
            self.reflected_message = note
        return edited

    def lint_edited(self, fnames):
        """Return what the linter finds in the Python files, as a message for the model."""
        try:
            return super().lint_edited([name for name in fnames if name and name.endswith(".py")])
        except Exception as error:  # NUL bytes and deep nesting make aider's linter itself fail
            return f"The file could not be parsed: {type(error).__name__}: {error}\n"

    def _flake8(self, name):
        findings = flake8(Path(self.root) / name)
        if findings:
            return self.linter.errors_to_lint_result(name, f"## flake8 {name}\n\n{findings}")
