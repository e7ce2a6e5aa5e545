"""`launch.py review`: tables that fit their terminal, rows for scripts, one attempt close up.

And archives that anyone may have edited.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import launch as launch_module
from agent.archive.lookup import experiments, find
from agent.archive.paths import Archive, experiment_lock
from agent.report.export.rows import (
    HEADINGS,
    LARGEST_FIRST,
    SMALLEST_FIRST,
    as_csv,
    as_json,
    ordered,
    row,
)
from agent.report.summary import STATES, corrected, summaries, summarise
from agent.report.terminal.attempt import show_log
from agent.report.terminal.grid import Column, Grid
from agent.report.terminal.tables import experiment_table, overview_table, verdict_table
from agent.util.errors import Fault
from agent.util.files import read_events, read_json
from agent.util.locks import locked
from benchmarks.archives import DAMAGES, make_archives
from benchmarks.archives import STATES as MADE
from tests.conftest import REPOSITORY

COUNT = len(MADE) * len(DAMAGES)
Review = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Experiments of every state and with every damage; nobody changes them."""
    folder = tmp_path_factory.mktemp("queue") / "runs"
    make_archives(folder, COUNT, whole=0.2)
    return folder


@pytest.fixture
def experiment(tmp_path: Path) -> Archive:
    """A finished experiment with all its run folders, free to be damaged."""
    return make_archives(tmp_path / "runs", 1, whole=1.0)[0]


@pytest.fixture
def review(capsys: pytest.CaptureFixture[str]) -> Review:
    """Exit code, output and errors of the command, in this process."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = launch_module.main(["review", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def rendered(grid: Grid, width: int = 0) -> list[str]:
    """Its lines on a terminal of this width; 0: in a pipe."""
    console = Console(
        file=io.StringIO(),
        width=width or 200,
        force_terminal=bool(width),
        color_system=None,
        highlight=False,
    )
    console.print(grid, crop=False)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


# ---- many ----------------------------------------------------------------------------------------


def test_every_experiment_is_in_the_tables_and_in_the_rows_whatever_became_of_it(runs, review):
    names = {f"{archive.folder.parent.name}/{archive.folder.name}" for archive in experiments(runs)}
    code, out, _ = review("--runs-dir", runs)
    assert code == 0 and len(names) == COUNT and all(name in out for name in names)
    rows = json.loads(review("--runs-dir", runs, "--json")[1])
    assert {row["name"] for row in rows} == names
    counts = {state: sum(row["state"] == state for row in rows) for state in STATES}
    assert counts == {"running": 0} | {
        state: MADE.count(state) * len(DAMAGES) for state in STATES if state != "running"
    }
    notes = {
        row["note"].rpartition(f"{row['folder']}/")[2][:40]
        for row in rows
        if row["state"] == "damaged"
    }
    assert {note.split(":")[0] for note in notes} >= {"verdict.json", "config.json", "events.jsonl"}


COLUMNS = (
    "name folder state note title data epochs model metric self_reported baseline best change "
    "runs failed effect low high p_value q idea_seeds control_seeds time_ratio parameter_ratio "
    "qualifiers tokens cost stopped began ended seconds"
)


def as_cell(value: object) -> str:
    """How a value of the JSON stands in the CSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "; ".join(value)
    return str(value)


def test_the_rows_for_scripts_have_stable_names_and_numbers_in_them(runs, review):
    rows = json.loads(review("--runs-dir", runs, "--json")[1])
    table = list(csv.DictReader(io.StringIO(review("--runs-dir", runs, "--csv")[1])))
    names = COLUMNS.split()
    assert all(list(row) == names for row in rows) and list(table[0]) == names
    for fields, line in zip(rows, table, strict=True):
        assert line == {name: as_cell(value) for name, value in fields.items()}
    first = next(row for row in rows if row["state"] == "supported")
    assert (
        first["low"] < first["effect"] < first["high"]
        and first["q"] >= first["p_value"]
        and first["change"] == first["best"] - first["baseline"]
    )
    damaged = next(row for row in rows if row["state"] == "damaged")
    assert damaged["runs"] is damaged["tokens"] is damaged["best"] is None, "0 would be a claim"


