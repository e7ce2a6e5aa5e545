"""A model's answer to a question, untrusted: the JSON in it, lines of it, and whether a quote is one.

Not covered: words in a string of the quoted program are told from its code, but a dead name is as good as a live one.
"""

from __future__ import annotations

import json
import keyword
import re
from typing import Any

from agent.util.text import one_line

ANSWER_CHARACTERS, ANSWER_WORK = (
    50_000,
    500_000,
)  # read from the end; characters read in vain before that is given up

DEEPEST = 1000  # levels at which Python stops reading

SUBSTANCE = 6  # characters of a quote that are no spaces

# A string may be cut off at the end of its line.
_STRING = re.compile(
    r"(?:\b[rbfuRBFU]{1,2})?(?:'(?:\\.|[^'\\])*(?:'|$)|\"(?:\\.|[^\"\\])*(?:\"|$))"
)


def json_values(text: str, opening: str) -> list[Any]:
    """Every outermost object ("{") or array ("[") in a text, fenced or not. Bounded work for any text."""
    text, decoder, values, place, vain = (
        text[-ANSWER_CHARACTERS:],
        json.JSONDecoder(),
        list[Any](),
        0,
        0,
    )
    while vain < ANSWER_WORK and (place := text.find(opening, place)) >= 0:
        try:
            value, place = decoder.raw_decode(text, place)
            values.append(value)
        except (ValueError, RecursionError) as error:
            vain += max(1, getattr(error, "pos", place + DEEPEST) - place)
            place += 1
    return values


def quoted(quote: str, statements: list[str]) -> bool:
    """Whether every line of the quote, a diff's plus sign aside, lies in some statement (as one_line gives them)."""
    lines = [line for row in quote.split("\n") if (line := one_line(re.sub(r"^\s*\+", "", row)))]
    return bool(lines) and all(
        any(_within(line, statement) for statement in statements) for line in lines
    )


def _within(quote: str, statement: str) -> bool:
    """Whether the statement holds the quote, and the quote more of it than signs, keywords and the words of a string."""
    if quote not in statement or len(quote.replace(" ", "")) < SUBSTANCE:
        return False
    code = _STRING.sub(lambda match: " " * len(match[0]), statement)
    places = [match.start() for match in re.finditer(f"(?={re.escape(quote)})", statement)]
    return any(_names(code[place : place + len(quote)]) for place in places)


def _names(code: str) -> list[str]:
    return [
        word
        for word in re.findall(r"[^\W\d]\w*", code)
        if not keyword.iskeyword(word) and word != "self"
    ]
