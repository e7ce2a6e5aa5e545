"""Replies as a model writes them."""

from __future__ import annotations


def edit(search: str, replace: str, path: str = "main.py") -> str:
    """A reply with one SEARCH/REPLACE block."""
    search = f"{search}\n" if search else ""
    return (
        "I change it.\n\n"
        f"{path}\n"
        "```python\n"
        "<<<<<<< SEARCH\n"
        f"{search}=======\n"
        f"{replace}\n"
        ">>>>>>> REPLACE\n"
        "```\n"
    )


def scores(*values: float, start: float = 0.5) -> list[str]:
    """Replies that set SCORE of the quick scaffold to one value after the other."""
    replies = []
    before = start
    for value in values:
        replies.append(edit(f"SCORE = {before}", f"SCORE = {value}"))
        before = value
    return replies
