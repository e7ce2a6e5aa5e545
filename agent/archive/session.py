"""A recorded session -> the replies to play back: Assay's session.jsonl, or a chat history as Aider writes it.

Aider does not escape replies in its history, so a reply is taken from its first line to the line that reports its
tokens. Not covered: a reply that was interrupted before that line is skipped; one that begins with `> ` or `#### ` loses
those lines.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from agent.util.errors import UserError

_TOKENS = re.compile(r"> Tokens: [\d.,]+[kM]? sent, .*received\.")
_SESSION = re.compile(r"# aider chat started at ")
_TOOL = re.compile(r"> .*  $|>\s*$")


def load_replies(path: Path) -> list[dict]:
    """The coder's [{"reply", "finish_reason"}] in order. Raises UserError when the file holds none."""
    if path.suffix == ".jsonl":
        replies = [_reply(record) for record in _records(path) if "purpose" not in record]
    else:
        replies = [
            {"reply": reply, "finish_reason": "stop"} for reply in split_history(_text(path))
        ]
    if not replies:
        raise UserError(
            f"{path}: holds no reply: expected a session.jsonl or an Aider chat history"
        )
    return replies


def load_answers(path: Path) -> dict[str, dict]:
    """A session's answers to single questions, by purpose. A chat history holds none."""
    return answers_in(_records(path)) if path.suffix == ".jsonl" else {}


def answers_in(records: list[dict]) -> dict[str, dict]:
    """purpose -> {"reply", "finish_reason", "asked": the model}. The first answer is the one that was used."""
    answers = dict[str, dict]()
    for record in records:
        if "purpose" in record and "reply" in record:
            answers.setdefault(
                str(record["purpose"]), _reply(record) | {"asked": str(record.get("asked") or "")}
            )
    return answers


def _reply(record: dict) -> dict:
    return {"reply": str(record["reply"]), "finish_reason": record.get("finish_reason") or "stop"}


def _records(path: Path) -> list[dict]:
    """The lines of a session.jsonl that hold a reply."""
    records = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if "reply" in record:
                records.append(dict(record))
        except (ValueError, TypeError, RecursionError) as error:
            raise UserError(
                f"{path}:{number}: not a line of a recorded session: {error}"
            ) from error
    return records


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8") from error


def split_history(text: str) -> list[str]:
    """The model's replies in an Aider chat history (0.57 to 0.86)."""
    replies, current = list[str](), list[str]()
    for line in text.splitlines():
        if _SESSION.match(line):
            current = []
        elif _TOKENS.match(line):
            if reply := "\n".join(current).strip("\n"):
                replies.append(reply + "\n")
            current = []
        elif current or not (
            not line.strip() or line.startswith("#### ") or line == "####" or _TOOL.match(line)
        ):
            current.append(line)
    return replies
