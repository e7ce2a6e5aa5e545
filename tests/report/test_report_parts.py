"""What pages are made of: diffs side by side, excerpts of untrusted texts, curves, pictures."""

from __future__ import annotations

import html
import json
import random
import re
from pathlib import Path

import pytest

from agent.archive.paths import Archive
from agent.report.curves import MAX_POINTS, METRICS, drawn, load_curves
from agent.report.html.charts import VARIABLES, curve_picture
from agent.report.html.excerpts import MAX_COLUMNS, Excerpts
from agent.report.html.line_styles import line_styles
from agent.report.html.side_by_side import CONTEXT, MAX_LINES, side_by_side
from agent.util.files import append_event

LINES = [
    "x = 1",
    "if x < 2 and y > 3:",
    '"""a',
    "b\\n",
    "</script>",
    "",
    "\tdef f(): pass",
    "'&amp;'",
]
HEADER = "epoch,train_loss,val_loss,train_acc,val_acc,depth,constant\n"


def shown_text(cell: str) -> str:
    """What a highlighted line shows."""
    return html.unescape(re.sub(r"<[^>]*>", "", cell))


def test_a_diff_shows_every_change_once_and_the_lines_as_they_are():
    draw = random.Random(1)
    for _ in range(60):
        before = [*draw.choices(LINES, k=40), "end"]
        after = [line for line in before if line == "end" or draw.random() > 0.2]
        for _ in range(4):
            after.insert(draw.randrange(len(after)), f"new = {draw.random()}")
        sides = side_by_side("\n".join(before), "\n".join(after))
        shown = [row for row in sides.rows if row.kind != "gap"]
        for row in shown:
            assert row.left is None or shown_text(row.before) == before[row.left - 1].replace(
                "\t", "    "
            )
            assert row.right is None or shown_text(row.after) == after[row.right - 1].replace(
                "\t", "    "
            )
        old = {row.left: row for row in shown if row.left}
        new = {row.right: row for row in shown if row.right}
        kept = [row for row in shown if row.kind == "equal"]
        assert all(shown_text(row.before) == shown_text(row.after) for row in kept)
        # What is not shown is the same on both sides.
        hidden_old = [line for number, line in enumerate(before, 1) if number not in old]
        hidden_new = [line for number, line in enumerate(after, 1) if number not in new]
        assert hidden_old == hidden_new
        assert sides.added == sum(row.right is not None and row.kind != "equal" for row in shown)
        assert sides.removed == sum(row.left is not None and row.kind != "equal" for row in shown)


def test_a_diff_leaves_out_equal_lines_and_says_how_many():
    text = [f"line_{number} = {number}" for number in range(100)]
    sides = side_by_side("\n".join(text), "\n".join([*text[:50], "new = 1", *text[50:]]))
    assert [row.kind for row in sides.rows] == [
        "gap",
        *["equal"] * CONTEXT,
        "added",
        *["equal"] * CONTEXT,
    ]
    assert (
        sides.rows[0].after == f"{50 - CONTEXT} equal lines"
        and side_by_side("x\n", "x\n").rows == []
    )


def test_a_diff_writes_out_control_characters_and_bounds_lines_and_files():
    sides = side_by_side("", "a = '\x1b[2J\u202e\0'\r\n" + "x" * 10_000_000)
    assert "\\x1b[2J\\u202e\\x00'\\r" in shown_text(sides.rows[0].after)
    assert len(shown_text(sides.rows[1].after)) < 500 and "9,999,600 characters" in shown_text(
        sides.rows[1].after
    )
    long = side_by_side("", "\n".join(map(str, range(50_000))))
    assert len(long.rows) == MAX_LINES and "only the first" in long.cut


def test_excerpts_stop_when_the_page_is_full_and_name_the_place(tmp_path):
    log = tmp_path / "run_1" / "stdout.log"
    log.parent.mkdir()
    log.write_bytes(b"first\n" * 1000 + b"\xff\x1b[31mlast\x1b[0m\x00")
    excerpts = Excerpts(tmp_path, most=1000)
    tail = excerpts.tail(log, 100)
    assert tail.startswith(
        "[... the whole text lies in run_1/stdout.log]\nfirst"
    ) and tail.endswith("\ufffdlast")
    log.write_text("y" * 950)
    assert "run_1/stdout.log" in excerpts.head(log, 2000) and "left out" in excerpts.head(log, 2000)
    assert excerpts.head(tmp_path / "absent", 10) == ""
    (tmp_path / "link").symlink_to(log)
    assert excerpts.head(tmp_path / "link", 10) == "", "a link may lead out of the archive"
    assert len(Excerpts(tmp_path).text("z" * 10_000_000)) < MAX_COLUMNS + 100


