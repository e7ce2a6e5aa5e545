"""One conversation with Aider, in a process of its own: the only module that imports aider.

    first line in:   {"model", "workspace", "editable", "session", "requests", "chat", "history", "replies", "price", "timeout", "stream"}
    first line out:  {"ready": true, "priced": bool} or {"error": "why this model cannot be used"}
    then, per turn:  {"turn", "message", "recorded", "cost_left"} in, {"status", ...} out

Everything that leaves for a model passes Model.send_completion: bounded retries, the cost cap, the recording. A reply
is on disk (session.jsonl) before Aider sees it, so that a killed turn can be repeated without paying for it again.
The process ends when its input does: it never outlives the harness that started it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no price list from the network
os.environ["LITELLM_MODE"] = "PRODUCTION"  # no .env picked up from folders
os.environ["HF_HUB_OFFLINE"] = "1"  # no tokenizer download
os.environ.pop("GITHUB_COPILOT_TOKEN", None)  # aider would write it over OPENAI_API_KEY
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import litellm
from aider import models as aider_models
from aider.coders import base_coder
from aider.coders.editblock_coder import EditBlockCoder
from aider.io import InputOutput
from aider.models import model_info_manager

from agent.files import append_line
from agent.lint import flake8
from agent.secrets import redact

ATTEMPTS, FIRST_WAIT = 4, 2.0  # requests for one reply; seconds before the second, doubled each time
HOPELESS = {"AuthenticationError", "PermissionDeniedError", "NotFoundError", "BadRequestError", "UnsupportedParamsError",
            "ContentPolicyViolationError", "UnprocessableEntityError", "ContextWindowExceededError"}  # fmt: skip

# The harness is the one who asks and retries; aider looks nothing up and repeats nothing.
model_info_manager._update_cache = lambda: None
model_info_manager.openrouter_manager._update_cache = lambda: None
model_info_manager.fetch_openrouter_model_info = lambda model: {}
base_coder.RETRY_TIMEOUT = aider_models.RETRY_TIMEOUT = 0


class NoReply(BaseException):
    """No usable reply. Not an Exception: aider swallows those and goes on with an empty reply."""

    def __init__(self, kind: str, detail: str):
        super().__init__(kind, detail)
        self.kind, self.detail = kind, redact(detail)


class Model(aider_models.Model):
    """aider's model, with one way out."""

    def prepare(self, config: dict[str, Any]) -> None:
        self.session, self.requests = Path(config["session"]), Path(config["requests"])
        self.timeout, self.streamed = config["timeout"], config["stream"]
        self.replies: list[dict] | None = config["replies"]  # a recording that stands in for the provider
        self.turn, self.spent = 0, 0.0
        self.recorded: list[dict] = []
        self.cost_left: float | None = None
        self.calls: list[dict] = []
        if config["price"]:
            self.info = {**(self.info or {}), **dict(zip(("input_cost_per_token", "output_cost_per_token"), config["price"], strict=True))}
        self.info.pop("supports_assistant_prefill", None)  # else a reply that is too long is continued without end
        self.weak_model = self.editor_model = self
        self.max_chat_history_tokens = 10**9
        self.extra_params = {**(self.extra_params or {}), "timeout": self.timeout, "max_retries": 0}
        if self.streamed:  # else the tokens of a streamed reply are a guess
            self.extra_params["stream_options"] = {"include_usage": True}

    @property
    def priced(self) -> bool:
        return self.replies is not None or self.info.get("input_cost_per_token") is not None

    def send_completion(self, messages, functions, stream, temperature=None):
        if self.recorded:
            record = self.recorded.pop(0)
        else:
            append_line(self.requests, {"turn": self.turn, "messages": messages})
            record = self._replay() if self.replies is not None else self._ask(messages, functions, temperature)
            record["reply"] = record["reply"].encode("utf-8", "replace").decode()  # half a surrogate pair cannot be printed
            append_line(self.session, {"turn": self.turn, **record})
            cost = record.get("cost")
            self.spent += math.inf if cost is None and self.cost_left is not None else cost or 0.0  # unknown is not nothing
        self.calls.append(record)
        usage = {"prompt_tokens": record.get("prompt_tokens") or 0, "completion_tokens": record.get("completion_tokens") or 0}
        reason = "length" if record["finish_reason"] == "length" else "stop"  # litellm refuses words that it does not know
        choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": record["reply"]}}
        return hashlib.sha1(), litellm.ModelResponse(model=self.name, choices=[choice], usage=usage)

    def _replay(self) -> dict:
        if not self.replies:
            raise NoReply("session_ended", "the recorded session has no further reply")
        return {**self.replies.pop(0), "replayed": True, "cost": 0.0}

    def _ask(self, messages, functions, temperature) -> dict:
        until, wait = time.monotonic() + max(3 * self.timeout, 60.0), FIRST_WAIT
        for attempt in range(1, ATTEMPTS + 1):
            if self.cost_left is not None and self.spent >= self.cost_left:
                raise NoReply("cost_limit", "the cost cap is reached")
            started = time.monotonic()
            try:
                record = self._request(messages, functions, temperature)
                return {**record, "seconds": round(time.monotonic() - started, 3), "model": self.name, "time": round(time.time(), 3)}
            except Exception as error:
                name, text = type(error).__name__, f"{type(error).__name__}: {error}"
                self.calls.append({"error": redact(text)[:500], "seconds": round(time.monotonic() - started, 3)})
                append_line(self.session, {"turn": self.turn, **self.calls[-1]})
                if name in HOPELESS or "quota" in text:
                    raise NoReply("context" if name == "ContextWindowExceededError" else "provider", text) from None
            if attempt == ATTEMPTS or time.monotonic() + wait + self.timeout > until:
                raise NoReply("provider", f"{text} (after {attempt} requests)")
            time.sleep(wait)
            wait *= 2
        raise AssertionError("not reached")

    def _request(self, messages, functions, temperature) -> dict:
        _, response = super().send_completion(messages, functions, self.streamed, temperature)
        if self.streamed:
            response = litellm.stream_chunk_builder(list(response), messages=messages)
        choice = response.choices[0] if response is not None and response.choices else None
        if choice is None or not (choice.message.content or "").strip():
            raise RuntimeError("the provider sent an empty reply")
        if not choice.finish_reason:
            raise RuntimeError("the provider's reply broke off")
        usage = getattr(response, "usage", None)
        # A server that does not count is made to say 0 by litellm; no request has no tokens.
        sent, received = getattr(usage, "prompt_tokens", None) or None, getattr(usage, "completion_tokens", None)
        cost = None
        if self.info.get("input_cost_per_token") is not None and sent is not None:
            cost = sent * self.info["input_cost_per_token"] + (received or 0) * (self.info.get("output_cost_per_token") or 0)
        return {"reply": choice.message.content, "finish_reason": choice.finish_reason,
                "prompt_tokens": sent, "completion_tokens": received, "cost": cost}  # fmt: skip


