"""A text writes numbers in many forms: these are their units and words, and how they are found."""

from __future__ import annotations

import re

# Kinds of a number.
PERCENT = "percent"
RATIO = "ratio"
PLAIN = "plain"
UNREADABLE = "unreadable"

UNITS = {
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
SCALES = {
    "k": 1e3,
    "thousand": 1e3,
    "m": 1e6,
    "million": 1e6,
    "b": 1e9,
    "billion": 1e9,
}

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
WORDS = {
    **{word: value for value, word in enumerate(_SMALL)},
    **{word: 10 * value for value, word in enumerate(_TENS, 2)},
    "dozen": 12,
    "hundred": 100,
    "thousand": 1000,
    "million": 10**6,
    "billion": 10**9,
}
MULTIPLES = {
    "twice": 2.0,
    "doubl(?:e|es|ed|ing)": 2.0,
    "thrice": 3.0,
    "tripl(?:e|es|ed|ing)": 3.0,
    "quadrupl(?:e|es|ed|ing)": 4.0,
    "half|halves|halved|halving": 0.5,
}
PARTS = {
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

_UNIT = r"(?:(?P<unit>%|per ?cent\b|(?:percentage[ -])?points?\b|pp\b|x\b|\u00d7|times\b|fold\b))?"
_DIGITS = (
    r"(?P<sign>(?<![\w)\]%.])[+-])?"
    r"(?P<lead>(?<!\w)[x\u00d7])?"
    r"(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+|(?=\.\d))"
    r"(?P<part>\.\d+)?"
    r"(?:e(?P<power>[+-]?\d{1,3})(?!\w))?"
    r"[ -]?(?P<scale>(?:k|m|b|thousand|million|billion)\b)?[ -]?"
)
ANY_WORD = "|".join(sorted(WORDS, key=len, reverse=True))
_SEVERAL_WORDS = rf"\b(?:{ANY_WORD})(?:(?:[ -]and)?[ -]?(?:{ANY_WORD}))*(?!\w)"
_UP_TO_NINE = "|".join(_SMALL[1:10])

IN_DIGITS = re.compile(_DIGITS + _UNIT, re.I)
IN_WORDS = re.compile(
    rf"{_SEVERAL_WORDS}(?P<point> point\b)?[ -]?{_UNIT}|\b(?:{ANY_WORD})fold\b", re.I
)
VAGUE = re.compile(r"\b(?:dozens|hundreds|thousands|millions|billions)\b", re.I)
MULTIPLE = re.compile(rf"\b(?:{'|'.join(MULTIPLES)})\b", re.I)
PART = re.compile(
    rf"(?:\b(?P<over>an?|{_UP_TO_NINE})[ -])?\b(?P<part>{'|'.join(PARTS)})(?P<many>s\b|\b)", re.I
)
# A sum is to be worked out: it is no number that stands somewhere.
SUM = re.compile(r"\d[\d.,]*\s*(?:[/^*\u00d7÷=\u2044\u2215]|\bover\b)\s*[\d(]")
MONEY = re.compile(r"[$€£¥]\s?[\d.,]+")
FOREIGN = re.compile(r"[^\x00-\x7f]")
PLUS_OR_MINUS = re.compile(r"\+/?-|±")
NAME = re.compile(r"(?<![\w.])[A-Za-z_]+[-_]?\d[\w-]*")
