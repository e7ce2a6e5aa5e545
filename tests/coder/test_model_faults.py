"""The table of everything that a provider and its replies can do wrong.

It is made through the whole line with real Aider:

    fault | requests | seconds | bound | status | resumed to the end

Each row asserts how many requests are made, that the time stays within a bound, and a
status by name; then the endpoint is mended, and the same command goes on to three
successful runs (the end of a fault of a reply is reached without a new command). Several
faults share one experiment, so that each command is also the resumption after the fault
before it. `pytest -s tests/coder/test_model_faults.py` prints the table. Not covered: real
providers; their rate limits by the minute.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agent.coder.worker.gateway import ATTEMPTS, OWN_SECONDS, reply_seconds, waits
from agent.util.files import read_events
from tests.conftest import QUICK_MAIN, LaunchResult
from tests.endpoint import Answer
from tests.replies import edit, scores

KEY = "sk-test-0123456789abcdef"
MODEL = ("--model", "openai/any")
COMMAND_SECONDS = 60  # what else a command does, on a machine with other work: start, baseline, end
# --model-timeout
PATIENT = 10.0
SHORT = 2.0


def provider(endpoint) -> dict[str, str]:
    return {"OPENAI_API_BASE": endpoint.url, "OPENAI_API_KEY": KEY}


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    fault: str
    requests: int
    seconds: float
    bound: float
    status: str
    resumed: str = "yes"

    def show(self) -> None:
        times = f"{self.seconds:.1f} s | {self.bound:.0f} s"
        print(f"{self.fault} | {self.requests} | {times} | {self.status} | {self.resumed}")


# ---- faults of a provider ------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A fault that keeps a command from getting a reply."""

    fault: str
    answer: Answer
    status: str  # how the fault's text begins: LiteLLM's name of it, or ours
    requests: int = 1  # that reach the server
    stream: bool = False

    @property
    def tries(self) -> int:
        return self.requests or ATTEMPTS  # there is no server to count them

    @property
    def timeout(self) -> float:
        return PATIENT if self.tries == 1 else SHORT

    @property
    def bound(self) -> float:
        """The requests, each with its limit, and the waits between them."""
        limit = self.timeout if self.tries == 1 else reply_seconds(self.timeout)
        return COMMAND_SECONDS + limit


def refused(fault: str, code: int, status: str, message: str = "scripted fault") -> Row:
    return Row(fault, Answer(status=code, message=message), status)


def passing(fault: str, answer: Answer, status: str, stream: bool = False) -> Row:
    return Row(fault, answer, status, ATTEMPTS, stream)


LONGER = edit("SCORE = 0.6", "SCORE = 0.9")
PROVIDER = {
    "refused": [
        refused("401", 401, "AuthenticationError", f"Incorrect API key provided: {KEY}"),
        refused("402", 402, "APIError", "Insufficient balance"),
        refused("403", 403, "APIError"),
        refused("404", 404, "NotFoundError", "no such model"),
        refused("400", 400, "BadRequestError"),
        refused("422", 422, "BadRequestError"),
        refused(
            "content policy",
            400,
            "ContentPolicyViolationError",
            "invalid_request_error: content_policy_violation",
        ),
        refused(
            "quota used up",
            429,
            "RateLimitError",
            "You exceeded your current quota, insufficient_quota",
        ),
        refused(
            "context too long",
            400,
            "ContextWindowExceededError",
            "This model's maximum context length is 10 tokens",
        ),
    ],
    "busy": [
        passing("always 429", Answer(status=429), "RateLimitError"),
        passing("always 500", Answer(status=500), "InternalServerError"),
        passing("always 503", Answer(status=503), "ServiceUnavailableError"),
        passing("always 529", Answer(status=529), "APIError"),
        Row("no server", Answer(), "InternalServerError", requests=0),
    ],
    "broken": [
        passing("HTML", Answer(body="<html>"), "InternalServerError"),
        passing("empty body", Answer(body=""), "InternalServerError"),
        passing("null content", Answer(None), "UnusableReply"),
        passing("empty reply", Answer(""), "UnusableReply"),
        passing("cut, whole", Answer(LONGER, cut=True), "InternalServerError"),
    ],
    "streamed": [
        passing("cut, streamed", Answer(LONGER, cut=True), "APIConnectionError", stream=True),
        passing(
            "error event in a stream",
            Answer(LONGER, error_event=True),
            "APIConnectionError",
            stream=True,
        ),
        passing("empty reply, streamed", Answer(""), "UnusableReply", stream=True),
    ],
    "slow": [
        passing("hangs", Answer(hang=True), "Timeout"),
        passing("a byte now and then", Answer(LONGER, trickle=True), "Timeout"),
        passing(
            "a byte now and then, streamed", Answer(LONGER, trickle=True), "Timeout", stream=True
        ),
    ],
}


