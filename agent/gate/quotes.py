"""A model's answer to a question, untrusted: the JSON in it, lines of it, and whether a quote is
one.

Not covered: words in a string of the quoted program are told from its code, but a dead name is as
good as a live one.
"""

from __future__ import annotations

import json
import keyword
import re
from typing import Any

from agent.util.text import one_line

ANSWER_CHARACTERS = 50_000  # read from the end
ANSWER_WORK = 500_000  # characters read in vain before an answer is given up

DEEPEST = 1000  # levels at which Python stops reading

SUBSTANCE = 6  # characters of a quote that are no spaces

# A string may be cut off at the end of its line.
_STRING = re.compile(
    r"(?:\b[rbfuRBFU]{1,2})?(?:'(?:\\.|[^'\\])*(?:'|$)|\"(?:\\.|[^\"\\])*(?:\"|$))"
)


def json_values(text: str, opening: str) -> list[Any]:
    """Return every outermost object ("{") or array ("[") in a text, fenced or not.

    The work is bounded for any text.
    """
    text = text[-ANSWER_CHARACTERS:]
    decoder = json.JSONDecoder()
    values = list[Any]()
    vain = 0
    place = text.find(opening)
    while place >= 0 and vain < ANSWER_WORK:
        try:
            value, end = decoder.raw_decode(text, place)
            values.append(value)
        except (ValueError, RecursionError) as error:
            stopped = getattr(error, "pos", place + DEEPEST)
            vain += max(1, stopped - place)
            end = place + 1
        place = text.find(opening, end)
    return values


def quoted(quote: str, statements: list[str]) -> bool:
    """Return whether every line of the quote, a diff's plus sign aside, lies in some statement.

    statements: as one_line() gives them.
    """
    lines = []
    for row in quote.split("\n"):
        line = one_line(re.sub(r"^\s*\+", "", row))
        if line:
            lines.append(line)
    if not lines:
        return False
    return all(_within_any(line, statements) for line in lines)


def _within_any(line: str, statements: list[str]) -> bool:
    return any(_within(line, statement) for statement in statements)


def _within(quote: str, statement: str) -> bool:
    """Return whether the statement holds the quote, and the quote more of it than signs, keywords
    and the words of a string.
    """
    if quote not in statement:
        return False
    if len(quote.replace(" ", "")) < SUBSTANCE:
        return False
    code = _STRING.sub(_blank, statement)
    for match in re.finditer(f"(?={re.escape(quote)})", statement):
        place = match.start()
        if _holds_name(code[place : place + len(quote)]):
            return True
    return False


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _holds_name(code: str) -> bool:
    words = re.findall(r"[^\W\d]\w*", code)
    return any(word != "self" and not keyword.iskeyword(word) for word in words)
