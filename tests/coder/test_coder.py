"""The whole line with real Aider against a real HTTP endpoint.

What can go wrong with a model: test_model_faults.py.
"""

from __future__ import annotations

import json

import pytest

from tests.endpoint import Answer
from tests.replies import edit, scores

KEY = "sk-test-0123456789abcdef"
MODEL = ("--model", "openai/any")


def provider(endpoint) -> dict[str, str]:
    return {"OPENAI_API_BASE": endpoint.url, "OPENAI_API_KEY": KEY}


@pytest.mark.quick
@pytest.mark.parametrize("stream", [(), ("--stream",)], ids=["whole", "streamed"])
def test_a_real_endpoint_drives_a_whole_experiment(quick_launch, endpoint, stream):
    endpoint.script = [*scores(0.6, 0.7, 0.8)]
    done = quick_launch(*MODEL, *stream, "--price", "3,15", **provider(endpoint))
    assert done.code == 0, done.err
    assert done.statuses == ["success"] * 3
    assert [event["value"] for event in done.events("attempt")] == [0.6, 0.7, 0.8]
    assert done.events("edit")[0]["cost"] == pytest.approx((1000 * 3 + 100 * 15) / 1e6)
    assert [bool(body.get("stream")) for body in endpoint.requests] == [bool(stream)] * 3
    assert "| 1 | 0.6000 | +0.1000 |" in json.dumps(endpoint.requests[1]["messages"]), (
        "the result reaches the model"
    )


def test_the_key_reaches_the_provider_and_nothing_else(quick_launch, endpoint):
    opening = '    with open("final_info.json", "w") as file:'
    endpoint.script = [
        *scores(0.6),
        edit(opening, f"    import os\n    print(dict(os.environ))\n{opening}"),
    ]
    done = quick_launch(*MODEL, **provider(endpoint))
    assert set(endpoint.keys) == {f"Bearer {KEY}"}
    assert "PATH" in done.archives[-1].run(2).stdout.read_text(), (
        "the program did print its environment"
    )
    kept = [
        path
        for path in done.folder.rglob("*")
        if path.is_file() and KEY.encode() in path.read_bytes()
    ]
    assert kept == []
    assert KEY not in done.out + done.err


def test_passing_faults_are_retried_within_a_turn(quick_launch, endpoint):
    endpoint.script = [Answer(status=429), Answer(status=500), *scores(0.6, 0.7, 0.8)]
    done = quick_launch(*MODEL, **provider(endpoint))
    assert done.code == 0 and done.statuses == ["success"] * 3


def test_a_paid_reply_is_not_asked_for_again_after_a_fault_in_the_same_turn(quick_launch, endpoint):
    broken = edit("SCORE = 0.5", "SCORE = undefined_name")
    endpoint.script = [broken, Answer(status=401)]
    assert quick_launch(*MODEL, **provider(endpoint)).code == 1
    endpoint.script = [edit("SCORE = undefined_name", "SCORE = 0.6"), *scores(0.7, 0.8, start=0.6)]
    done = quick_launch(*MODEL, **provider(endpoint))
    assert done.statuses == ["success"] * 3
    assert done.events("edit")[0]["repairs"] == 1
    assert len(done.replies) == 4 and done.replies[0] == broken


def test_the_cost_cap_stops_before_the_next_request_and_can_be_lifted(quick_launch, endpoint):
    endpoint.script = scores(0.6, 0.7, 0.8)
    capped = quick_launch(*MODEL, "--price", "1000,0", "--max-cost", "1.5", **provider(endpoint))
    assert capped.code == 0 and "stopped: cost_limit" in capped.out
    # A dollar each: the second passes the cap, a third is not made.
    assert len(endpoint.requests) == 2
    done = quick_launch(*MODEL, "--price", "1000,0", "--max-cost", "9", **provider(endpoint))
    assert done.statuses == ["success"] * 3 and len(endpoint.requests) == 3


def test_a_reply_of_unknown_cost_uses_up_the_cap(quick_launch, endpoint):
    endpoint.script = [Answer(reply, counted=False) for reply in scores(0.6, 0.7, 0.8)]
    done = quick_launch(*MODEL, "--price", "1,1", "--max-cost", "5", **provider(endpoint))
    assert done.code == 0 and "stopped: cost_limit" in done.out and len(endpoint.requests) == 1
    assert done.events("edit")[0]["cost"] is None


def test_an_unknown_price_with_a_cap_is_refused_before_a_request(quick_launch, endpoint):
    done = quick_launch(*MODEL, "--max-cost", "1", **provider(endpoint))
    assert done.code == 2 and "--price" in done.err and endpoint.requests == []
    judged = quick_launch(
        *MODEL,
        "--price",
        "1,1",
        "--judge",
        "openai/another",
        "--max-cost",
        "1",
        **provider(endpoint),
    )
    assert (
        judged.code == 2
        and "price of openai/another is unknown; name a judge" in judged.err
        and endpoint.requests == []
    )


def test_an_unknown_model_and_a_missing_key_are_refused_before_a_run(quick_launch):
    unknown = quick_launch("--model", "nonsense")
    keyless = quick_launch("--model", "gpt-4o")
    assert unknown.code == 2 and "unknown model 'nonsense'" in unknown.err
    assert keyless.code == 2 and "export OPENAI_API_KEY=" in keyless.err
    assert unknown.archives == []


def test_edits_outside_the_workspace_are_refused_and_the_model_is_told(
    quick_launch, session, tmp_path
):
    victim = tmp_path / "victim.txt"
    victim.write_text("before\n")
    outside = (
        edit("before", "after", path=str(victim))
        + edit("", "evil = 1", path="../../evil.py")
        + edit("", "x = 1", path="protocol.py")
    )
    done = quick_launch("--model", f"replay:{session(outside, *scores(0.6, 0.7, 0.8))}")
    assert (
        victim.read_text() == "before\n"
        and not list(tmp_path.rglob("evil.py"))
        and not list(tmp_path.rglob("protocol.py"))
    )
    first = done.events("edit")[0]
    # Told at once, and repaired in the same turn.
    assert len(first["refused"]) == 3 and first["repairs"] == 1
    assert done.statuses == ["success"] * 3


def test_replies_that_change_nothing_are_failed_attempts_and_end_the_experiment(
    quick_launch, session
):
    unmatched = edit("SCORE = 7", "SCORE = 8")
    done = quick_launch("--model", f"replay:{session('I would rather not.', *[unmatched] * 4)}")
    assert (
        done.statuses == ["no_edit", "no_edit"] and done.events("stopped")[0]["reason"] == "no_edit"
    )
    messages = [
        json.loads(folder.result.read_text())["message"] for folder in done.archives[-1].attempts()
    ]
    assert "SEARCH/REPLACE blocks" in messages[0] and "No SEARCH block matched" in messages[1]


def test_shell_commands_urls_and_slash_commands_are_inert(quick_launch, session, tmp_path):
    (tmp_path / "higher.md").write_text(
        "# !touch BANG\n\n/run touch SLASH\nsee http://127.0.0.1:9/x\n"
    )
    reply = f"```bash\ntouch {tmp_path}/SHELL\n```\n" + scores(0.6)[0]
    done = quick_launch("--model", f"replay:{session(reply)}", "--runs", "1")
    assert done.statuses == ["success"]
    assert not [name for name in ("BANG", "SLASH", "SHELL") if list(tmp_path.rglob(name))]
