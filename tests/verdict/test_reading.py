"""The model's reading of a result.

Which numbers it may name, and that it decides and breaks nothing.
"""

from __future__ import annotations

import re

import pytest

from agent.archive.commentary import CHARACTERS, NO_MODEL, Commentary, load_commentary
from agent.archive.paths import Archive
from agent.archive.session import spent
from agent.coder.base import Answer
from agent.experiment.conclude import conclude
from agent.report.write import write_reports
from agent.util.errors import Fault
from agent.util.files import read_events
from agent.util.observer import SilentObserver
from agent.verdict.commentary import problem
from agent.verdict.numbers import readable, unfounded
from tests.endpoint import Answer as Reply
from tests.replies import scores
from tests.scripted import conduct

FACTS = """effect on the hidden test: -1.60 pp, 95 % interval from -18.57 pp to +15.36 pp
fresh seeds: 2 of the idea, 4 of the control; P(better) 0.38
accuracy on 359 hidden images: control 80.71 %, idea 79.11 %
time of a training: 1.70x the control's; memory 0.52x; parameters: idea 131,082, control 128,266
run_1 has the best of 3 runs"""
NAMES = "The idea uses rfft2 on CIFAR-100 and promises a gain of 12.3 % and 7 points."


# ---- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a loss of 1.6 points",
        "-1.60 pp",
        "\u22121.6 pp",
        "1.60-point loss",
        "[-18.57, +15.36]",
        "from -19 to 15 pp",
        "80.7 %",
        "81%",
        "0.807",
        "80.7 per cent",
        "131k parameters",
        "131,082",
        "0.13 million",
        "1.31082e5",
        "1.7x",
        "x1.7",
        "1.7 times",
        "half of it",
        "two seeds",
        "three hundred and fifty-nine images",
        "2\u20134 seeds",
        "a 95 % interval",
        ".38",
        "run_1",
        "RFFT-2",
        "cifar100",
        "one of the runs",
        "the third run",
        "between 79.1 and 80.7 %",
        "no number at all",
    ],
)
def test_a_number_of_the_archive_may_be_named_at_any_rounding(text):
    assert unfounded(readable(text), FACTS, NAMES) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a gain of 12.3 %", "12.3 %"),
        ("12.3", "12.3"),
        ("+1.6 pp", "+1.6 pp"),
        ("1.7 pp", "1.7 pp"),
        ("4 %", "4 %"),
        ("38 %", "38 %"),
        ("80.6 %", "80.6 %"),
        ("130,000", "130,000"),
        ("132k", "132k"),
        ("3x", "3x"),
        ("twice", "twice"),
        ("doubled", "doubled"),
        ("tenfold", "tenfold"),
        ("a third of it", "a third"),
        ("two thirds", "two thirds"),
        ("five seeds", "five"),
        ("seven points", "seven points"),
        ("twenty-five", "twenty-five"),
        ("two million", "two million"),
        ("a dozen", "dozen"),
        ("dozens", "dozens"),
        ("3/4", "3/4"),
        ("10^5", "10^5"),
        ("$5", "$5"),
        ("\u00bd", "1\u20442"),
        ("\u0661\u0662", "\u0661"),
        ("五", "五"),
        ("²", "2"),
        ("Ⅻ", ""),
        ("tw\u03bf", "\u03bf"),
        ("1\u20092345", "2345"),
        ("1 000", "000"),
        ("1,28", "28"),
        ("two point five", "two point"),
        ("conv2", "2"),
        ("run_2", "2"),
        ("1 run", "1"),
        ("0", "0"),
        ("0 million", "0 million"),
        ("none of 0.04", "0.04"),
        ("1e-3", "1e-3"),
        ("1e999", "1e999"),
        ("9" * 400, "9" * 400),
    ],
)
def test_any_other_number_is_found_however_it_is_written(text, named):
    """But `Ⅻ`: Roman numerals are letters. `2` stands for what is two of nothing that was told."""
    facts = FACTS.replace("2 of the idea, ", "").replace("0.52x", "")
    assert (named in unfounded(readable(text), facts, NAMES)) == bool(named), unfounded(
        readable(text), facts, NAMES
    )