def test_rows_are_sorted_and_chosen_and_what_stands_in_them_stays(runs, review):
    every = {row["name"]: row for row in json.loads(review("--runs-dir", runs, "--json")[1])}
    some = json.loads(
        review(
            "--runs-dir",
            runs,
            "--json",
            "--verdict",
            "supported,inconclusive",
            "--verdict",
            "Old-Format",
        )[1]
    )
    assert {row["state"] for row in some} == {"supported", "inconclusive", "old_format"}
    assert all(row == every[row["name"]] for row in some), (
        "q is among all that were tried, not among those shown"
    )
    costs = [
        row["cost"] for row in json.loads(review("--runs-dir", runs, "--json", "--sort", "cost")[1])
    ]
    known = [cost for cost in costs if cost is not None]
    assert (
        known == sorted(known, reverse=True)
        and costs == known + [None] * (len(costs) - len(known))
        and None in costs
    )
    values = [
        row["q"]
        for row in json.loads(
            review("--runs-dir", runs, "--json", "--sort", "q", "--verdict", "supported")[1]
        )
    ]
    assert values == sorted(values)
    code, out, _ = review("--runs-dir", runs, "--verdict", "supported")
    compared = sum(row["effect"] is not None for row in every.values())
    assert (
        code == 0
        and f"ideas compared: {compared};" in out
        and f"6 of {COUNT} experiments" in out
        and "inconclusive" not in out
    )
    assert review("--runs-dir", runs, "--verdict", "running")[:2] == (
        0,
        f"none of {COUNT} experiments is running\n",
    )
    assert json.loads(review("--runs-dir", runs, "--verdict", "running", "--json")[1]) == []


def test_every_column_sorts_archives_of_every_state(runs):
    rows = summaries(runs)
    for column in (*LARGEST_FIRST, *SMALLEST_FIRST, *HEADINGS):
        assert sorted(row.name for row in ordered(rows, column)) == sorted(
            row.name for row in rows
        ), column


def test_the_verdicts_are_ranked_by_the_lower_end_of_their_intervals(runs):
    table_rows = summaries(runs)
    table = verdict_table(ordered(table_rows, "low"), table_rows)
    assert table
    lows = [float(cell[1:].split(",")[0]) for cell in table.columns[3].cells if cell]
    assert lows == sorted(lows, reverse=True) and not any(table.columns[3].cells[len(lows) :])


@pytest.mark.parametrize("width", [70, 80, 120, 200])
def test_on_a_terminal_no_line_is_wider_than_it_and_no_number_is_cut(runs, width):
    results = summaries(runs)
    for table in (verdict_table(results, results), overview_table(results, results)):
        assert table
        lines = rendered(table, width)
        assert max(map(len, lines)) <= width
        rows = [line for line in lines if re.search(r"/2026\d{4}T\d{6}Z", line)]
        assert len(rows) == len(table.columns[0].cells), "one line each"
        for line, *cells in zip(
            rows,
            *(
                column.cells
                for column in table.columns
                if not column.leave_out and not column.shortest
            ),
            strict=True,
        ):
            assert all(cell in line for cell in cells)
    assert width < 80 or {"time", "params"} <= set(
        rendered(verdict_table(results, results), width)[0].split()
    ), "no win without its price"


def test_in_a_pipe_nothing_is_shortened_and_nothing_is_coloured(runs, review):
    code, out, _ = review("--runs-dir", runs)
    assert code == 0 and "…" not in out and "\x1b" not in out
    assert (
        "fault: provider: openai: RateLimitError: 429 [too many requests] after 4 requests" in out
    )