def assert_ended_by_name(done: LaunchResult, row: Row) -> None:
    fault = done.events("fault")[-1]
    assert done.code == 1 and f"stopped by a fault: provider: {row.status}" in done.out, (
        done.out + done.err
    )
    # A timeout is LiteLLM's or ours.
    assert fault["kind"] == "provider" and fault["detail"].startswith(row.status)
    assert KEY not in done.out + done.err and "Traceback" not in done.out + done.err


@pytest.mark.parametrize("group", PROVIDER)
def test_a_provider_s_fault_ends_by_name_within_its_bound_and_the_same_command_goes_on(
    quick_launch, endpoint, group
):
    lines = list[Line]()
    conversation = None
    first = [scores(0.6)[0]]  # so that there is a conversation to restore
    for row in PROVIDER[group]:
        endpoint.requests.clear()
        endpoint.script = [*first, *[row.answer] * 2 * ATTEMPTS]
        address = {"OPENAI_API_BASE": "http://127.0.0.1:9/v1"} if row.requests == 0 else {}
        options = ["--model-timeout", row.timeout, *["--stream"] * row.stream]
        started = time.monotonic()
        done = quick_launch(*MODEL, *options, **provider(endpoint) | address)
        seconds = time.monotonic() - started
        fault = done.events("fault")[-1]
        status = f"{fault['kind']}: {fault['detail'].split(':')[0]}"
        lines.append(Line(row.fault, row.requests, seconds, row.bound, status))
        assert_ended_by_name(done, row)
        requests = [body["messages"] for body in endpoint.requests][len(first) :]
        assert len(requests) == row.requests and seconds < row.bound, lines[-1]
        assert done.statuses == ["success"] and len(done.events("fault")) == len(lines)
        first = []
        conversation = conversation or requests[0]
        assert all(messages == conversation for messages in requests), (
            "the conversation is the same in every request of every command"
        )
    endpoint.requests.clear()
    endpoint.script = scores(0.7, 0.8, start=0.6)
    done = quick_launch(*MODEL, **provider(endpoint))
    assert done.code == 0 and done.statuses == ["success"] * 3 and len(done.archives) == 1
    assert endpoint.requests[0]["messages"] == conversation and len(endpoint.requests) == 2
    assert done.replies == scores(0.6, 0.7, 0.8), "no reply is lost or paid twice"
    failed = sum(row.tries for row in PROVIDER[group])
    assert (
        len(endpoint.readings) == 1
        and len(read_events(done.archives[-1].session)) == len(done.replies) + failed + 1
    )
    assert [
        path
        for path in done.folder.rglob("*")
        if path.is_file() and KEY.encode() in path.read_bytes()
    ] == []
    for line in lines:
        line.show()


def test_the_bounds_follow_from_the_limit_on_a_request():
    assert waits(300) == [2, 4, 8] and waits(3) == [2, 3, 3]
    assert reply_seconds(300) == 4 * 300 + 14 and reply_seconds(2) == 4 * 2 + 6


# ---- faults of a reply ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Slip:
    """Replies that cannot be used as they are.

    `line` is the one of main.py that says SCORE, `new` a better score.
    """

    fault: str
    replies: Callable[[str, float], list[str | Answer]]
    attempt: str  # the status of what came of them
    left: Callable[[str, float], str] = lambda line, new: line  # that line afterwards
    notice: str = ""  # to the model: in the turn itself, or at the start of the next
    edit: tuple[str, object] = ("status", "ok")  # a field of the edit's event, and its value


