"""Keys stay with the harness: which variables hold one, and what is passed on without them."""

from __future__ import annotations

import os
import re

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.I)
# A password that is an ordinary word cannot be told from the word; blotting it out would rewrite
# code and events.
_SHORTEST = 8  # characters
_WORD = re.compile(r"[a-z]+|[A-Z][a-z]+")

# A model-written program needs no more of the user's environment. The harness chooses devices.
_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
)


def secret_values() -> list[str]:
    """Return the values of the variables whose names say that they are secret, longest first."""
    named = [value for name, value in os.environ.items() if _SECRET_NAME.search(name)]
    values = {value for value in named if len(value) >= _SHORTEST and not _WORD.fullmatch(value)}
    return sorted(values, key=len, reverse=True)


def redact(text: str, hidden: list[str] | None = None) -> str:
    """Return text with every known secret value replaced.

    hidden: the values, for a caller that looks them up once for many texts.
    Not covered: a secret that was encoded or cut in two.
    """
    values = secret_values() if hidden is None else hidden
    for value in values:
        text = text.replace(value, "[secret]")
    return text


def clean_environment(**extra: str) -> dict[str, str]:
    """Return a new environment for a process that runs model-written code.

    It holds a short list of the user's variables, and what the caller adds.
    """
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed_on | extra
