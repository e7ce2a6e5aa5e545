"""Recorded sessions: Assay's own, and chat histories that Aider wrote."""

from __future__ import annotations

import pytest

from agent.archive.session import load_replies, split_history
from agent.util.errors import UserError
from tests.replies import edit, scores

FENCED = (
    "main.py\n"
    "```python\n"
    "<<<<<<< SEARCH\n"
    "#### a heading in code\n"
    "> quoted\n"
    "=======\n"
    "x = 1\n"
    ">>>>>>> REPLACE\n"
    "```\n"
)

HISTORY = f"""
# aider chat started at 2024-09-20 10:00:00

> Aider v0.57.1{"  "}
> Model: gpt-4o with diff edit format{"  "}

#### Do it.{"  "}
####{"  "}
#### ```{"  "}
#### a fence in the prompt{"  "}
#### ```{"  "}

First reply.

> a quotation in the reply

#### A heading in the reply

{FENCED}
> Tokens: 2.7k sent, 1,234 received. Cost: $0.02 message, $0.02 session.{"  "}
> Applied edit to main.py{"  "}
> Attempt to fix lint errors? y{"  "}

The repair.

> Tokens: 3.7k sent, 968 received. Cost: $0.03 message, $0.05 session.{"  "}

# aider chat started at 2024-09-20 11:00:00

#### again{"  "}

An interrupted reply

# aider chat started at 2024-09-20 12:00:00

#### once more{"  "}

Last reply.

> Tokens: 12 sent, 3 received.{"  "}
"""


def test_replies_are_split_out_of_an_aider_history():
    replies = split_history(HISTORY)
    assert len(replies) == 3
    assert replies[0].startswith("First reply.") and "> a quotation in the reply" in replies[0]
    assert "#### A heading in the reply" in replies[0] and FENCED in replies[0]
    assert replies[1:] == ["The repair.\n", "Last reply.\n"]


def test_a_history_that_our_aider_wrote_replays_to_the_same_code(quick_launch, session, tmp_path):
    replies = [
        edit("SCORE = 0.5", "SCORE = undefined"),
        edit("SCORE = undefined", "SCORE = 0.6"),
        *scores(0.7, 0.8, start=0.6),
    ]
    first = quick_launch("--model", f"replay:{session(*replies)}")
    history = tmp_path / ".aider.chat.history.md"
    history.write_bytes(first.archives[-1].chat.read_bytes())
    assert "finished earlier" in quick_launch("--model", f"replay:{history}").out, (
        "the same replies are the same experiment"
    )
    again = quick_launch("--model", f"replay:{history}", "--fresh")
    assert first.statuses == again.statuses == ["success"] * 3
    original, other = again.archives
    assert original.folder != other.folder
    for number in (1, 2, 3):
        assert (original.run(number).code / "main.py").read_text() == (
            other.run(number).code / "main.py"
        ).read_text()


def test_an_archive_s_own_session_replays_to_the_same_code(quick_launch, session):
    first = quick_launch("--model", f"replay:{session(*scores(0.6, 0.7, 0.8))}")
    again = quick_launch("--model", f"replay:{first.archives[-1].session}")
    assert again.statuses == ["success"] * 3 and [
        event["value"] for event in again.events("attempt")
    ] == [0.6, 0.7, 0.8]


def test_a_session_that_runs_out_ends_the_experiment_by_name(quick_launch, session):
    done = quick_launch("--model", f"replay:{session(*scores(0.6))}")
    assert (
        done.code == 0
        and done.statuses == ["success"]
        and done.events("stopped")[0]["reason"] == "session_ended"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.jsonl", "{}\n"), ("a.jsonl", "not json\n"), ("a.md", "# nothing\n"), ("absent.md", None)],
)
def test_a_file_without_replies_is_refused(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=name):
        load_replies(tmp_path / name)
