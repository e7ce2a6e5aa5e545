"""kill -9 at random moments of whole experiments, then the same command.

Nothing is lost, repeated, paid twice or left running.

ASSAY_KILLS sets how many kills each test makes (default: a few).
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from agent.archive.paths import Archive
from agent.task.contract import REQUIREMENTS
from agent.util.files import read_events
from tests.conftest import QUICK_MAIN
from tests.endpoint import READ
from tests.kills import Campaign, Player, replies_of
from tests.replies import edit, scores

pytestmark = pytest.mark.slow  # each test runs some dozens of commands

SLOWER = "import time; time.sleep(0.5)\n"
DELAY = 0.3  # seconds that the model takes, so that kills fall into requests
STATES = {
    "0.5": scores(0.6)[0],
    "0.6": edit("SCORE = 0.6", "SCORE = 1 / 0"),
    "1 / 0": edit("SCORE = 1 / 0", "SCORE = undefined"),
    "undefined": edit("SCORE = undefined", "SCORE = 0.7"),  # the repair of lint, in the same turn
    "0.7": edit("SCORE = 0.7", f"{SLOWER}SCORE = 0.8"),
}


def _attempts(archive: Archive) -> list[tuple]:
    return [
        (event["number"], event["status"], event["value"])
        for event in read_events(archive.events)
        if event["event"] == "attempt"
    ]


def _outcome(archive: Archive) -> dict:
    verdict = json.loads(archive.verdict.read_bytes())
    return {
        "attempts": _attempts(archive),
        "replies": [line["reply"] for line in read_events(archive.session) if "reply" in line],
        "verdict": verdict["verdict"],
        "code": (archive.workspace / "main.py").read_text(),
    }


def _state(chat: str) -> str:
    """SCORE in the main.py that the model is shown last."""
    return re.findall(r"An open scaffold.*?\nSCORE = ([^\n]*)", chat, re.S)[-1]


def test_kill_9_at_random_moments_of_quick_experiments_with_a_model_that_counts_its_requests(
    tmp_path,
):
    def begin(place: Path) -> list[str]:
        (place / "scaffold").mkdir()
        (place / "scaffold" / "main.py").write_text(QUICK_MAIN)
        (place / "scaffold" / REQUIREMENTS).write_text("")
        (place / "higher.md").write_text("# Higher\n\nMake SCORE higher.\n")
        return [
            "higher.md",
            "--model",
            "openai/any",
            "--scaffold",
            "scaffold",
            "--python",
            sys.executable,
        ]

    with Player(_state, STATES, DELAY) as player:
        model = {"OPENAI_API_KEY": "a-key-of-nobody", "OPENAI_API_BASE": player.url}
        campaign = Campaign(tmp_path, begin, _outcome, model, player)
        table = campaign.run(int(os.environ.get("ASSAY_KILLS", "4")))
    assert [(number, status) for number, status, _ in campaign.expected["attempts"]] == [
        (1, "success"),
        (2, "crash"),
        (2, "success"),
        (3, "success"),
    ]
    assert campaign.expected["replies"] == [*STATES.values(), READ]
    assert table.faultless, str(table)


def test_kill_9_at_random_moments_of_digits_experiments(tmp_path, experiments_environment):
    replies = [
        edit(
            f"        x = self.pool(F.relu(self.conv{n}(x)))",
            f"        x = self.pool((F.gelu if IDEA else F.relu)(self.conv{n}(x)))",
        )
        for n in (1, 2, 3)
    ]

    def begin(place: Path) -> list[str]:
        (place / "gelu.md").write_text("# GELU\n\nUse GELU.\n")
        (place / "session.jsonl").write_text(
            "".join(json.dumps({"reply": reply}) + "\n" for reply in replies)
        )
        return [
            "gelu.md",
            "--model",
            "replay:session.jsonl",
            "--dataset",
            "digits",
            "--epochs",
            "1",
            "--baseline-seeds",
            "2",
            "--confirm-seeds",
            "3",
            "--python",
            str(experiments_environment.python),
        ]

    def outcome(archive: Archive) -> dict:
        """The fresh seeds are drawn anew, so what they give is not the same."""
        confirmed = [
            event["status"]
            for event in read_events(archive.events)
            if event["event"] == "confirmed"
        ]
        return {
            "attempts": _attempts(archive),
            "replies": replies_of(archive.folder.parents[2]),
            "confirmed": set(confirmed),
        }

    campaign = Campaign(tmp_path, begin, outcome)
    table = campaign.run(int(os.environ.get("ASSAY_KILLS", "1")))
    assert [status for _, status, _ in campaign.expected["attempts"]] == [
        "success"
    ] * 3 and campaign.expected["replies"] == replies
    assert table.faultless, str(table)