def better(line: str, new: float) -> str:
    return f"SCORE = {new}"


def then_mended(reply: Callable[[str, float], str]) -> Callable[[str, float], list[str | Answer]]:
    return lambda line, new: [reply(line, new), edit(line, better(line, new))]


def whole_file(line: str) -> str:
    return QUICK_MAIN.replace("SCORE = 0.5", line).rstrip("\n")


NO_MATCH = edit("SCORE = 77", "SCORE = 78")
NUL = "SCORE = 0  # \0"
DEEP = "SCORE = " + "-" * 3000 + "1"
REPLY = {
    "matching": [
        Slip(
            "SEARCH matches nothing, four times",
            lambda line, new: [NO_MATCH] * 4,
            "no_edit",
            notice="No SEARCH block matched",
            edit=("unmatched", True),
        ),
        Slip(
            "one block of two matches",
            lambda line, new: [edit(line, better(line, new)) + NO_MATCH, *[NO_MATCH] * 3],
            "success",
            better,
            "1 SEARCH/REPLACE block failed to match",
            ("unmatched", True),
        ),
        Slip(
            "SEARCH is REPLACE",
            lambda line, new: [edit(line, line)],
            "no_edit",
            notice="changed no file",
        ),
        Slip(
            "a code fence without blocks",
            lambda line, new: [f"```python\n{better(line, new)}\n```\n"],
            "no_edit",
            notice="changed no file",
        ),
        Slip(
            "a unified diff",
            lambda line, new: [
                f"```diff\n--- main.py\n+++ main.py\n@@ @@\n-{line}\n+{better(line, new)}\n```\n"
            ],
            "no_edit",
            notice="changed no file",
        ),
        Slip(
            "cut at its length limit",
            lambda line, new: [Answer(edit(line, better(line, new)), finish_reason="length")],
            "no_edit",
            notice="cut off at the length limit",
            edit=("status", "truncated"),
        ),
    ],
    "damaging": [
        Slip(
            "REPLACE empties the file",
            lambda line, new: [edit(whole_file(line), "")] * 4,
            "no_edit",
            notice="No SEARCH block matched",
            edit=("unmatched", True),
        ),
        Slip(
            "an empty SEARCH on a file",
            then_mended(lambda line, new: edit("", whole_file(better(line, new)))),
            "success",
            better,
            "main.py is not empty",
            ("repairs", 1),
        ),
        Slip(
            "a line of ======= in a block",
            then_mended(lambda line, new: edit(line, f'"""\n=======\n"""\n{better(line, new)}')),
            "success",
            better,
            "5 to 9 equals signs",
            ("repairs", 1),
        ),
        Slip(
            "another file",
            then_mended(lambda line, new: edit("x", "y", path="/etc/passwd")),
            "success",
            better,
            "Only main.py and requirements.txt may be edited",
            ("refused", ["/etc/passwd"]),
        ),
    ],
    "unparsable": [
        Slip(
            "a NUL byte",
            lambda line, new: [edit(line, NUL), "I cannot."],
            "lint_failed",
            lambda line, new: NUL,
            "null byte",
            ("repairs", 1),
        ),
        Slip(
            "very deep nesting",
            lambda line, new: [edit(line, DEEP), "I cannot."],
            "lint_failed",
            lambda line, new: DEEP,
            edit=("repairs", 1),
        ),
        Slip(
            "lint is never repaired",
            lambda line, new: [
                edit(line, "SCORE = a"),
                edit("SCORE = a", "SCORE = b"),
                edit("SCORE = b", "SCORE = c"),
                edit("SCORE = c", "SCORE = d"),
            ],
            "lint_failed",
            lambda line, new: "SCORE = d",
            "undefined name",
            ("repairs", 3),
        ),
    ],
}