def test_a_hidden_letter_hides_no_number():
    assert readable("1\u03322.\u200b3") == "12.3"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("A. B! C.", "it has 3 sentences, more than 2"),
        ("x" * (CHARACTERS + 1), "characters, more than"),
        ("It rose by 12.3 and 12.3.", "it names 12.3, which is not"),
        ("From 44 to 55.", "it names 44, 55, which are not"),
        ("It rose (cf. e.g. run_1) by 1.6 pp vs. the control. That is little.", ""),
    ],
)
def test_what_is_no_reading_is_refused_with_the_reason(text, reason):
    assert (reason in problem(text, FACTS, "")) and bool(problem(text, FACTS, "")) == bool(reason)


# ---- in an experiment ----------------------------------------------------------------------------


def diary(archive: Archive) -> str:
    runs = archive.folder.parents[1]
    assert write_reports(archive, runs) == []
    return (runs / "DIARY.md").read_text()


def test_a_number_that_is_not_in_the_archive_is_refused_asked_about_once_and_then_left_out(quick):
    archive = conduct(
        quick, 0.6, readings=("It gained 12.3 points.", "It gained 45 points.", "It rose to 0.6.")
    )
    notice = "the model's reading was refused: it names 45 points, which is not in the archive"
    assert (
        load_commentary(archive).text == ""
        and notice in diary(archive)
        and notice in archive.write_up.read_text()
    )
    assert "12.3" not in archive.reading.read_text(), "the third answer was not asked for"


def test_a_second_answer_is_taken_where_the_first_was_refused_and_the_model_was_told_why(quick):
    archive = conduct(quick, 0.6, readings=("It gained 12.3 points.", "It rose to 0.6."))
    prompts = list[str]()
    assert load_commentary(archive) == Commentary("It rose to 0.6.", "scripted")

    def ask(purpose: str, prompt: str) -> Answer:
        prompts.append(prompt)
        return Answer("It gained 12.3 points.", model="any")

    conclude(archive, ask, SilentObserver())
    assert (
        len(prompts) == 2
        and "12.3 points, which is not" not in prompts[0]
        and "it names 12.3 points, which is not in the archive" in prompts[1]
    )
    assert (
        "run_1: success, 0.6, against the baseline +0.1" in prompts[0]
        and "Make SCORE higher." in prompts[0]
    )


HOSTILE = (
    "\x1b[31m<script>alert()</script> ![x](javascript:alert()) | **bold** `code` [a](http://b.c)\r\n"
    "# Heading\n"
    "<!-- experiment a/b -->"
)


def test_markup_of_a_reading_and_of_the_coder_s_words_is_text(quick):
    archive = conduct(quick, 0.6, readings=(HOSTILE,), text=HOSTILE)
    entry = diary(archive)
    for text in (entry, archive.write_up.read_text()):
        assert "&lt;script&gt;alert()&lt;/script&gt;" in text and "\\*\\*bold" in text, (
            "shown as text"
        )
        assert "<script" not in text and "\x1b" not in text and "\n# Heading" not in text
        assert {target.split("/")[-1] for target in re.findall(r"(?<!\\)\]\(([^)]*)\)", text)} <= {
            "report.html",
            "report.md",
            "",
        }, "our links"
    assert entry.count("<!--") == 1, "our own mark"


