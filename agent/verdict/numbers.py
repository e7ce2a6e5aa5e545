"""Find every number in a text, in digits or in words, and look it up in another text.

Covered: signs, `1,234`, decimals, `1e-3`, `131k`, `2 million`; `%`, `pp`, `points`, `1.4x`,
`3 times`, `threefold`; English words from zero to billions, `dozen`, `twice`, `doubled`, `half`,
`a third`. A number with a unit is looked up among those with that unit, at the rounding that it is
written with; a percentage may be written as a share of 1. What cannot be read for sure (`3/4`,
`10^5`, `dozens`, `$5`, digits and letters of other scripts) is never found. A name that holds
digits (`conv2`, `CIFAR-100`) is no number where the other text holds that name.
Not covered: `one`, `first`, `second`, `both`, `a few`, which are rarely meant as numbers; words of
other languages; whether the words beside a number are true: "a gain of 1.6" is found where the
other text has a loss of 1.6.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from agent.verdict.number_patterns import (
    ANY_WORD,
    FOREIGN,
    IN_DIGITS,
    IN_WORDS,
    MONEY,
    MULTIPLE,
    MULTIPLES,
    NAME,
    PART,
    PARTS,
    PERCENT,
    PLAIN,
    PLUS_OR_MINUS,
    RATIO,
    SCALES,
    SUM,
    UNITS,
    UNREADABLE,
    VAGUE,
    WORDS,
)

ROUGHLY = 0.1  # what `twice` and `half` may be off by, as a share of themselves


@dataclass(frozen=True)
class Quantity:
    """A number of a text.

    step: the unit of its last digit, to which it is rounded; 0 where it is not written in digits.
    """

    text: str
    value: float
    step: float = 0.0
    kind: str = PLAIN
    signed: bool = False  # a sign was written


def readable(text: str) -> str:
    """Return a text in the one form in which its numbers are looked for.

    What is shown must be this form, or something may hide in the other.
    """
    text = unicodedata.normalize("NFKC", text)
    letters = [letter for letter in text if not _is_invisible(letter)]
    return re.sub("[\u2010-\u2015\u2212\ufe63]", "-", "".join(letters))


def unfounded(text: str, source: str, names: str = "") -> list[str]:
    """Return what a text (made readable) names that is no number of the source.

    names: another text whose names with digits are known, besides the source's.
    """
    known = numbers(NAME.sub(" ", source))
    known_names = {_plain_name(name) for name in NAME.findall(f"{source} {names}")}

    def blank_known_name(match: re.Match[str]) -> str:
        if _plain_name(match[0]) in known_names:
            return _blank(match)
        return match[0]

    text = NAME.sub(blank_known_name, text)
    return [quantity.text for quantity in numbers(text) if not _is_known(quantity, known)]


def numbers(text: str) -> list[Quantity]:
    """Return the numbers of a text in their order; a sign of the text belongs to one at most."""
    quantities: dict[int, Quantity] = {}
    text = PLUS_OR_MINUS.sub(_blank, text)
    for pattern, read in _READERS:
        for match in pattern.finditer(text):
            quantity = read(match)
            if quantity:
                quantities[match.start()] = quantity
                text = text[: match.start()] + _blank(match) + text[match.end() :]
    return [quantities[place] for place in sorted(quantities)]


# ---- looking a number up -----------------------------------------------------------------------


def _is_known(quantity: Quantity, known: list[Quantity]) -> bool:
    return any(_agree(quantity, other) for other in known)


def _agree(quantity: Quantity, known: Quantity) -> bool:
    """Return whether a number is this number of the source, or what rounding makes of it."""
    if UNREADABLE in (quantity.kind, known.kind):
        return False
    if quantity.signed and (quantity.value < 0) != (known.value < 0):
        return False
    values = []
    without_unit = quantity.kind == PLAIN and _is_precise(quantity)
    if without_unit or quantity.kind == known.kind:
        values.append(known.value)
    if known.kind == PERCENT and quantity.kind in (PLAIN, RATIO) and quantity.step < 1:
        values.append(known.value / 100)
    size = abs(quantity.value)
    tolerance = _tolerance(quantity) * (1 + 1e-9) + 1e-12
    return any(abs(abs(value) - size) <= tolerance for value in values)


def _is_precise(quantity: Quantity) -> bool:
    """Return whether a number without a unit can mean one with a unit.

    `between 80.1 and 84.6 %` can, `3 runs` for 2.6 % cannot.
    """
    if quantity.step == 1:
        return abs(quantity.value) >= 10
    return 0 < quantity.step < 1


def _tolerance(quantity: Quantity) -> float:
    if quantity.value == 0 and quantity.step >= 1:
        return 0.0  # nearly none is not none, and `0 million` says nothing
    if quantity.step:
        return quantity.step / 2
    if quantity.kind == RATIO:
        return ROUGHLY * quantity.value
    return 0.0


def _is_invisible(letter: str) -> bool:
    return unicodedata.category(letter).startswith(("M", "Cf"))


def _plain_name(name: str) -> str:
    return re.sub("[-_]", "", name).lower()


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


# ---- reading what a pattern has matched; None: it is no number ---------------------------------


def _read_digits(match: re.Match[str]) -> Quantity:
    scale = 1.0
    if match["scale"]:
        scale = SCALES[match["scale"].lower()]
    power = int(match["power"] or 0)
    part = match["part"] or ""
    whole = match["whole"].replace(",", "") or "0"
    value = float(f"{match['sign'] or ''}{whole}{part}e{power}") * scale
    if abs(value) > 1e300:
        return _unreadable(match)
    step = 10.0 ** (power - max(0, len(part) - 1)) * scale
    if re.match(r"0\d", match["whole"]):  # the second half of `1 000`
        return _unreadable(match)
    kind = RATIO if match["lead"] else _kind(match["unit"])
    text = match[0].strip().rstrip(" -")
    return Quantity(text, value, step, kind, signed=bool(match["sign"]))


def _read_words(match: re.Match[str]) -> Quantity | None:
    """Read a number in words; a lone `one` is no number."""
    text = match[0].strip(" -")
    words = re.findall(ANY_WORD, text, re.I)
    words = list(map(str.lower, words))
    if words == ["one"] and not match["unit"]:
        return None
    value = _worth(words)
    if match["point"] or value is None:
        return _unreadable(match)
    if match[0].lower().endswith("fold"):
        return Quantity(text, value, kind=RATIO)
    return Quantity(text, value, kind=_kind(match["unit"]))


def _worth(words: list[str]) -> float | None:
    """Add up words, `two hundred five` to 205; None where they do not make one number."""
    total = 0
    last = 0  # what stands before the next `thousand`
    for word in words:
        value = WORDS[word]
        if value >= 1000:
            total += (last or 1) * value
            last = 0
        elif value == 100 or word == "dozen":
            if last >= 100:
                return None
            last = (last or 1) * value
        elif _may_follow(value, last):
            last += value
        else:
            return None
    return float(total + last)


def _may_follow(value: int, last: int) -> bool:
    """Return whether a word below a hundred may follow: `five` after `twenty`, not after `ten`."""
    room = 100 if value > 9 else 10
    if last % room:
        return False
    if value < 10 and last % 100 == 10:
        return False
    return value != 0 or last == 0


def _read_multiple(match: re.Match[str]) -> Quantity:
    values = [MULTIPLES[words] for words in MULTIPLES if re.fullmatch(words, match[0], re.I)]
    return Quantity(match[0], values[0], kind=RATIO)


def _read_part(match: re.Match[str]) -> Quantity | None:
    """Read a part such as `two thirds`; an ordinal (`the third run`) is no number."""
    part = match["part"].lower()
    if not match["over"] and not match["many"] and part != "quarter":
        return None
    over = (match["over"] or "one").lower()
    value = WORDS.get(over, 1) / PARTS[part]
    return Quantity(match[0], value, kind=RATIO)


def _read_foreign(match: re.Match[str]) -> Quantity | None:
    """Refuse a digit, a numeral or a letter of another script: a number in it could not be seen."""
    sign = match[0]
    if unicodedata.numeric(sign, None) is not None:
        return _unreadable(match)
    name = unicodedata.name(sign, "")
    if sign.isalpha() and not name.startswith("LATIN"):
        return _unreadable(match)
    return None


def _unreadable(match: re.Match[str]) -> Quantity:
    return Quantity(match[0].strip(), 0.0, kind=UNREADABLE)


def _kind(unit: str | None) -> str:
    if not unit:
        return PLAIN
    unit = unit.lower().replace("percentage", "").strip(" -")
    return UNITS.get(unit) or UNITS[unit.rstrip("s")]


_READERS = (
    (SUM, _unreadable),
    (MONEY, _unreadable),
    (FOREIGN, _read_foreign),
    (IN_DIGITS, _read_digits),
    (VAGUE, _unreadable),
    (PART, _read_part),
    (IN_WORDS, _read_words),
    (MULTIPLE, _read_multiple),
)
