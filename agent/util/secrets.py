"""Keys: which variables hold one, an environment without them, and text without their values."""

from __future__ import annotations

import os
import re

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.I)
# A password that is an ordinary word cannot be told from the word; blotting it out would rewrite code and events.
_SHORTEST = 8  # characters
_WORD = re.compile(r"[a-z]+|[A-Z][a-z]+")

# All that a model-written program needs of the user's environment. Devices are chosen by the harness.
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
    """Values of the variables whose names say that they are secret, longest first."""
    named = [value for name, value in os.environ.items() if _SECRET_NAME.search(name)]
    found = {value for value in named if len(value) >= _SHORTEST and not _WORD.fullmatch(value)}
    return sorted(found, key=len, reverse=True)


def redact(text: str, hidden: list[str] | None = None) -> str:
    """text with every known secret value replaced. Not covered: a secret that was encoded or cut in two."""
    for value in secret_values() if hidden is None else hidden:
        text = text.replace(value, "[secret]")
    return text


def clean_environment(**extra: str) -> dict[str, str]:
    """A new environment for a process that runs model-written code: a short list, and what the caller adds."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | extra
