"""What every request to a model passes, a coder's turn and a single question alike: a limit on its time, bounded retries, the
cost cap, the recording. Knows nothing of aider.

A reply is on disk (session.jsonl) before it is used, so that what was killed can be repeated without paying for it again. Where
the harness is killed while a provider works on a reply, the process waits for it, keeps it, and only then ends.
Not covered: what a provider bills for a request that it never answered; a look-up of a name that hangs, which the clock on the
harness's side ends.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.coder.worker.channel import ParentChannel
from agent.util.errors import Fault
from agent.util.files import append_line
from agent.util.secrets import redact

ATTEMPTS, FIRST_WAIT = (
    4,
    2.0,
)  # requests for one reply; seconds before the second, doubled each time
REPLIES_A_TURN = 4  # aider's first reply and three repairs
OWN_SECONDS = 60.0  # what Aider does with one reply: it lints a line of 60,000 signs for 20 s
PASSING = {408, 409, 425, 429}  # of the codes that say that the request is at fault


def waits(timeout: float) -> list[float]:
    """Seconds before each further request for one reply. Nobody waits longer for a turn than for an answer."""
    return [min(FIRST_WAIT * 2**k, timeout) for k in range(ATTEMPTS - 1)]


def reply_seconds(timeout: float) -> float:
    """The longest that one reply can take, with a limit of so many seconds on each request."""
    return ATTEMPTS * timeout + sum(waits(timeout))


def turn_seconds(timeout: float) -> float:
    """The longest that a turn can take, Aider's own work included."""
    return REPLIES_A_TURN * question_seconds(timeout)


def question_seconds(timeout: float) -> float:
    return reply_seconds(timeout) + OWN_SECONDS


class NoReply(BaseException):
    """No usable reply. Not an Exception: aider swallows those and goes on with an empty reply."""

    def __init__(self, kind: str, detail: str):
        super().__init__(kind, detail)
        self.kind, self.detail = kind, redact(detail)


class Overdue(BaseException):
    """Not an Exception: LiteLLM and aider swallow those."""


