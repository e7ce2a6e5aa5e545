"""Every number in a text, in digits or in words, and whether another text says the same one at that rounding.

Covered: signs, `1,234`, decimals, `1e-3`, `131k`, `2 million`; `%`, `pp`, `points`, `1.4x`, `3 times`, `threefold`; English words from
zero to billions, `dozen`, `twice`, `doubled`, `half`, `a third`. A number with a unit is looked up among those with that unit; a
percentage may be written as a share of 1. What cannot be read for sure (`3/4`, `10^5`, `dozens`, `$5`, digits and letters of other
scripts) is never found. A name that holds digits (`conv2`, `CIFAR-100`) is no number where the other text holds that name.
Not covered: `one`, `first`, `second`, `both`, `a few`, which are rarely meant as numbers; words of other languages; whether the words
beside a number are true: "a gain of 1.6" is found where a loss of 1.6 was told.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

PERCENT, RATIO, PLAIN, UNREADABLE = "percent", "ratio", "plain", "unreadable"
ROUGHLY = 0.1  # what `twice` and `half` may be off by, as a share of themselves

_UNITS = {
    "%": PERCENT,
    "percent": PERCENT,
    "per cent": PERCENT,
    "pp": PERCENT,
    "point": PERCENT,
    "x": RATIO,
    "\u00d7": RATIO,
    "times": RATIO,
    "fold": RATIO,
}
_SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "b": 1e9, "billion": 1e9}
_UNIT = r"(?:(?P<unit>%|per ?cent\b|(?:percentage[ -])?points?\b|pp\b|x\b|\u00d7|times\b|fold\b))?"
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]%.])[+-])?(?P<lead>(?<!\w)[x\u00d7])?(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+|(?=\.\d))(?P<part>\.\d+)?"
    r"(?:e(?P<power>[+-]?\d{1,3})(?!\w))?"
    r"[ -]?(?P<scale>(?:k|m|b|thousand|million|billion)\b)?[ -]?" + _UNIT,
    re.I,
)
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]+[-_]?\d[\w-]*")
_SUM = re.compile(
    r"\d[\d.,]*\s*(?:[/^*\u00d7÷=\u2044\u2215]|\bover\b)\s*[\d(]"
)  # to be worked out: no number that stands somewhere
_MONEY = re.compile(r"[$€£¥]\s?[\d.,]+")

_SMALL = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {
    **{word: value for value, word in enumerate(_SMALL)},
    **{word: 10 * value for value, word in enumerate(_TENS, 2)},
    "dozen": 12,
    "hundred": 100,
    "thousand": 1000,
    "million": 10**6,
    "billion": 10**9,
}
_WORD = "|".join(sorted(_WORDS, key=len, reverse=True))
_WORDY = re.compile(
    rf"\b(?:{_WORD})(?:(?:[ -]and)?[ -]?(?:{_WORD}))*(?!\w)(?P<point> point\b)?[ -]?{_UNIT}|\b(?:{_WORD})fold\b",
    re.I,
)
_VAGUE = re.compile(r"\b(?:dozens|hundreds|thousands|millions|billions)\b", re.I)
_MULTIPLES = {
    "twice": 2.0,
    "doubl(?:e|es|ed|ing)": 2.0,
    "thrice": 3.0,
    "tripl(?:e|es|ed|ing)": 3.0,
    "quadrupl(?:e|es|ed|ing)": 4.0,
    "half|halves|halved|halving": 0.5,
}
_PARTS = {
    "third": 3,
    "quarter": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
    "hundredth": 100,
}
_PART = re.compile(
    rf"(?:\b(?P<over>an?|one|two|three|four|five|six|seven|eight|nine)[ -])?\b(?P<part>{'|'.join(_PARTS)})(?P<many>s\b|\b)",
    re.I,
)


@dataclass(frozen=True)
class Quantity:
    """One number of a text. step: what it is rounded to; 0 where it is not written in digits."""

    text: str
    value: float
    step: float = 0.0
    kind: str = PLAIN
    signed: bool = False  # a sign was written


def readable(text: str) -> str:
    """text in the one form in which its numbers are looked for; what is shown must be this form, or something may hide in the other."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(
        letter for letter in text if not unicodedata.category(letter).startswith(("M", "Cf"))
    )
    return re.sub("[\u2010-\u2015\u2212\ufe63]", "-", text)


def unfounded(text: str, source: str, names: str = "") -> list[str]:
    """What a text (made readable) names that is no number of the source; names: a text whose names with digits are known, too."""
    known, given = numbers(_NAME.sub(" ", source)), _names(f"{source} {names}")
    text = _NAME.sub(
        lambda match: " " * len(match[0]) if _plain_name(match[0]) in given else match[0], text
    )
    return [one.text for one in numbers(text) if not any(_says(one, other) for other in known)]


