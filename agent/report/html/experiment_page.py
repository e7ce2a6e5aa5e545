"""One experiment as one HTML file. A part of the archive that is damaged becomes a line that says so; the rest is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

from jinja2 import UndefinedError
from markdown_it import MarkdownIt
from markupsafe import Markup

from agent.archive.commentary import load_commentary
from agent.archive.judgement import Criteria
from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Metric, Run, load_run
from agent.archive.verdict import load_verdict
from agent.report.curves import drawn, load_curves
from agent.report.html.attempts import MOST_ATTEMPTS, load_attempts
from agent.report.html.excerpts import Excerpts
from agent.report.html.line_styles import line_styles, swatch
from agent.report.summary import MISSHAPEN, Summary, summarise
from agent.report.terminal.verdict_text import headline, verdict_block
from agent.task.contract import MAIN
from agent.util.errors import Fault
from agent.util.files import read_events, read_json
from agent.util.templates import page_macros, render_page
from agent.util.text import finite
from agent.verdict.chance import sampling_noise

# What an archive that was edited by hand makes of the code that shows it.
DAMAGE = (Fault, *MISSHAPEN, UndefinedError)
ARMS = ("idea", "control", "scaffold")
IDEA_BYTES, PATCH_BYTES = 100_000, 20_000
MEASURED = (
    ("train_loss", 3),
    ("val_loss", 3),
    ("parameters", 0),
    ("peak_memory_mb", 0),
    ("images_per_second", 0),
)


@dataclass(frozen=True)
class Section:
    name: str  # its anchor
    title: str
    html: Markup


@dataclass(frozen=True)
class Page:
    """What the sections are made of; each method makes one, and may fail on a damaged archive."""

    archive: Archive
    summary: Summary
    excerpts: Excerpts

    @cached_property
    def config(self) -> dict[str, Any]:
        return read_json(self.archive.config)

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        return read_events(self.archive.events)

    @cached_property
    def stored(self) -> dict[str, Any] | None:
        """What was decided."""
        return load_verdict(self.archive)

    def sections(self) -> list[Section]:
        parts: list[tuple[str, str, Callable[[], Markup]]] = [
            ("verdict", "Verdict", self.verdict),
            ("seeds", "All seeds", self.seeds),
            ("runs", "Runs", self.runs),
            ("curves", "Curves", self.curves),
            ("attempts", "Attempts", self.attempts),
            ("criteria", "Criteria", self.criteria),
            ("idea", "The idea", self.idea),
            ("provenance", "Provenance", self.provenance),
            ("files", "Files", self.files),
        ]
        return [
            section
            for name, title, make in parts
            if (section := self._section(name, title, make)).html
        ]

    def _section(self, name: str, title: str, make: Callable[[], Markup]) -> Section:
        try:
            return Section(name, title, make())
        except DAMAGE as error:
            said = self.excerpts.text(
                error.detail if isinstance(error, Fault) else f"{type(error).__name__}: {error}"
            )
            return Section(
                name,
                title,
                Markup('<p class="warning">This part of the archive is damaged: {}</p>').format(
                    said
                ),
            )

    def headline(self) -> str:
        """The verdict's first line without its class, which stands beside it as a badge."""
        try:
            stored = self.stored if self.summary.finished else None
            return (
                headline(stored)
                .removeprefix(stored["verdict"].upper().replace("_", " "))
                .strip("; ")
                if stored
                else ""
            )
        except DAMAGE:
            return ""

    def verdict(self) -> Markup:
        stored = self.stored
        return (
            _draw(
                "verdict",
                stored,
                verdict_block(stored),
                load_commentary(self.archive),
                *self._asked(),
            )
            if stored
            else Markup()
        )

    def _asked(self) -> tuple[str, bool]:
        """The set-up, with what the idea's page asks for where that is another; and whether the idea names its smallest effect."""
        config = self.config
        front, epochs, data = config["front_matter"], config["budget"]["epochs"], config["dataset"]
        name, images = (
            (data["name"], f", {data['train_count']:,} training images")
            if data
            else ("its own data", "")
        )
        asked = front.get("dataset", config["asked"]["dataset"]), front.get("epochs", epochs)
        other = asked != (config["asked"]["dataset"], epochs)
        page = f"; the idea's own page asks for {asked[0]}, {_epochs(asked[1])}" if other else ""
        return f"{name}{images}, {_epochs(epochs)}{page}", "smallest_effect" in front

    def seeds(self) -> Markup:
        stored = self.stored
        if stored is None or not (stored["candidate"]["acc"] or stored["baseline"]["acc"]):
            return Markup()
        runs = [load_run(folder) for folder in self._confirmed(*ARMS)]
        failed = [
            (run.folder, run.status.value.replace("_", " "), self.excerpts.text(run.message))
            for run in runs
            if not run.ok
        ]
        return _draw(
            "seeds", stored, _charts().seeds_picture(stored) if stored["effect"] else None, failed
        )

    def runs(self) -> Markup:
        config, chosen = self.config, self._chosen()
        runs = [
            load_run(folder)
            for folder in (self.archive.run(0), *self.archive.attempts())
            if folder.result.is_file()
        ]
        baseline = runs[0].value if runs and runs[0].number == 0 else None
        confirmed = [load_run(folder) for folder in self._confirmed("idea")]
        rows = [_row(run, baseline, chosen) for run in runs] + [
            _row(run, None, chosen, anchor="seeds") for run in confirmed
        ]
        noise = (
            None
            if config["open"]
            else sampling_noise(baseline, (config["dataset"] or {}).get("val_count", 0))
        )
        return _draw("runs", rows, Metric(**config["metric"]).name, config["open"], noise)

    def curves(self) -> Markup:
        if not (found := load_curves(self.archive)):
            return _draw("curves", {}, [], {})
        pictures, data = {}, {}
        for number, (metric, title) in enumerate(drawn(found).items()):
            name = f"m{number}"
            pictures[name] = picture = _charts().curve_picture(found, metric, title, name)
            data[name] = {
                "box": picture.box,
                "span": picture.span,
                "points": {i: one.of(metric) for i, one in enumerate(found)},
            }
        legend = [
            {"number": number, "name": one.run, "group": one.group, "swatch": swatch(look)}
            for number, (one, look) in enumerate(zip(found, line_styles(found), strict=True))
        ]
        return _draw(
            "curves", pictures, legend, {"runs": [one.run for one in found], "pictures": data}
        )

    def attempts(self) -> Markup:
        chosen = self._chosen()
        return _draw(
            "attempts", load_attempts(self.archive, self.excerpts, chosen), chosen, MOST_ATTEMPTS
        )

    def criteria(self) -> Markup:
        fixed = (
            Criteria.from_dict(read_json(self.archive.criteria))
            if self.archive.criteria.is_file()
            else Criteria()
        )
        stored = self.stored
        judged = stored is None or "judge absent" not in stored["qualifiers"]
        return _draw("criteria", fixed, judged) if fixed.items else Markup()

    def idea(self) -> Markup:
        text = self.excerpts.head(self.archive.idea, IDEA_BYTES)
        return _draw("idea", _prose(text)) if text else Markup()

    def provenance(self) -> Markup:
        config = self.config
        made, base = dict(config["provenance"]), config["baseline_key"]
        packages, patch = made.pop("environment")["packages"], made.pop("uncommitted") or ""
        asked = {
            name: config[name]
            for name in (
                "key",
                "idea_sha",
                "model",
                "judge",
                "budget",
                "seeds",
                "limits",
                "metric",
                "asked",
            )
        }
        data = {
            name: value
            for name, value in (config["dataset"] or {}).items()
            if name not in ("mean", "deviation")
        }
        about = (
            asked
            | {name: base[name] for name in ("device", "environment", "scaffold")}
            | {"data": data, "Assay": made}
        )
        commands = [
            {name: value for name, value in event.items() if name not in ("event", "addable")}
            for event in self._events("sitting")
        ]
        return _draw(
            "provenance",
            about,
            packages,
            self.excerpts.text(patch[:PATCH_BYTES], code=True),
            commands,
            read_events(self.archive.reproductions),
            self.summary.name,
        )

    def files(self) -> Markup:
        whole = [
            (self.archive.events, "every step, as it happened"),
            (self.archive.config, "what was asked for, versions, data"),
            (self.archive.verdict, "the verdict, for programs"),
            (self.archive.write_up, "the skeleton of a write-up"),
            (self.archive.chat, "the conversation with the model"),
            (self.archive.session, "every reply: can be played again"),
            (self.archive.idea, "the idea"),
        ]
        for folder in [self.archive.run(0), *self.archive.attempts()]:
            whole += [(folder.code / MAIN, "the program"), (folder.diff, "what changed")]
            whole += [(folder.metrics, "curves"), (folder.stdout, "log")]
        for folder in self._confirmed(*ARMS):
            whole += [
                (folder.result, "a seed that was compared"),
                (folder.score, "which images it got right"),
            ]
        return _draw(
            "files",
            [
                (path.relative_to(self.archive.folder).as_posix(), what)
                for path, what in whole
                if path.is_file()
            ],
        )

    def _chosen(self) -> str | None:
        """The folder of the run that was confirmed."""
        return next((event["folder"] for event in self._events("confirm")), None)

    def _confirmed(self, *arms: str) -> list[RunFolder]:
        events = [event for event in self._events("confirmed") if event["arm"] in arms]
        return [self.archive.named(event["folder"]) for event in events]

    def _events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]