def within(seconds: float, request: Callable[[], dict]) -> dict:
    """What request() returns. Raises TimeoutError after so many seconds by the clock, however often a byte arrives.

    Only for the main thread. Rings again where something swallowed the first alarm.
    """

    def ring(*_: object) -> None:
        raise Overdue

    found = list[dict]()
    signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 5.0)
        found.append(request())
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Overdue:
        if not found:  # else it rang just after the answer
            raise TimeoutError(f"no whole reply within {seconds:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return found[0]


class UnusableReply(RuntimeError):
    """A response that is no reply, and what it cost all the same."""

    def __init__(self, why: str, counted: dict[str, Any]):
        super().__init__(why)
        self.counted = counted


class ModelGateway:
    """Asks, and keeps what was asked and what came back under a label: {"turn": 3} or {"purpose": "judge 3.1"}."""

    def __init__(self, session: Path, requests: Path, timeout: float, wire: ParentChannel):
        self.session, self.requests, self.timeout, self.wire = session, requests, timeout, wire
        self.begin({}, None, [], None)

    def begin(
        self,
        label: dict[str, Any],
        cost_left: float | None,
        recorded: list[dict],
        replies: list[dict] | None,
    ) -> None:
        """What follows belongs to this label, may cost so much, and was answered before as far as `recorded` goes.

        replies: a recording that stands in for the provider, used up from its front.
        """
        self.label, self.cost_left, self.recorded, self.replies = (
            label,
            cost_left,
            recorded,
            replies,
        )
        self.spent, self.calls = 0.0, list[dict]()

    def reply(self, messages: list[dict], request: Callable[[], dict]) -> dict:
        """One reply, on disk before it is returned. Raises NoReply."""
        try:
            if self.recorded:
                record = self.recorded.pop(0)
            else:
                append_line(self.requests, {**self.label, "messages": messages})
                record = (
                    self._insist(request)
                    if self.replies is None
                    else self._keep(self._replay(self.replies))
                )
        except Fault as fault:  # a full disk; aider would go on
            raise NoReply(fault.kind, fault.detail) from None
        self.calls.append(record)
        return record

    def unanswered(self, error: NoReply) -> dict[str, str]:
        """What is said of a question without a reply, and kept."""
        try:
            append_line(self.session, {**self.label, "error": error.detail[:500]})
        except Fault as fault:
            error = NoReply(fault.kind, fault.detail)
        return {"why": error.detail[:500], "kind": error.kind}

    def _replay(self, replies: list[dict]) -> dict:
        if not replies:
            raise NoReply("session_ended", "the recorded session has no further reply")
        return {**replies.pop(0), "replayed": True, "cost": 0.0}

    def _insist(self, request: Callable[[], dict]) -> dict:
        """What a provider answers, after a few requests at most."""
        for attempt, wait in enumerate([*waits(self.timeout), None], 1):
            if self.cost_left is not None and self.spent >= self.cost_left:
                raise NoReply("cost_limit", "the cost cap is reached")
            record, error = self._ask(request)
            if error is None:
                return record
            text = f"{type(error).__name__}: {error}"
            code = getattr(error, "status_code", None) or 0
            if (400 <= code < 500 and code not in PASSING) or "quota" in text:
                raise NoReply("provider", text)
            if wait is None:
                raise NoReply("provider", f"{text} (after {attempt} requests)")
            time.sleep(wait)
        raise AssertionError("not reached")

    def _ask(self, request: Callable[[], dict]) -> tuple[dict, Exception | None]:
        """One request. What came of it is on disk before the process may end."""
        with self.wire.open():
            started = time.monotonic()
            try:
                record, error = within(self.timeout, request), None
            except Exception as caught:
                record, error = (
                    {
                        "error": redact(f"{type(caught).__name__}: {caught}")[:500],
                        **getattr(caught, "counted", {}),
                    },
                    caught,
                )
            record |= {
                "seconds": round(time.monotonic() - started, 3),
                "time": round(time.time(), 3),
            }
            if error is None:
                return self._keep(record), None
            if "cost" in record:
                self._spend(record)
            self.calls.append(record)
            append_line(self.session, {**self.label, **record})
            return record, error

    def _keep(self, record: dict) -> dict:
        """Half a surrogate pair cannot be printed; a key that comes back would stand in the code."""
        record["reply"] = redact(record["reply"].encode("utf-8", "replace").decode())
        append_line(self.session, {**self.label, **record})
        self._spend(record)
        return record

    def _spend(self, record: dict) -> None:
        cost = record.get("cost")
        self.spent += (
            math.inf if cost is None and self.cost_left is not None else cost or 0.0
        )  # unknown is not nothing


def record_of(response: Any, info: dict[str, Any]) -> dict:
    """A provider's response -> what is kept of it. info: prices as LiteLLM names them. Raises UnusableReply."""
    choice = response.choices[0] if response is not None and response.choices else None
    counted = {} if response is None else _count(getattr(response, "usage", None), info)
    if choice is None or not (choice.message.content or "").strip():
        raise UnusableReply("the provider sent an empty reply", counted)
    if not choice.finish_reason:
        raise UnusableReply("the provider's reply broke off", counted)
    return {"reply": choice.message.content, "finish_reason": choice.finish_reason, **counted}


def _count(usage: Any, info: dict[str, Any]) -> dict[str, Any]:
    # A server that does not count is made to say 0 by litellm; no request has no tokens.
    sent, received = (
        getattr(usage, "prompt_tokens", None) or None,
        getattr(usage, "completion_tokens", None),
    )
    cost = None
    if info.get("input_cost_per_token") is not None and sent is not None:
        cost = sent * info["input_cost_per_token"] + (received or 0) * (
            info.get("output_cost_per_token") or 0
        )
    return {"prompt_tokens": sent, "completion_tokens": received, "cost": cost}


def kept_from_aider(write: Callable[..., None]) -> Callable[..., None]:
    """A function that writes a file. Of a full disk aider would tell the model, and pay for what that answers."""

    def written(terminal: Any, path: Any, *arguments: Any, **options: Any) -> None:
        try:
            write(terminal, path, *arguments, **options)
        except OSError as error:
            raise NoReply("disk", f"{path}: {error.strerror}") from error

    return written


def drop_or_raise(drop: Callable[[Any, dict], dict]) -> Callable[[Any, dict], dict]:
    """LiteLLM's answer to a 422: ask again without the parameters that it names. Where it names none, the error is the answer."""

    def changed(error: Any, parameters: dict) -> dict:
        if (kept := drop(error, parameters)) == parameters:
            raise error
        return kept

    return changed


def providers(config: dict[str, Any]) -> list[str]:
    """The models that may be asked; a recording is none."""
    return [
        name
        for name in (config["model"] if config["replies"] is None else None, config["judge"])
        if name
    ]
