"""Ideas: what is accepted, and that every mistake is named with file and line."""

from __future__ import annotations

import pytest

from agent.experiment.idea import find_ideas, load_idea
from agent.util.errors import UserError
from tests.conftest import REPOSITORY


def write(tmp_path, text, name="an_idea.md"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_title_text_and_front_matter_are_read(tmp_path):
    idea = load_idea(
        write(
            tmp_path,
            "---\n"
            "epochs: 2\n"
            "criteria: [It is used.]\n"
            "---\n\n"
            "## A title ##\n\n"
            "Build it.\n\n"
            "# Not a title\n",
        )
    )
    assert (idea.title, idea.text, idea.slug) == (
        "A title",
        "Build it.\n\n# Not a title",
        "an_idea",
    )
    assert idea.settings == {"epochs": 2, "criteria": ["It is used."]}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "empty"),
        ("\n\n", 1, "no title"),
        ("text\n# Title\n", 1, "text before the title"),
        ("# Title\n\n", 1, "nothing follows the title"),
        ("---\nepochs: 3\n# Title\n", 1, "not closed"),
        ("---\nepoch: 3\n---\n# T\nx", 2, "unknown key 'epoch'"),
        ("---\nruns: 2\nepochs: many\n---\n# T\nx", 3, "epochs must be int"),
        ("---\nruns: 0\n---\n# T\nx", 2, "runs must be above 0"),
        ("---\nruns: true\n---\n# T\nx", 2, "runs must be int"),
        ("---\ndirection: up\n---\n# T\nx", 2, "direction must be max or min"),
        ("---\ncriteria: []\n---\n# T\nx", 2, "criteria must be a list of sentences"),
        ("---\nruns: 3\n  epochs: 2\n---\n# T\nx", 3, "front matter"),
        ("---\n- a\n---\n# T\nx", 2, "front matter"),
        (b"# Title\n\n\xff\xfe\n", 3, "not UTF-8"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(tmp_path, text, line, message):
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_idea(path)
    assert str(caught.value).startswith(f"{path}:{line}: ") and message in str(caught.value)


def test_a_folder_is_its_markdown_files_in_order_and_two_of_one_name_are_refused(tmp_path):
    for name in ("b.md", "a.md", "README.md", "notes.txt"):
        write(tmp_path, "# T\nx", name)
    assert [idea.slug for idea in find_ideas([tmp_path])] == ["a", "b"]
    other = tmp_path / "other"
    other.mkdir()
    write(other, "# T\nx", "a.md")
    with pytest.raises(UserError, match="rename one"):
        find_ideas([tmp_path, other])


def test_every_shipped_idea_is_a_page_with_what_a_researcher_expects():
    ideas = find_ideas([REPOSITORY / "ideas"])
    assert len(ideas) >= 8
    for idea in ideas:
        for section in (
            "Hypothesis",
            "Theory",
            "What to build",
            "How to train",
            "What would refute it",
        ):
            assert f"## {section}" in idea.text, (idea.slug, section)
        assert 3 <= len(idea.settings["criteria"]) <= 6
