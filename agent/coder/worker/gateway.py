"""The gateway that every request to a model passes, a coder's turn and a single question alike: a
limit on its time, bounded retries, the cost cap, the recording. Knows nothing of aider.

A reply is on disk (session.jsonl) before it is used, so that what was killed can be repeated
without paying for it again. Where the harness is killed while a provider works on a reply, the
process waits for it, keeps it, and only then ends.
Not covered: what a provider bills for a request that it never answered; a look-up of a name that
hangs, which the clock on the harness's side ends.
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

ATTEMPTS = 4  # requests for one reply
FIRST_WAIT = 2.0  # seconds before the second request, doubled before each further one
REPLIES_A_TURN = 4  # aider's first reply and three repairs
OWN_SECONDS = 60.0  # what Aider does with one reply: it lints a line of 60,000 signs for 20 s
DETAIL_CHARACTERS = 500  # of an error that is kept
PASSING = {408, 409, 425, 429}  # of the codes that say that the request is at fault


def waits(timeout: float) -> list[float]:
    """Return the seconds before each further request for one reply.

    Nobody waits longer for a turn than for an answer.
    """
    return [min(FIRST_WAIT * 2**k, timeout) for k in range(ATTEMPTS - 1)]


def reply_seconds(timeout: float) -> float:
    """Return the longest that one reply can take, with so many seconds for each request."""
    return ATTEMPTS * timeout + sum(waits(timeout))


def turn_seconds(timeout: float) -> float:
    """Return the longest that a turn can take, Aider's own work included."""
    return REPLIES_A_TURN * question_seconds(timeout)


def question_seconds(timeout: float) -> float:
    """Return the longest that a single question can take."""
    return reply_seconds(timeout) + OWN_SECONDS


class NoReply(BaseException):
    """The end of all requests for one reply. Not an Exception: aider swallows those and goes on
    with an empty reply.
    """

    def __init__(self, kind: str, detail: str):
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = redact(detail)


class Overdue(BaseException):
    """The alarm of within(). Not an Exception: LiteLLM and aider swallow those."""


class UnusableReply(RuntimeError):
    """A response that is no reply, and what it cost all the same."""

    def __init__(
        self,
        why: str,
        counted: dict[str, Any],
    ):
        super().__init__(why)
        self.counted = counted


class RequestFailed(Exception):
    """A request that brought no reply."""

    def __init__(self, error: Exception):
        super().__init__(f"{type(error).__name__}: {error}")
        code = getattr(error, "status_code", None) or 0
        at_fault = 400 <= code < 500 and code not in PASSING
        self.hopeless = at_fault or "quota" in str(self)  # the same request would fail again