@pytest.fixture
def archive(tmp_path) -> Archive:
    """run_0 and run_1 with curves, and one fresh seed of each arm."""
    experiment = Archive(tmp_path / "experiment")
    for name, shift in (
        ("run_0", 0.0),
        ("run_1", 0.1),
        ("confirm/control_seed_0", 0.0),
        ("confirm/idea_seed_7", 0.2),
    ):
        (experiment.folder / name).mkdir(parents=True)
        rows = [
            f"{epoch},{1 / epoch + shift},{2 / epoch},{0.1 * epoch},{0.1 * epoch},{epoch % 2},7"
            for epoch in range(1, 4)
        ]
        (experiment.folder / name / "metrics.csv").write_text(HEADER + "\n".join(rows))
    append_event(experiment.events, "attempt", folder="run_1")
    append_event(
        experiment.events, "confirmed", arm="control", seed=0, folder="confirm/control_seed_0"
    )
    append_event(experiment.events, "confirmed", arm="idea", seed=7, folder="confirm/idea_seed_7")
    return experiment


def rewrite(archive: Archive, text: str) -> None:
    (archive.run(1).metrics).write_text(text)


def test_curves_are_those_of_all_runs_and_the_baseline_stands_once(archive):
    curves = load_curves(archive)
    assert [curve.run for curve in curves] == [
        "baseline (control, seed 0)",
        "run_1",
        "idea, seed 7",
    ], "the first control seed is the baseline"
    assert curves[1].of("train_loss") == [(1.0, 1.1), (2.0, 0.6), (3.0, pytest.approx(1 / 3 + 0.1))]
    assert curves[2].of("train_loss") and not curves[2].of("val_acc"), (
        "a confirming run validates on training images"
    )


def test_a_control_of_the_code_s_own_validates_on_training_images_too(archive):
    append_event(archive.events, "confirm", control="own")
    (archive.folder / "confirm" / "control_seed_0" / "metrics.csv").write_text(
        HEADER + "1,1,1,1,1,1,7\n"
    )
    append_event(
        archive.events, "confirmed", arm="control", seed=0, folder="confirm/control_seed_0"
    )
    own = load_curves(archive)[-1]
    assert own.run == "control, seed 0" and own.of("train_acc") and not own.of("val_acc")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        "epoch\n1\n",
        HEADER + "nan,1,2,3,4,5\n",
        HEADER + '1,"' + "x" * 200_000 + '"\n',
        "a,b\n\xff,\n",
        HEADER + "1,inf,1e999,,x,5\n",
        "epoch,epoch,train_loss\n1,2,3\n" * 2,
    ],
)
def test_a_metrics_file_that_makes_no_sense_gives_no_curve_and_no_crash(archive, text):
    rewrite(archive, text)
    curves = load_curves(archive)
    numbers = [
        number
        for curve in curves
        for points in curve.points.values()
        for point in points
        for number in point
    ]
    assert numbers and all(isinstance(number, float) and abs(number) < 1e308 for number in numbers)


def test_long_curves_are_thinned_with_their_last_point_kept(archive):
    rewrite(archive, HEADER + "\n".join(f"{epoch},{epoch},1,1,1,1" for epoch in range(1, 4001)))
    points = load_curves(archive)[1].of("train_loss")
    assert len(points) <= MAX_POINTS + 1 and points[-1] == (4000.0, 4000.0)


def test_a_picture_has_a_group_for_every_run_that_a_script_can_hide_and_only_colours_of_the_page(
    archive,
):
    curves = load_curves(archive)
    assert list(drawn(curves).values()) == [*METRICS.values(), "depth"], (
        "what main.py logs of its own is drawn too"
    )
    for metric, title in METRICS.items():
        picture = curve_picture(curves, metric, title, "m0")
        there = [number for number, curve in enumerate(curves) if curve.of(metric)]
        assert [number for number in range(3) if f'id="m0--{number}"' in picture.svg] == there
        assert (
            not [colour for colour in VARIABLES if colour in picture.svg]
            and "var(--ink)" in picture.svg
        )
        assert "<script" not in picture.svg and "http" not in picture.svg.replace(
            "http://www.w3.org/", ""
        )
        assert (
            0 < picture.box[0] < picture.box[1] <= 1 and picture.span[0] < 1 < 3 < picture.span[1]
        )


def test_no_two_runs_of_the_coder_look_alike(archive):
    curve = load_curves(archive)[1]
    seen = [(look.colour, look.mark, look.dash) for look in line_styles([curve] * 40)]
    assert len(set(seen)) >= 24, "colour, mark and dash together"
    assert len({(mark, dash) for _, mark, dash in seen[:8]}) == 8, "without colour too"


def test_a_run_that_diverged_does_not_press_the_others_flat(archive):
    rewrite(
        archive,
        HEADER
        + "".join(
            f"{epoch},{value},1,1,1,1\n" for epoch, value in enumerate([1.0] * 30 + [1e12], 1)
        ),
    )
    picture = curve_picture(load_curves(archive), "train_loss", "training loss", "m0")
    assert "1e+12" in picture.note
    assert json.dumps(picture.box)


def test_the_same_archive_draws_the_same_picture(archive, tmp_path: Path):
    first, second = (
        curve_picture(load_curves(archive), "train_loss", "training loss", "m0").svg
        for _ in range(2)
    )
    assert first == second