def test_a_table_leaves_out_what_matters_less_and_shortens_texts_before_names():
    name = Column("name", ["an_idea_with_a_long_name/20260921T155102Z"], shortest=23, tail=17)
    columns = [
        name,
        Column("n", ["1234567"], right=True),
        Column("less", ["9"], leave_out=1),
        Column("text", ["日本語" * 9], shortest=6),
    ]
    assert (
        rendered(Grid(columns), 79)[2]
        == "an_idea_with_a_long_name/20260921T155102Z  1234567  9     日本語日本語日本語日…"
    )
    assert rendered(Grid(columns), 50)[2] == "an_idea_w…/20260921T155102Z  1234567  9     日本 …"
    assert rendered(Grid(columns), 42)[2] == "an_idea…/20260921T155102Z  1234567  日本 …"
    assert rendered(Grid(columns), 20)[2] == "an_id…/20260921T155102Z  1234567  日本 …", (
        "what is left is whole, even where it does not fit"
    )


def test_what_makes_no_sense_together_is_one_line(runs, review):
    name = next(archive for archive in experiments(runs)).folder
    for arguments, message in [
        (["--json", "--csv"], "--json and --csv: one at a time"),
        (["--diff", name], "--diff is of one experiment: python launch.py review RUN --diff [N]"),
        (["--log"], "--log is of one experiment"),
        (["--chat"], "--chat is of one experiment"),
        ([name, "--diff", "--log"], "--diff and --log: one at a time"),
        ([name, "--sort", "cost"], f"--sort is for the table of all experiments: leave {name} out"),
        ([name, "--verdict", "fault"], "--verdict is for the table"),
        ([name, "--csv"], "--csv is for the table"),
        (["--sort", "price"], "--sort price: no such column; there are baseline, began"),
        (["--verdict", "won"], "--verdict won: no such class; there are supported, not_supported"),
        (["--verdict", ""], "--verdict : no such class"),
        ([name, "--diff", "9"], "no attempt '9'; there are run_1"),
        ([name, "--diff", "0"], "run_0 is the scaffold as it is"),
        (["--runs-dir", runs / "absent"], "no experiment here yet: python launch.py ideas/"),
        (["absent"], "absent: no experiment"),
    ]:
        code, out, err = review(
            *(["--runs-dir", runs] if "--runs-dir" not in arguments else []), *arguments
        )
        assert code == 2 and message in err and err.count("\n") == 1 and out == "", (
            arguments,
            out,
            err,
        )


def test_a_running_experiment_is_said_to_run(tmp_path, review):
    archive = make_archives(tmp_path, 12)[11]
    with locked(experiment_lock(archive.folder.parent, read_json(archive.config)["key"])):
        assert (
            summarise(archive).state == "running" and "running" in review("--runs-dir", tmp_path)[1]
        )
    assert summarise(archive).state == "unfinished"


def test_a_torn_line_or_a_command_that_did_nothing_after_the_verdict_changes_nothing(experiment):
    before = summarise(experiment)
    for more in ('{"event": "sitting", "time": 1800000000.0}\n', '{"event": "sit'):
        with experiment.events.open("a") as file:
            file.write(more)
        assert summarise(experiment) == before and before.finished


def test_many_experiments_are_read_without_the_libraries_that_compute(runs):
    """What makes it slow: numpy and scipy take longer than a thousand archives."""
    heavy = "'numpy', 'scipy', 'jinja2', 'yaml', 'psutil', 'asyncio', 'matplotlib'"
    for arguments, more in ([], ""), (["--json"], ", 'rich'"), (["--csv"], ", 'rich'"):
        command = ["review", "--runs-dir", str(runs), *arguments]
        script = (
            "import launch, sys\n"
            f"launch.main({command!r})\n"
            f"print(sorted({{{heavy}{more}}} & set(sys.modules)), file=sys.stderr)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == "[]\n"


def test_a_terminal_without_the_letters_shows_others(experiment):
    experiment.config.write_text(
        json.dumps(read_json(experiment.config) | {"idea": "\u00c9t\u00e9"})
    )
    command = [sys.executable, "launch.py", "review", experiment.folder]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
        check=False,
    )
    assert (
        done.returncode == 0
        and b"-----" in done.stdout
        and b"\\xc9t\\xe9: val_accuracy" in done.stdout
        and done.stderr == b""
    )


# ---- text that nobody vouches for ----------------------------------------------------------------


