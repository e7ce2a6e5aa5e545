"""The text of scaffold/main.py is a contract: recorded sessions search for its lines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SESSIONS = [*REPOSITORY.glob("ideas/sessions/*.jsonl"), *REPOSITORY.glob("tests/sessions/*.jsonl")]
BLOCK = re.compile(r"<<<<<<< SEARCH\n(.*?)^=======$", re.DOTALL | re.MULTILINE)


def first_reply(session: Path) -> str:
    """The reply that edits the scaffold as it is."""
    lines = map(json.loads, session.read_text(encoding="utf-8").splitlines())
    return next(line["reply"] for line in lines if "reply" in line and "purpose" not in line)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_the_first_edits_of_a_recorded_session_find_their_lines_in_the_scaffold(session):
    main = (REPOSITORY / "scaffold" / "main.py").read_text(encoding="utf-8")
    blocks = BLOCK.findall(first_reply(session))
    assert blocks
    assert [block for block in blocks if block not in main] == []