class Terminal(InputOutput):
    """Answers every question by a fixed rule: repair lint, refuse the rest. Opens nothing, and redacts what it keeps."""

    def confirm_ask(self, question, *args, **kwargs):
        self.yes = question.startswith("Attempt to fix lint errors?")
        return super().confirm_ask(question, *args, **kwargs)

    def prompt_ask(self, question, default="", subject=None):
        return "no"

    def offer_url(self, url, *args, **kwargs):
        return False

    def append_chat_history(self, text, linebreak=False, blockquote=False, strip=True):
        super().append_chat_history(redact(text), linebreak, blockquote, strip)


class NoSummary:
    """aider's summaries cost requests that it does not count, and are thrown away."""

    def too_big(self, messages):
        return False

    def summarize(self, messages, depth=0):
        return messages


class Coder(EditBlockCoder):
    """aider's SEARCH/REPLACE coder, kept to the editable files of one folder."""

    def __init__(self, model, terminal, workspace: Path, editable: list[str], history: list[dict]):
        for name in editable:
            if (workspace / name).is_symlink() or not (workspace / name).is_file():
                raise ValueError(f"{workspace / name} is not a plain file")
        super().__init__(model, terminal, fnames=[str(workspace / name) for name in editable], use_git=False, map_tokens=0,
                         auto_commits=False, dirty_commits=False, stream=False, auto_lint=True, auto_test=False,
                         detect_urls=False, suggest_shell_commands=False, summarizer=NoSummary(), chat_language="English")  # fmt: skip
        self.root, self.editable = str(workspace), editable
        self.linter.root = self.root
        self.linter.flake8_lint = self._flake8
        self.done_messages = history
        self.refused: list[str] = []
        self.unmatched = False

    def get_edits(self):
        """Paths are judged before aider opens them: even its dry run reads the file that a reply names."""
        kept = []
        for path, search, replace in super().get_edits():
            if name := self._editable_name(path):
                kept.append((name, search, replace))
            else:
                self.refused.append(path)
        return kept

    def _editable_name(self, path: str) -> str | None:
        """main.py, ./main.py, /the/workspace/main.py, and /some/other/folder/main.py, which is a common slip."""
        if path is None or "\0" in path:
            return None
        full = Path(os.path.normpath(Path(self.root) / path))
        inside = str(full.relative_to(self.root)) if full.is_relative_to(self.root) else full.name
        return inside if inside in self.editable else None

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
            self.reflected_message = f"{self.reflected_message}\n\n{note}" if self.reflected_message else note
        return edited

    def lint_edited(self, fnames):
        try:
            return super().lint_edited([name for name in fnames if name and name.endswith(".py")])
        except Exception as error:  # NUL bytes and very deep nesting make aider's linter itself fail
            return f"The file could not be parsed: {type(error).__name__}: {error}\n"

    def _flake8(self, name):
        if findings := flake8(Path(self.root) / name):
            return self.linter.errors_to_lint_result(name, f"## flake8 {name}\n\n{findings}")