@pytest.mark.parametrize("group", REPLY)
def test_a_reply_s_fault_ends_by_name_within_its_bound_and_the_experiment_goes_on(
    quick_launch, endpoint, group
):
    line = "SCORE = 0.5"
    new = 0.5
    reply_counts = list[int]()
    for slip in REPLY[group]:
        new = round(new + 0.01, 2)
        replies = slip.replies(line, new)
        reply_counts.append(len(replies))
        left = slip.left(line, new)
        new = round(new + 0.01, 2)
        line = better(line, new)
        endpoint.script += [*replies, edit(left, line)]
    expected = [status for slip in REPLY[group] for status in (slip.attempt, "success")]
    started = time.time()
    done = quick_launch(
        *MODEL,
        "--model-timeout",
        PATIENT,
        "--runs",
        expected.count("success"),
        **provider(endpoint),
    )
    assert done.statuses == expected and done.events("stopped")[0]["reason"] == "run_limit", (
        done.out + done.err
    )
    assert (
        len(endpoint.requests)
        == sum(reply_counts) + len(reply_counts)
        == len(read_events(done.archives[-1].session)) - len(endpoint.readings)
    )
    edits = done.events("edit")[::2]
    attempts = done.events("attempt")
    begun = [started, *(event["time"] for event in attempts[1::2])]
    prompts = [json.dumps(body["messages"]) for body in endpoint.requests]
    for slip, requests, event, attempt, start in zip(
        REPLY[group], reply_counts, edits, attempts[::2], begun, strict=False
    ):
        bound = COMMAND_SECONDS + requests * (PATIENT + OWN_SECONDS)
        name, value = slip.edit
        assert event[name] == value and event["repairs"] == requests - 1, slip.fault
        assert any(slip.notice in prompt for prompt in prompts), slip.fault
        seconds = attempt["time"] - start
        assert seconds < bound, slip.fault
        status = f"{attempt['status']}, {name} {value}"
        Line(slip.fault, requests, seconds, bound, status, "went on by itself").show()


def test_a_model_that_says_it_continues_a_prefix_is_not_asked_to_without_end(
    quick_launch, endpoint
):
    cut = [Answer(edit("SCORE = 0.5", "SCORE = 0.9"), finish_reason="length")] * 2
    endpoint.script = list(cut)
    # Of these models LiteLLM says supports_assistant_prefill.
    key = {"DEEPSEEK_API_BASE": endpoint.url, "DEEPSEEK_API_KEY": KEY}
    started = time.monotonic()
    done = quick_launch("--model", "deepseek/deepseek-chat", **key)
    seconds = time.monotonic() - started
    assert done.code == 0 and done.statuses == ["no_edit"] * 2 and len(endpoint.requests) == 2
    statuses = [event["status"] for event in done.events("edit")]
    assert statuses == ["truncated"] * 2 and seconds < COMMAND_SECONDS
    Line(
        "cut, and the model continues prefixes",
        2,
        seconds,
        COMMAND_SECONDS,
        "no_edit, status truncated",
        "ends: two replies without an edit",
    ).show()


def test_a_conversation_that_aider_finds_too_long_is_a_fault_before_any_request(
    quick_launch, quick, endpoint
):
    """It cannot be resumed to the end.

    What is too long is the idea, and another model or idea is another experiment.
    """
    (quick / "higher.md").write_text(
        "# Higher\n\n" + "Make SCORE higher, and higher still. " * 1500
    )
    endpoint.script = scores(0.6, 0.7, 0.8)
    started = time.monotonic()
    # LiteLLM says: 8192 tokens.
    done = quick_launch("--model", "openai/gpt-4", **provider(endpoint))
    seconds = time.monotonic() - started
    assert (
        done.code == 1
        and "provider: ContextWindowExceeded: by Aider's estimate" in done.out
        and endpoint.requests == []
    )
    assert done.statuses == [] and seconds < COMMAND_SECONDS
    Line(
        "the idea is longer than the window",
        0,
        seconds,
        COMMAND_SECONDS,
        "provider: ContextWindowExceeded",
        "with another model",
    ).show()
    again = quick_launch("--model", "openai/any", **provider(endpoint))
    assert again.statuses == ["success"] * 3
