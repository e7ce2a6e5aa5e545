"""A recorded session is read here: the replies to play back, and what they cost.

It is Assay's session.jsonl, or a chat history as Aider writes it. Aider does not escape replies in
its history, so a reply is taken from its first line to the line that reports its tokens.
Not covered: a reply that was interrupted before that line is skipped; one that begins with `> ` or
`#### ` loses those lines.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from agent.archive.paths import Archive
from agent.util.errors import UserError
from agent.util.files import read_events

READING = "reading"  # how the purposes begin of what is asked when the verdict stands

_TOKENS = re.compile(r"> Tokens: [\d.,]+[kM]? sent, .*received\.")
_SESSION = re.compile(r"# aider chat started at ")
_TOOL = re.compile(r"> .*  $|>\s*$")


def load_replies(path: Path) -> list[dict]:
    """Return the coder's [{"reply", "finish_reason"}] in order.

    Raises UserError when the file holds none.
    """
    if path.suffix == ".jsonl":
        replies = [_reply(record) for record in _records(path) if "purpose" not in record]
    else:
        history = split_history(_text(path))
        replies = [_reply({"reply": reply}) for reply in history]
    if not replies:
        problem = f"{path}: holds no reply: expected a session.jsonl or an Aider chat history"
        raise UserError(problem)
    return replies


def load_answers(path: Path) -> dict[str, dict]:
    """Return a session's answers to single questions, by purpose. A chat history holds none."""
    return answers_in(_records(path)) if path.suffix == ".jsonl" else {}


def answers_in(records: list[dict]) -> dict[str, dict]:
    """Return purpose -> {"reply", "finish_reason", "asked": the model}.

    The first answer is the one that was used.
    """
    answers = dict[str, dict]()
    for record in records:
        if "purpose" in record and "reply" in record:
            answer = _reply(record)
            answer["asked"] = str(record.get("asked") or "")
            answers.setdefault(str(record["purpose"]), answer)
    return answers


def spent(archive: Archive, *, reading: bool = True) -> tuple[float | None, int]:
    """Return the US dollars (None: a price is unknown) and tokens of all replies.

    Those of unfinished turns, of the judge and empty ones count too.
    reading False: only what came before the verdict, so that it is the same whenever computed.
    """
    records = filter(_is_paid, read_events(archive.session))
    costs = []
    tokens = 0
    for record in records:
        if reading or not _is_reading(record):
            costs.append(record.get("cost"))
            tokens += record.get("prompt_tokens") or 0
            tokens += record.get("completion_tokens") or 0
    if None in costs:
        return None, tokens
    return float(sum(filter(None, costs))), tokens


def _is_paid(record: dict[str, Any]) -> bool:
    return ("reply" in record or "cost" in record) and not record.get("replayed")


def _is_reading(record: dict[str, Any]) -> bool:
    return str(record.get("purpose", "")).startswith(READING)


def _reply(record: dict) -> dict:
    return {
        "reply": str(record["reply"]),
        "finish_reason": record.get("finish_reason") or "stop",
    }


def _records(path: Path) -> list[dict]:
    """Return the lines of a session.jsonl that hold a reply."""
    records = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if "reply" in record:
                records.append(dict(record))
        except (ValueError, TypeError, RecursionError) as error:
            problem = f"{path}:{number}: not a line of a recorded session: {error}"
            raise UserError(problem) from error
    return records


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8") from error


def split_history(text: str) -> list[str]:
    """Return the model's replies in an Aider chat history (0.57 to 0.86)."""
    replies = list[str]()
    current = list[str]()
    for line in text.splitlines():
        if _SESSION.match(line):
            current = []
        elif _TOKENS.match(line):
            if reply := "\n".join(current).strip("\n"):
                replies.append(reply + "\n")
            current = []
        elif current or not _is_around(line):
            current.append(line)
    return replies


def _is_around(line: str) -> bool:
    """Return True for a line between replies: blank, of the user or of a tool."""
    if not line.strip() or _TOOL.match(line):
        return True
    return line.startswith("#### ") or line == "####"
