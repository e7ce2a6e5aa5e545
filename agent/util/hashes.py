"""Short hashes stand for a text or for bytes: in keys, names of folders and records."""

from __future__ import annotations

import hashlib


def short_hash(content: str | bytes, digits: int = 16) -> str:
    """Return the first hexadecimal digits of the SHA-256 of bytes, or of a text in UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:digits]
