"""The README cannot rot: links, files, options, commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)


def test_every_file_that_the_readme_names_exists():
    named = re.findall(
        r"`((?:agent|templates|ideas|scaffold|benchmarks)/[\w./]*|launch\.py)`", README
    )
    assert len(named) > 20
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def test_every_room_stands_in_the_table_of_rooms():
    rooms = {path.parent.name for path in (REPOSITORY / "agent").glob("*/__init__.py")}
    assert set(re.findall(r"^\| \d \| `agent/(\w+)/`", README, re.MULTILINE)) == rooms


def test_the_options_are_those_of_the_program():
    done = subprocess.run(
        [sys.executable, "launch.py", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "100"},
        check=True,
    )
    # argparse words its headings differently from one Python to the
    # next; the options and their texts must agree
    assert _options(done.stdout) == _options(README) and len(_options(README)) > 20


def _options(text: str) -> list[str]:
    return re.findall(r"^  (-\S.*(?:\n {10,}.*)*)", text, re.MULTILINE)


def test_ci_runs_the_readme_s_own_commands():
    script = (REPOSITORY / ".ci" / "run").read_text()
    assert "README.md" in script and len(BLOCKS) >= 3
    assert (
        "pip install" in BLOCKS[0]
        and "launch.py ideas/frequency_domain_cnn.md" in BLOCKS[0]
        and "pytest" in BLOCKS[1]
    )


def test_no_lock_or_constraint_names_a_host_and_the_pins_agree():
    constraints = (REPOSITORY / "constraints.txt").read_text()
    assert "://" not in constraints and "aider-chat==0.86.2" in constraints
    assert '"aider-chat==0.86.2"' in (REPOSITORY / "pyproject.toml").read_text()


def test_links_inside_the_readme_lead_somewhere():
    anchors = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in README.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (target.startswith("#") and target[1:] in anchors) or (
            REPOSITORY / target
        ).exists(), target


def test_the_list_of_planted_faults_fits_the_code():
    from benchmarks.faults import FAULTS

    missing = [
        (fault.file, fault.old)
        for fault in FAULTS
        if fault.old not in (REPOSITORY / fault.file).read_text(encoding="utf-8")
    ]
    assert missing == [] and len({fault.file for fault in FAULTS}) >= 10


READING = (REPOSITORY / "docs" / "reading.md").read_text(encoding="utf-8")


def test_the_page_on_reading_results_names_commands_options_and_files_that_exist():
    assert "(docs/reading.md)" in README
    for target in re.findall(r"\]\(([^)#]+)\)", READING):
        assert (REPOSITORY / "docs" / target).exists(), target
    sources = [REPOSITORY / "launch.py", *(REPOSITORY / "agent" / "cli").glob("*.py")]
    source = "".join(path.read_text(encoding="utf-8") for path in sources)
    commands = set(re.findall(r"launch\.py (\w+)", READING))
    assert commands >= {"review", "verdict", "sync", "report"}
    assert [name for name in commands if f'"{name}"' not in source] == []
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", READING)) - {"--logdir"}  # TensorBoard's
    assert [
        option for option in options if f'"{option}"' not in source and option != "--help"
    ] == []
    written = "".join(
        (REPOSITORY / "agent" / name).read_text(encoding="utf-8")
        for name in ("archive/paths.py", "report/text/diary.py")
    )
    for name in re.findall(r"`(?:\w+/)*(\w+\.(?:json|jsonl|csv|md|html))`", READING):
        assert f'"{name}"' in written, name


CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_place_that_contributing_names_exists():
    named = re.findall(r"`((?:agent|tests|templates|benchmarks|scaffold)/[\w./]+)`", CONTRIBUTING)
    assert len(named) > 20
    assert [name for name in named if not (REPOSITORY / name).exists()] == []
    for target in re.findall(r"\]\(([\w/]+\.md)", CONTRIBUTING):
        assert (REPOSITORY / target).exists(), target


def test_the_daily_commands_of_contributing_are_those_of_the_makefile():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for targets in re.findall(r"^make ([a-z ]+?)  ", CONTRIBUTING, re.MULTILINE):
        for target in targets.split():
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