def within(
    seconds: float,
    request: Callable[[], dict],
) -> dict:
    """Return what request() returns.

    Raises TimeoutError after so many seconds by the clock, however often a byte arrives. Only for
    the main thread. The alarm rings again where something swallowed the first one.
    """

    def ring(*_: object) -> None:
        raise Overdue

    replies = list[dict]()
    signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 5.0)
        replies.append(request())
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Overdue:
        if not replies:  # else it rang just after the answer
            raise TimeoutError(f"no whole reply within {seconds:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return replies[0]


class ModelGateway:
    """The way out to the models.

    It keeps what was asked and what came back under a label: {"turn": 3} or
    {"purpose": "judge 3.1"}.
    """

    def __init__(
        self,
        session: Path,
        requests: Path,
        timeout: float,
        channel: ParentChannel,
    ):
        self.session = session
        self.requests = requests
        self.timeout = timeout
        self.channel = channel
        self.begin({}, None, [], None)

    def begin(
        self,
        label: dict[str, Any],
        cost_left: float | None,
        recorded: list[dict],
        replies: list[dict] | None,
    ) -> None:
        """Keep what follows under this label, within this cost.

        recorded: records on disk that answer its first requests; replies: a recording that stands
        in for the provider, used up from its front.
        """
        self.label = label
        self.cost_left = cost_left
        self.recorded = recorded
        self.replies = replies
        self.spent = 0.0
        self.calls = list[dict]()

    def reply(
        self,
        messages: list[dict],
        request: Callable[[], dict],
    ) -> dict:
        """Return one reply, which is on disk by then. Raises NoReply."""
        try:
            record = self._reply(messages, request)
        except Fault as fault:  # a full disk; aider would go on
            raise NoReply(fault.kind, fault.detail) from None
        self.calls.append(record)
        return record

    def _reply(
        self,
        messages: list[dict],
        request: Callable[[], dict],
    ) -> dict:
        if self.recorded:
            return self.recorded.pop(0)
        append_line(self.requests, {**self.label, "messages": messages})
        if self.replies is None:
            return self._insist(request)
        if not self.replies:
            raise NoReply("session_ended", "the recorded session has no further reply")
        return self._keep({**self.replies.pop(0), "replayed": True, "cost": 0.0})

    def unanswered(self, error: NoReply) -> dict[str, str]:
        """Keep that a question has no reply, and return why."""
        detail = error.detail[:DETAIL_CHARACTERS]
        try:
            append_line(self.session, {**self.label, "error": detail})
        except Fault as fault:
            return {"why": redact(fault.detail)[:DETAIL_CHARACTERS], "kind": fault.kind}
        return {"why": detail, "kind": error.kind}

    def _insist(self, request: Callable[[], dict]) -> dict:
        """Return what a provider answers, after a few requests at most."""
        for attempt, wait in enumerate([*waits(self.timeout), None], 1):
            if self.cost_left is not None and self.spent >= self.cost_left:
                raise NoReply("cost_limit", "the cost cap is reached")
            try:
                return self._ask(request)
            except RequestFailed as caught:
                failure = caught
            if failure.hopeless:
                raise NoReply("provider", str(failure))
            if wait is None:
                raise NoReply("provider", f"{failure} (after {attempt} requests)")
            time.sleep(wait)
        raise AssertionError("not reached")

    def _ask(self, request: Callable[[], dict]) -> dict:
        """Make one request. What came of it is on disk before the process may end."""
        with self.channel.open():
            started = time.monotonic()
            try:
                record = within(self.timeout, request)
            except Exception as error:
                failure = RequestFailed(error)
                text = redact(str(failure))[:DETAIL_CHARACTERS]
                counted = getattr(error, "counted", {})
                self._keep_failure({"error": text, **counted}, started)
                raise failure from error
            return self._keep(record | _stamp(started))

    def _keep_failure(self, record: dict, started: float) -> None:
        record |= _stamp(started)
        if "cost" in record:
            self._spend(record)
        self.calls.append(record)
        append_line(self.session, {**self.label, **record})

    def _keep(self, record: dict) -> dict:
        """Write a reply down, made fit for a screen and for the code.

        Half a surrogate pair cannot be printed; a key that comes back would stand in the code.
        """
        record["reply"] = redact(record["reply"].encode("utf-8", "replace").decode())
        append_line(self.session, {**self.label, **record})
        self._spend(record)
        return record

    def _spend(self, record: dict) -> None:
        cost = record.get("cost")
        if cost is not None:
            self.spent += cost
        elif self.cost_left is not None:
            self.spent = math.inf  # unknown is not nothing


def _stamp(started: float) -> dict[str, float]:
    seconds = time.monotonic() - started
    return {
        "seconds": round(seconds, 3),
        "time": round(time.time(), 3),
    }


def record_of(
    response: Any,
    info: dict[str, Any],
) -> dict:
    """Return what is kept of a provider's response, or raise UnusableReply.

    info: prices as LiteLLM names them.
    """
    choice = None
    counted = dict[str, Any]()
    if response is not None:
        counted = _count(getattr(response, "usage", None), info)
        choice = response.choices[0] if response.choices else None
    if choice is None or not (choice.message.content or "").strip():
        raise UnusableReply("the provider sent an empty reply", counted)
    if not choice.finish_reason:
        raise UnusableReply("the provider's reply broke off", counted)
    return {
        "reply": choice.message.content,
        "finish_reason": choice.finish_reason,
        **counted,
    }


def _count(
    usage: Any,
    info: dict[str, Any],
) -> dict[str, Any]:
    # A server that does not count is made to say 0 by litellm; no request has no tokens.
    sent = getattr(usage, "prompt_tokens", None) or None
    received = getattr(usage, "completion_tokens", None)
    price_in = info.get("input_cost_per_token")
    price_out = info.get("output_cost_per_token") or 0
    cost = None
    if price_in is not None and sent is not None:
        cost = sent * price_in + (received or 0) * price_out
    return {"prompt_tokens": sent, "completion_tokens": received, "cost": cost}