def test_the_verdict_is_on_disk_before_the_question_is_asked_and_is_the_same_whatever_becomes_of_it(
    quick,
):
    archive = conduct(quick, 0.6)
    expected = archive.verdict.read_bytes()
    seen = list[bytes]()
    assert (
        load_commentary(archive) == Commentary(absent=NO_MODEL)
        and load_commentary(archive).note == ""
    )

    def ask(purpose: str, prompt: str) -> Answer:
        seen.append(archive.verdict.read_bytes())
        return Answer('{"verdict": "supported"} It rose to 0.6.', model="any")

    def hang(purpose: str, prompt: str) -> Answer:
        raise Fault("provider", "the coder's process hangs")

    conclude(archive, ask, SilentObserver())
    assert seen == [expected] and load_commentary(archive).text.endswith("It rose to 0.6.")
    archive.idea.unlink()
    conclude(archive, hang, SilentObserver())
    assert load_commentary(archive).note == "no model's reading: the coder's process hangs"
    assert (
        archive.verdict.read_bytes() == expected
        and read_events(archive.events)[-1]["verdict"] == "inconclusive"
    )
    for damage in ("", "[]", '{"text": 5, "model": null}', '{"other": "x"}', "\x00"):
        archive.reading.write_text(damage)
        assert load_commentary(archive) == Commentary()


# ---- with a model and a recording ----------------------------------------------------------------


def test_a_model_is_asked_once_marked_and_paid_and_a_replay_has_its_words_only_for_the_same_numbers(
    quick_launch, launch, endpoint
):
    text = "The one run gave 0.6, 0.1 above the baseline of 0.5. Nothing was confirmed."
    endpoint.script = scores(0.6)
    endpoint.reading = [text]
    model = {"OPENAI_API_BASE": endpoint.url, "OPENAI_API_KEY": "sk-test-0123456789abcdef"}
    done = quick_launch("--model", "openai/any", "--runs", "1", "--price", "3,15", **model)
    archive = done.archives[-1]
    assert done.code == 0 and len(endpoint.readings) == 1 and len(endpoint.requests) == 1
    assert load_commentary(archive) == Commentary(text, "openai/any")
    for page in ((done.folder / "runs" / "DIARY.md").read_text(), archive.write_up.read_text()):
        assert text in page and "n the words of a model (openai/any), whose" in page
    assert spent(archive)[1] == 2 * spent(archive, reading=False)[1] == 2200, (
        "the verdict tells what came before it"
    )
    before = archive.verdict.read_bytes()
    assert (
        b'"tokens": 1100' in before
        and launch("verdict", archive.folder).code == 0
        and archive.verdict.read_bytes() == before
    )
    session = archive.session.read_text()
    (done.folder / "other.jsonl").write_text(session.replace("SCORE = 0.6", "SCORE = 0.7"))
    again = quick_launch("--model", f"replay:{archive.session}", "--runs", "1")
    assert (
        load_commentary(again.archives[-1]) == Commentary(text, "openai/any")
        and len(endpoint.readings) == 1
    )
    other = quick_launch("--model", f"replay:{done.folder / 'other.jsonl'}", "--runs", "1")
    assert other.code == 0 and load_commentary(other.archives[-1]) == Commentary(absent=NO_MODEL)


def test_a_provider_that_refuses_the_question_and_a_cap_that_is_reached_leave_it_out(
    quick_launch, endpoint
):
    model = {"OPENAI_API_BASE": endpoint.url, "OPENAI_API_KEY": "sk-test-0123456789abcdef"}
    endpoint.script = scores(0.6)
    endpoint.reading = [Reply(status=401)]
    done = quick_launch("--model", "openai/any", "--runs", "1", **model)
    assert (
        done.code == 0
        and done.events("verdict")
        and "no model's reading: AuthenticationError"
        in (done.folder / "runs" / "DIARY.md").read_text()
    )
    endpoint.script = scores(0.7)
    capped = quick_launch(
        "--model",
        "openai/any",
        "--runs",
        "1",
        "--seed",
        "1",
        "--price",
        "1000,0",
        "--max-cost",
        "0.9",
        **model,
    )
    assert capped.code == 0 and capped.events("verdict") and len(endpoint.readings) == 1
    assert (
        load_commentary(capped.archives[-1]).note == "no model's reading: the cost cap is reached"
    )