def experiment_page(archive: Archive, **frame: Any) -> str:
    """HTML, whole in one file. frame: what every page has (agent/report/html/pages.py)."""
    summary = summarise(archive)
    page = Page(archive, summary, Excerpts(archive.folder))
    return render_page(
        "experiment.html.j2",
        summary=summary,
        headline=page.headline(),
        sections=page.sections(),
        **frame,
    )


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' if count != 1 else ''}"


def _charts() -> ModuleType:
    """Imported when something is drawn: matplotlib takes most of a second."""
    from agent.report.html import charts

    return charts


def _draw(macro: str, *arguments: Any) -> Markup:
    """One macro of templates/sections.html.j2."""
    return Markup(getattr(page_macros("sections.html.j2"), macro)(*arguments))


def _row(run: Run, baseline: float | None, chosen: str | None, anchor: str = "") -> dict[str, Any]:
    """For the table of runs: name, status, and its numbers, each with the digits to show."""
    value = run.value if run.ok else None
    change = value - baseline if value is not None and baseline is not None and run.number else None
    metrics = run.metrics | (
        {"val_loss": None} if anchor else {}
    )  # of training images: a confirming run is shown no others
    cells = [
        (value, 4),
        (change, "change"),
        *((finite(metrics.get(name)), digits) for name, digits in MEASURED),
        (run.seconds, 1),
    ]
    name = run.folder if run.number else "run_0, the baseline"
    return {
        "name": name,
        "status": run.status.value.replace("_", " "),
        "ok": run.ok,
        "cells": cells,
        "chosen": bool(chosen) and name == chosen,
        "anchor": anchor or (name if run.number else ""),
    }


def _prose(text: str) -> Markup:
    """Markdown as HTML: its own HTML is shown as text, and no picture is fetched."""
    body = text.partition("\n---\n")[2] if text.startswith("---\n") else text
    return Markup(
        MarkdownIt("commonmark", {"html": False}).disable("image").enable("table").render(body)
    )
