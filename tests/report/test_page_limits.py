"""Archives that are too large, too deep or out of range.

A page all the same, in bounded time, small enough to mail.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.archive.paths import Archive
from agent.report.html.pages import write_page, write_queue_page
from agent.util.files import write_json
from tests.browser import opened
from tests.hostile import slim
from tests.real_queue import archive_of

MOST_BYTES = 3_000_000
MOST_SECONDS = 20.0  # of this process alone: the machine may have other things to do
LARGE = 10_000_000


def changed(archive: Archive, name: str, **values: object) -> None:
    """A JSON file with some fields replaced. NaN and Infinity are written as Python's json does."""
    path = archive.folder / name
    write_json(path, json.loads(path.read_text()) | values)


def one_long_line(archive: Archive) -> None:
    (archive.folder / "run_1" / "stdout.log").write_bytes(b"x" * LARGE)
    (archive.folder / "run_1" / "reply.md").write_bytes(b"y" * LARGE)


def many_lines(archive: Archive) -> None:
    for name in ("stdout.log", "stderr.log", "prompt.md"):
        (archive.folder / "run_1" / name).write_text("short\n" * 100_000)


def large_program(archive: Archive) -> None:
    (archive.folder / "run_1.failed_1" / "code" / "main.py").write_text(
        "x = 1  # a line\n" * (LARGE // 16)
    )


def large_diff(archive: Archive) -> None:
    for number in (0, 1, 2):
        (archive.folder / f"run_{number}" / "code" / "main.py").write_text(
            "".join(f"x{k} = {k * number}\n" for k in range(50_000))
        )


def slow_diff(archive: Archive) -> None:
    """What costs difflib most.

    Few different lines, none of them popular enough to be passed over.
    """
    for number in (0, 1, 2):
        draw = random.Random(number)
        lines = [f"x = {draw.randrange(101)}\n" for _ in range(4000)]
        (archive.folder / f"run_{number}" / "code" / "main.py").write_text("".join(lines))


def slow_code(archive: Archive) -> None:
    """What costs a highlighter most: strings and brackets that never close."""
    text = "\n".join(
        [
            'f"{' * 130,
            "'\\" * 200,
            "r'''" * 100,
            "(" * 400,
            "\\" * 400,
            "0_" * 200,
            "a." * 200,
            " " * 399 + "x",
        ]
        * 100
    )
    (archive.folder / "run_1" / "code" / "main.py").write_text(text)


def many_findings(archive: Archive) -> None:
    report = json.loads((archive.folder / "run_1" / "gate" / "report.json").read_text())
    report["facts"]["operators"] = {f"mine.op_{k}": 1 for k in range(100_000)}
    report["checks"] = [dict(report["checks"][0], name="n" * 1000)] * 5000
    write_json(archive.folder / "run_1" / "gate" / "report.json", report)
    judgement = json.loads((archive.folder / "run_1" / "gate" / "judgement.json").read_text())
    write_json(
        archive.folder / "run_1" / "gate" / "judgement.json",
        judgement | {"findings": [judgement["findings"][0] | {"reason": "r" * LARGE}]},
    )
    changed(archive, "run_1.failed_1/result.json", message="m" * LARGE)


def many_columns(archive: Archive) -> None:
    head = ",".join(["epoch", *(f"own_{k}" for k in range(5000))])
    rows = "".join(",".join([str(epoch), *["0.5"] * 5000]) + "\n" for epoch in range(50))
    (archive.folder / "run_1" / "metrics.csv").write_text(f"{head}\n{rows}")
    (archive.folder / "run_2" / "metrics.csv").write_text(
        "epoch,val_acc\n" + "".join(f"{k},0.5\n" for k in range(200_000))
    )


def strange_numbers(archive: Archive) -> None:
    values = [
        "nan",
        "inf",
        "-inf",
        "1e999",
        "-1e308",
        "1e308",
        "1e-320",
        "9" * 400,
        "",
        "x",
        "0x10",
        "1_0",
        "\uff15",
    ]
    rows = "".join(f"{value},{other},{value}\n" for value in values for other in values)
    (archive.folder / "run_1" / "metrics.csv").write_text(f"epoch,val_acc,val_loss\n{rows}")
    metrics = {
        "parameters": float("nan"),
        "train_loss": float("inf"),
        "images_per_second": 10**400,
        "peak_memory_mb": -(10**400),
        "val_loss": 1e308,
    }
    changed(archive, "run_1/result.json", metrics=metrics)
    changed(archive, "run_2/result.json", value=float("nan"), seconds=float("inf"))


def strange_verdict(archive: Archive) -> None:
    verdict = json.loads(archive.verdict.read_text())
    effect = verdict["effect"] | {
        "delta": float("nan"),
        "ci95": [float("-inf"), float("inf")],
        "mde80": 10**400,
        "p_value": float("nan"),
    }
    write_json(
        archive.verdict,
        verdict | {"effect": effect, "budget": verdict["budget"] | {"time_ratio": float("inf")}},
    )


def deep_json(archive: Archive) -> None:
    (archive.folder / "run_1" / "gate" / "report.json").write_text(
        '{"checks": ' + "[" * 100_000 + "]" * 100_000 + "}"
    )
    (archive.folder / "run_2" / "result.json").write_text('{"a":' * 50_000 + "1" + "}" * 50_000)


def deep_config(archive: Archive) -> None:
    config = json.loads(archive.config.read_text())
    nested: object = "deep"
    for _ in range(400):
        nested = {"a": nested}
    write_json(archive.config, config | {"asked": nested})


def deep_markdown(archive: Archive) -> None:
    archive.idea.write_text(
        "# Deep\n\n"
        + "> " * 5000
        + "x\n\n"
        + "- " * 3000
        + "y\n\n"
        + "[" * 20_000
        + "*a_" * 20_000
        + "`" * 3001
        + "\n"
    )


def large_idea(archive: Archive) -> None:
    archive.idea.write_text("# Large\n\n" + "word <b> " * (LARGE // 9))
    changed(archive, "config.json", idea="t" * LARGE, model="m" * LARGE)
    changed(archive, "verdict.json", reasons=["r" * LARGE], qualifiers=["q" * 100_000] * 20)


def many_attempts(archive: Archive) -> None:
    events = archive.events.read_text().splitlines()
    edit, attempt = (
        next(line for line in events if f'"event": "{name}"' in line)
        for name in ("edit", "attempt")
    )
    archive.events.write_text("\n".join(events[:3] + [edit, attempt] * 300 + events[3:]) + "\n")


CASES: list[Callable[[Archive], None]] = [
    one_long_line,
    many_lines,
    large_program,
    large_diff,
    slow_diff,
    slow_code,
    many_findings,
    many_columns,
    strange_numbers,
    strange_verdict,
    deep_json,
    deep_config,
    deep_markdown,
    large_idea,
    many_attempts,
]


@pytest.fixture(scope="module")
def extreme(real_queue, tmp_path_factory):
    """runs/ with an experiment for each case and all pages; seconds and bytes of each."""
    sound = slim(
        archive_of(real_queue, "frequency_domain_cnn"),
        tmp_path_factory.mktemp("sound") / "sound" / "20260101T000000Z",
    )
    runs = tmp_path_factory.mktemp("limits")
    took = {}

    def timed(name: str, make: Callable[[], Path]) -> None:
        began = time.process_time()
        size = make().stat().st_size
        took[name] = time.process_time() - began, size

    for case in CASES:
        archive = Archive(runs / case.__name__ / sound.folder.name)
        shutil.copytree(sound.folder, archive.folder)
        case(archive)
        timed(case.__name__, lambda archive=archive: write_page(archive))
    timed("queue", lambda: write_queue_page(runs))
    return runs, took


def test_every_page_is_made_in_bounded_time_and_small_enough_to_be_mailed(extreme):
    print()
    for name, (seconds, size) in extreme[1].items():
        print(f"{name:20} {seconds:6.1f} s  {size / 1e6:5.2f} MB")
    assert [
        name
        for name, (seconds, size) in extreme[1].items()
        if seconds > MOST_SECONDS or size > MOST_BYTES
    ] == []


def test_such_pages_open_and_say_what_is_left_out_or_damaged(browser, extreme):
    runs, _ = extreme
    expected = {
        "one_long_line": "[... the whole text lies in run_1/stdout.log]",
        "many_lines": "the whole text lies in run_1/prompt.md",
        "large_diff": "only the first 4,000 lines were compared",
        "deep_json": "damaged",
        "deep_config": "This part of the archive is damaged",
        "many_findings": "characters]",
        "strange_verdict": "damaged",
    }
    with opened(browser, runs / "report.html") as (page, seen):
        rows = page.locator("tbody tr")
        assert (
            rows.count() == len(CASES)
            and page.locator("tr[data-state=damaged]").count() == 1
            and seen.strange(runs / "report.html") == []
        )
        for path in runs.glob("*/*/report.html"):
            seen.clear()
            page.goto(path.as_uri())
            assert seen.strange(path) == [], path
            case = path.parent.parent.name
            assert expected.get(case, "") in page.locator("body").text_content(), case