def test_names_and_texts_with_control_characters_or_markup_are_shown_as_text(
    experiment, review, tmp_path
):
    odd = experiment.folder.parent.with_name("=x\x1b[31m[bold]\n\u202eé")
    experiment.folder.parent.rename(odd)
    archive = Archive(odd / experiment.folder.name)
    stored = read_json(archive.verdict)
    stored["reasons"] = ["\x1b]0;title\x07[red]why[/red]\r\n\x00"]
    stored["qualifiers"] = ["[link=x]with[/link]\x1b[2J"]
    archive.verdict.write_text(
        json.dumps(stored | {"idea": stored["idea"] | {"title": "=HYPERLINK(1)\x07"}})
    )
    for arguments in (
        [],
        ["--json"],
        ["--csv"],
        [archive.folder],
        [archive.folder, "--json"],
        [archive.folder, "--diff"],
    ):
        code, out, err = review("--runs-dir", tmp_path / "runs", *arguments)
        assert code == 0 and not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", out + err), arguments
    assert (
        "=x[bold] é/" in review("--runs-dir", tmp_path / "runs")[1]
        and "[link=x]with[/link]" in review("--runs-dir", tmp_path / "runs")[1]
    )
    assert json.loads(review("--runs-dir", tmp_path / "runs", "--json")[1])[0]["folder"] == str(
        archive.folder
    )
    (line,) = csv.DictReader(io.StringIO(review("--runs-dir", tmp_path / "runs", "--csv")[1]))
    assert (
        line["title"].startswith("'=HYPERLINK")
        and line["name"].startswith("'=x\\x1b[31m")
        and line["low"] == str(stored["effect"]["ci95"][0])
    )


def test_a_secret_that_got_into_an_archive_is_shown_nowhere(
    experiment, review, tmp_path, monkeypatch
):
    monkeypatch.setenv("SOME_API_KEY", "sk-abcdefgh-1234")
    experiment.verdict.write_text(
        experiment.verdict.read_text().replace("made up for a benchmark", "sk-abcdefgh-1234")
    )
    for arguments in (
        [],
        ["--json"],
        ["--csv"],
        [experiment.folder],
        [experiment.folder, "--json"],
    ):
        assert "sk-abcdefgh" not in review("--runs-dir", tmp_path / "runs", *arguments)[1]


JUNK: list[Any] = [
    None,
    True,
    -1,
    2**70,
    10**400,
    1e308,
    float("nan"),
    "",
    "x",
    "\x1b[31m[red]",
    "\ud800",
    [],
    [1],
    {},
    {"a": 1},
    [[]] * 3,
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, as a path of keys; long lists by their first few."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value[:4])
        if isinstance(value, list)
        else ()
    )
    return [path] * bool(path) + [
        place for key, part in inner for place in places(part, (*path, key))
    ]


def edited(value: Any, rng: random.Random) -> Any:
    """The same with one place replaced or left out."""
    *path, last = rng.choice(places(value))
    inner = value
    for key in path:
        inner = inner[key]
    if rng.random() < 0.3:
        del inner[last]
    else:
        inner[last] = rng.choice(JUNK)
    return value


def edit_by_hand(path: Path, rng: random.Random) -> None:
    if path.suffix == ".jsonl":
        lines = path.read_text().splitlines()
        chosen = rng.randrange(len(lines))
        lines[chosen] = json.dumps(edited(json.loads(lines[chosen]), rng))
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_text(json.dumps(edited(json.loads(path.read_text()), rng)))


