"""What every request to a model passes, a coder's turn and a single question alike: bounded retries, the cost cap, the
recording. Knows nothing of aider.

A reply is on disk (session.jsonl) before it is used, so that what was killed can be repeated without paying for it again.
Not covered: a provider that sends one byte now and then; the clock on the harness's side ends that.
"""

from __future__ import annotations

import json
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.files import append_line
from agent.secrets import redact

ATTEMPTS, FIRST_WAIT = 4, 2.0  # requests for one reply; seconds before the second, doubled each time
HOPELESS = {"AuthenticationError", "PermissionDeniedError", "NotFoundError", "BadRequestError", "UnsupportedParamsError",
            "ContentPolicyViolationError", "UnprocessableEntityError", "ContextWindowExceededError"}  # fmt: skip


class NoReply(BaseException):
    """No usable reply. Not an Exception: aider swallows those and goes on with an empty reply."""

    def __init__(self, kind: str, detail: str):
        super().__init__(kind, detail)
        self.kind, self.detail = kind, redact(detail)


class Desk:
    """Asks, and keeps what was asked and what came back under a label: {"turn": 3} or {"purpose": "judge 3.1"}."""

    def __init__(self, session: Path, requests: Path, timeout: float):
        self.session, self.requests, self.timeout = session, requests, timeout
        self.begin({}, None, [], None)

    def begin(self, label: dict[str, Any], cost_left: float | None, recorded: list[dict], replies: list[dict] | None) -> None:
        """What follows belongs to this label, may cost so much, and was answered before as far as `recorded` goes.

        replies: a recording that stands in for the provider, used up from its front.
        """
        self.label, self.cost_left, self.recorded, self.replies = label, cost_left, recorded, replies
        self.spent, self.calls = 0.0, list[dict]()

    def reply(self, messages: list[dict], request: Callable[[], dict]) -> dict:
        """One reply, on disk before it is returned. Raises NoReply."""
        if self.recorded:
            record = self.recorded.pop(0)
        else:
            append_line(self.requests, {**self.label, "messages": messages})
            record = self._insist(request) if self.replies is None else self._replay(self.replies)
            record["reply"] = record["reply"].encode("utf-8", "replace").decode()  # half a surrogate pair cannot be printed
            append_line(self.session, {**self.label, **record})
            cost = record.get("cost")
            self.spent += math.inf if cost is None and self.cost_left is not None else cost or 0.0  # unknown is not nothing
        self.calls.append(record)
        return record

    def _replay(self, replies: list[dict]) -> dict:
        if not replies:
            raise NoReply("session_ended", "the recorded session has no further reply")
        return {**replies.pop(0), "replayed": True, "cost": 0.0}

    def _insist(self, request: Callable[[], dict]) -> dict:
        """What a provider answers, after a few requests at most."""
        until, wait = time.monotonic() + max(3 * self.timeout, 60.0), FIRST_WAIT
        for attempt in range(1, ATTEMPTS + 1):
            if self.cost_left is not None and self.spent >= self.cost_left:
                raise NoReply("cost_limit", "the cost cap is reached")
            started = time.monotonic()
            try:
                return {**request(), "seconds": round(time.monotonic() - started, 3), "time": round(time.time(), 3)}
            except Exception as error:
                name, text = type(error).__name__, f"{type(error).__name__}: {error}"
                self.calls.append({"error": redact(text)[:500], "seconds": round(time.monotonic() - started, 3)})
                append_line(self.session, {**self.label, **self.calls[-1]})
                if name in HOPELESS or "quota" in text:
                    raise NoReply("context" if name == "ContextWindowExceededError" else "provider", text) from None
            if attempt == ATTEMPTS or time.monotonic() + wait + self.timeout > until:
                raise NoReply("provider", f"{text} (after {attempt} requests)")
            time.sleep(wait)
            wait *= 2
        raise AssertionError("not reached")


def record_of(response: Any, info: dict[str, Any]) -> dict:
    """A provider's response -> what is kept of it. info: prices as LiteLLM names them. Raises RuntimeError."""
    choice = response.choices[0] if response is not None and response.choices else None
    if choice is None or not (choice.message.content or "").strip():
        raise RuntimeError("the provider sent an empty reply")
    if not choice.finish_reason:
        raise RuntimeError("the provider's reply broke off")
    usage = getattr(response, "usage", None)
    # A server that does not count is made to say 0 by litellm; no request has no tokens.
    sent, received = getattr(usage, "prompt_tokens", None) or None, getattr(usage, "completion_tokens", None)
    cost = None
    if info.get("input_cost_per_token") is not None and sent is not None:
        cost = sent * info["input_cost_per_token"] + (received or 0) * (info.get("output_cost_per_token") or 0)
    return {"reply": choice.message.content, "finish_reason": choice.finish_reason,
            "prompt_tokens": sent, "completion_tokens": received, "cost": cost}  # fmt: skip


def providers(config: dict[str, Any]) -> list[str]:
    """The models that may be asked; a recording is none."""
    return [name for name in (config["model"] if config["replies"] is None else None, config["judge"]) if name]


class Wire:
    """One JSON line in, one out. The process ends when its input does: it never outlives the harness that started it."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # aider prints; only answers go to the harness
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=lambda: (*map(self._lines.put, sys.stdin), os._exit(0)), daemon=True)

    def first(self) -> dict[str, Any]:
        return dict(json.loads(sys.stdin.readline()))

    def next(self) -> dict[str, Any]:
        """A line after the first. The reader starts here: a process that ends at once must not be holding its input."""
        if not self._reader.is_alive():
            self._reader.start()
        return dict(json.loads(self._lines.get()))

    def answer(self, value: dict[str, Any]) -> None:
        print(json.dumps(value), file=self._answers, flush=True)