class Conversation:
    """The state between turns: aider's messages, and what the model was asked."""

    def __init__(self, config: dict[str, Any]):
        self.model = Model("openai/replay" if config["replies"] is not None else config["model"])
        self.model.prepare(config)
        ends = "crlf" if b"\r\n" in (Path(config["workspace"]) / "main.py").read_bytes() else "lf"
        terminal = Terminal(yes=False, pretty=False, fancy_input=False, chat_history_file=config["chat"], line_endings=ends)
        self.coder = Coder(self.model, terminal, Path(config["workspace"]).resolve(), config["editable"], config["history"])

    def take(self, turn: int, message: str, recorded: list[dict], cost_left: float | None) -> dict[str, Any]:
        """One message, up to four replies (repairs included), the edits applied. Always answers with a status."""
        coder, model = self.coder, self.model
        model.turn, model.recorded, model.cost_left, model.spent, model.calls = turn, recorded, cost_left, 0.0, []
        before, refused, exhausted = len(coder.done_messages), len(coder.refused), coder.num_exhausted_context_windows
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
        return {"status": status, "detail": detail[:2000], "unmatched": coder.unmatched, "refused": coder.refused[refused:],
                "calls": model.calls, "messages": coder.done_messages[before:]}  # fmt: skip


def problem(name: str) -> str:
    """Why no provider can be asked for this model, or ''."""
    try:
        litellm.get_llm_provider(aider_models.Model(name).name)
    except Exception:
        return f"unknown model {name!r}: write provider/name, for instance openai/gpt-4o or ollama_chat/qwen2.5-coder"
    missing = aider_models.Model(name).missing_keys
    return f"model {name!r} needs a key: export {missing[0]}=..." if missing else ""


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # aider prints; only answers go to the harness

    def answer(value: dict) -> None:
        print(json.dumps(value), file=answers, flush=True)

    config = json.loads(sys.stdin.readline())
    if config["replies"] is None and (why := problem(config["model"])):
        return answer({"error": why})
    conversation = Conversation(config)
    answer({"ready": True, "priced": conversation.model.priced})
    messages: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: (*map(messages.put, sys.stdin), os._exit(0)), daemon=True).start()
    while True:
        answer(conversation.take(**json.loads(messages.get())))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