@pytest.mark.parametrize("place", [0, 5, 10, 11, 13], ids=lambda place: MADE[place])
def test_whatever_stands_in_an_archive_it_is_shown_in_every_table_and_row(tmp_path, place):
    archive = make_archives(tmp_path / "runs", place + 1, whole=0)[place]
    files = [
        path
        for path in (archive.config, archive.events, archive.session, archive.verdict)
        if path.exists()
    ]
    kept = {path: path.read_bytes() for path in files}
    rng = random.Random(place)
    for _ in range(150):
        path = rng.choice(files)
        edit_by_hand(path, rng)
        rows = corrected([summarise(archive)])
        tables = [
            table for table in (verdict_table(rows, rows), overview_table(rows, rows)) if table
        ]
        shown = [rendered(table, width) for table in tables for width in (0, 80)]
        assert any(archive.folder.name in line for lines in shown for line in lines)
        assert (
            json.loads(as_json(rows))[0]["state"] in STATES
            and as_csv(rows).count("\n") >= 2
            and set(row(rows[0])) == set(json.loads(as_json(rows))[0])
        )
        json.loads(as_json(rows), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        path.write_bytes(kept[path])


@pytest.mark.slow
def test_whatever_stands_in_an_archive_review_shows_the_rest_and_names_the_damage(
    experiment, review
):
    files = [
        experiment.config,
        experiment.events,
        experiment.verdict,
        experiment.run(1).result,
        experiment.run(1).gate,
        experiment.run(0).result,
    ]
    kept = {path: path.read_bytes() for path in files}
    rng = random.Random(5)
    codes = list[int]()
    for _ in range(120):
        path = rng.choice(files)
        edit_by_hand(path, rng)
        code, _out, err = review(
            experiment.folder, *rng.choice([[], [], [], ["--json"], ["--diff"], ["--log", "1"]])
        )
        assert code in (0, 1, 2) and "fault of Assay" not in err and "Traceback" not in err, (
            path,
            err,
        )
        assert code == 0 or (err.startswith("launch.py: ") and experiment.folder.name in err), err
        codes.append(code)
        path.write_bytes(kept[path])
    assert 1 in codes and 0 in codes


def test_one_damaged_attempt_hides_no_other(experiment, review):
    experiment.run(2).result.write_text(
        json.dumps(read_json(experiment.run(2).result) | {"metrics": "x"})
    )
    code, out, err = review(experiment.folder)
    assert (
        code == 1
        and "run_2/result.json: not a result of this version" in err
        and err.count("\n") == 1
    )
    assert re.search(r"^run_2 +damaged", out, re.M) and "\nrun_2: damaged\n" in out
    assert (
        re.search(r"^run_3 +success", out, re.M)
        and "\nrun_3: success\n" in out
        and "VERDICT" in out
    )


def test_an_experiment_without_its_config_can_be_looked_at(experiment, review, tmp_path):
    experiment.config.unlink()
    code, out, err = review(experiment.folder)
    assert (
        code == 1
        and "config.json: No such file" in err
        and "run_3: success" in out
        and "VERDICT" in out
    )
    assert find(Path(experiment.folder.parent.name), tmp_path / "runs") == experiment, (
        "by its name too"
    )
    assert "damaged: config.json: No such file" in review("--runs-dir", tmp_path / "runs")[1]


# ---- one attempt ---------------------------------------------------------------------------------


def with_attempts(experiment: Archive, *names: str) -> None:
    """Give an experiment these attempts.

    Failed ones are copies of run_1, with a program of their own.
    """
    events = [
        event
        for event in read_events(experiment.events)
        if event["event"] not in ("edit", "attempt", "verdict")
    ]
    edit = next(event for event in read_events(experiment.events) if event["event"] == "edit")
    for place, name in enumerate(names):
        if not (experiment.folder / name).exists():
            shutil.copytree(experiment.folder / "run_1", experiment.folder / name)
        (experiment.folder / name / "code" / "main.py").write_text(f"ATTEMPT = {place}\n")
        value = None if ".failed_" in name else 0.5 + place / 100 * (-1) ** place
        events += [
            edit,
            {
                "event": "attempt",
                "number": int(name[4]),
                "folder": name,
                "status": "success",
                "value": value,
            },
        ]
    experiment.events.write_text("".join(json.dumps(event) + "\n" for event in events))


@pytest.fixture
def several(experiment: Archive) -> Archive:
    with_attempts(
        experiment,
        "run_1.failed_1",
        "run_1.failed_2",
        "run_1",
        "run_2",
        "run_3.failed_1",
        "run_3.failed_2",
    )
    return experiment


@pytest.mark.parametrize(
    ("option", "title", "compared"),
    [
        ([], "run_1, the best of 2 on validation data", ["run_1.failed_2", "run_0, the scaffold"]),
        (["2"], "run_2", ["run_1", "run_0, the scaffold"]),
        (["run_2"], "run_2", ["run_1", "run_0, the scaffold"]),
        (["run_1.failed_2"], "run_1.failed_2", ["run_1.failed_1", "run_0, the scaffold"]),
        # It never succeeded.
        (
            ["3"],
            "run_3.failed_2",
            ["run_3.failed_1", "run_2", "run_0, the scaffold"],
        ),
        (["run_1.failed_1"], "run_1.failed_1", ["run_0, the scaffold"]),
    ],
)
def test_a_diff_is_of_the_attempt_that_is_meant_against_those_before_it(
    several, review, option, title, compared
):
    code, out, err = review(several.folder, "--diff", *option)
    assert code == 0 and out.splitlines()[0] == title, err
    assert re.findall(r"^since (.*):$", out, re.M) == compared and "+ATTEMPT = " in out


def test_a_log_is_of_the_last_attempt_cleaned_and_whole_in_a_pipe(several, review, tmp_path):
    folder = several.folder / "run_3.failed_2"
    lines = [f"line {number}" for number in range(500)]
    (folder / "stdout.log").write_bytes(
        "\n".join([*lines, "50 %\r100 %\x1b[31m[bold]red\x00"]).encode() + b"\xff"
    )
    (folder / "stderr.log").unlink()
    (folder / "stderr.log").symlink_to("/etc/passwd")
    code, out, _ = review(several.folder, "--log")
    assert (
        code == 0
        and out.startswith("run_3.failed_2, the last attempt\n")
        and all(f"{line}\n" in out for line in lines)
    )
    assert "\n100 %[bold]red\ufffd\n" in out and "root:" not in out and "50 %" not in out
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    show_log(console, several.run(3).__class__(folder), "")
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert (
        "401 lines left out; in a pipe all are shown" in shown
        and "line 499" in shown
        and "line 300\n" not in shown
    )
    (folder / "stdout.log").write_bytes(b"")
    assert "its programs wrote nothing" in review(several.folder, "--log")[1]
    assert review(several.folder, "--log", "0")[1].startswith("run_0\n")


def test_the_chat_is_shown_cleaned_and_its_absence_is_said(experiment, review):
    experiment.chat.write_text("#### asked\x1b[2J\n\nanswered [bold]\n")
    assert review(experiment.folder, "--chat")[:2] == (0, "#### asked\n\nanswered [bold]\n\n")
    experiment.chat.unlink()
    code, _, err = review(experiment.folder, "--chat")
    assert code == 2 and "no reply was asked for yet" in err


def test_an_experiment_before_its_first_attempt_says_so(experiment, review):
    experiment.events.write_text(
        "".join(
            json.dumps(event) + "\n"
            for event in read_events(experiment.events)
            if event["event"] == "sitting"
        )
    )
    experiment.verdict.unlink()
    for view in ("--diff", "--log"):
        code, _, err = review(experiment.folder, view)
        assert code == 2 and "nothing was attempted yet" in err
    assert review(experiment.folder)[0] == 0


def test_one_experiment_for_scripts_has_its_attempts_its_verdict_and_what_is_damaged(
    several, review
):
    fields = json.loads(review(several.folder, "--json")[1])
    assert fields["attempts"][2] == {
        "folder": "run_1",
        "number": 1,
        "status": "success",
        "value": 0.52,
    }
    assert (
        fields["verdict"] == read_json(several.verdict)
        and fields["problems"] == []
        and fields["name"].startswith("batch_norm_placement/")
    )
    several.verdict.write_text("{")
    fields = json.loads(review(several.folder, "--json")[1])
    assert fields["verdict"] is None and "verdict.json" in fields["problems"][0]


def test_a_damaged_result_is_a_fault_where_nothing_may_be_hidden(experiment):
    experiment.run(2).result.write_text("{}")
    with pytest.raises(Fault, match=r"run_2/result\.json"):
        experiment_table(experiment)