def numbers(text: str) -> list[Quantity]:
    """In the order in which they stand; each sign of the text belongs to one of them at most."""
    found = list[tuple[int, Quantity]]()

    def take(
        pattern: re.Pattern[str], read: Callable[[re.Match[str]], Quantity | None], text: str
    ) -> str:
        def blank(match: re.Match[str]) -> str:
            if one := read(match):
                found.append((match.start(), one))
            return " " * len(match[0]) if one else match[0]

        return pattern.sub(blank, text)

    text = re.sub(r"\+/?-|±", lambda match: " " * len(match[0]), text)
    for pattern, read in _READERS:
        text = take(pattern, read, text)
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def _says(one: Quantity, known: Quantity) -> bool:
    """Whether a number of the text is this number of the source, or what rounding makes of it."""
    if UNREADABLE in (one.kind, known.kind) or (
        one.signed and (one.value < 0) != (known.value < 0)
    ):
        return False
    values = (
        [known.value] if one.kind == known.kind or (one.kind == PLAIN and _precise(one)) else []
    )
    if known.kind == PERCENT and one.kind in (PLAIN, RATIO) and one.step < 1:
        values.append(known.value / 100)
    tolerance = one.step / 2 or (ROUGHLY * one.value if one.kind == RATIO else 0.0)
    if one.value == 0 and one.step >= 1:  # nearly none is not none, and `0 million` says nothing
        tolerance = 0.0
    return any(
        abs(abs(value) - abs(one.value)) <= tolerance * (1 + 1e-9) + 1e-12 for value in values
    )


def _precise(one: Quantity) -> bool:
    """Whether a number without a unit can mean one with a unit: `between 80.1 and 84.6 %`, but not `3 runs` for 2.6 %."""
    return 0 < one.step < 1 or (one.step == 1 and abs(one.value) >= 10)


def _digits(match: re.Match[str]) -> Quantity:
    scale = _SCALES[match["scale"].lower()] if match["scale"] else 1.0
    power, part = int(match["power"] or 0), match["part"] or ""
    value = (
        float(f"{match['sign'] or ''}{match['whole'].replace(',', '') or 0}{part}e{power}") * scale
    )
    step = 10.0 ** (power - max(0, len(part) - 1)) * scale
    if abs(value) > 1e300 or re.match(
        r"0\d", match["whole"]
    ):  # the latter: the second half of `1 000`
        return _unreadable(match)
    kind = RATIO if match["lead"] else _kind(match["unit"])
    return Quantity(match[0].strip().rstrip(" -"), value, step, kind, bool(match["sign"]))


def _wordy(match: re.Match[str]) -> Quantity | None:
    """None for a lone `one`."""
    words = [word.lower() for word in re.findall(_WORD, match[0], re.I)]
    if words == ["one"] and not match["unit"]:
        return None
    value = _worth(words)
    if match["point"] or value is None:
        return _unreadable(match)
    return Quantity(
        match[0].strip(" -"),
        value,
        kind=RATIO if match[0].lower().endswith("fold") else _kind(match["unit"]),
    )


def _worth(words: list[str]) -> float | None:
    """`two hundred five` -> 205; None where they do not make one number."""
    total = last = 0
    for word in words:
        value = _WORDS[word]
        if value >= 1000:
            total, last = total + (last or 1) * value, 0
        elif value == 100 or word == "dozen":
            if not last < 100:
                return None
            last = (last or 1) * value
        elif (
            last % (100 if value > 9 else 10)
            or (value < 10 and last % 100 == 10)
            or (last and value == 0)
        ):
            return None
        else:
            last += value
    return float(total + last)


def _multiple(match: re.Match[str]) -> Quantity:
    value = next(
        value for words, value in _MULTIPLES.items() if re.fullmatch(words, match[0], re.I)
    )
    return Quantity(match[0], value, kind=RATIO)


def _part(match: re.Match[str]) -> Quantity | None:
    """None for an ordinal: `the third run`."""
    if not match["over"] and not match["many"] and match["part"].lower() != "quarter":
        return None
    over = (match["over"] or "one").lower()
    return Quantity(match[0], _WORDS.get(over, 1) / _PARTS[match["part"].lower()], kind=RATIO)


def _unreadable(match: re.Match[str]) -> Quantity:
    return Quantity(match[0].strip(), 0.0, kind=UNREADABLE)


def _foreign(match: re.Match[str]) -> Quantity | None:
    """A digit, a numeral or a letter that is not of the Latin script: a number in it could not be told."""
    numeric, letter = unicodedata.numeric(match[0], None) is not None, match[0].isalpha()
    return (
        _unreadable(match)
        if numeric or (letter and not unicodedata.name(match[0], "").startswith("LATIN"))
        else None
    )


def _kind(unit: str | None) -> str:
    if not unit:
        return PLAIN
    unit = unit.lower().replace("percentage", "").strip(" -")
    return _UNITS.get(unit) or _UNITS[unit.rstrip("s")]


def _names(text: str) -> set[str]:
    return {_plain_name(name) for name in _NAME.findall(text)}


def _plain_name(name: str) -> str:
    return re.sub("[-_]", "", name).lower()


_MULTIPLE = re.compile(rf"\b(?:{'|'.join(_MULTIPLES)})\b", re.I)
_READERS = (
    (_SUM, _unreadable),
    (_MONEY, _unreadable),
    (re.compile(r"[^\x00-\x7f]"), _foreign),
    (_NUMBER, _digits),
    (_VAGUE, _unreadable),
    (_PART, _part),
    (_WORDY, _wordy),
    (_MULTIPLE, _multiple),
)
