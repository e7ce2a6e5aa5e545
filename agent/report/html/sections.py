"""The sections of an experiment's page, each made by one macro of templates/sections.html.j2."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

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
from agent.report.html.line_styles import legend
from agent.report.html.run_rows import run_row
from agent.report.terminal.verdict_text import verdict_block
from agent.task.contract import MAIN
from agent.util.files import read_events, read_json
from agent.util.templates import page_macros
from agent.verdict.chance import sampling_noise

ARMS = ("idea", "control", "scaffold")
IDEA_BYTES = 100_000
PATCH_BYTES = 20_000
# Parts of config.json that the page shows as they are.
CONFIGURED = (
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
BASELINE_PARTS = ("device", "environment", "scaffold")  # of its key, that the page shows


@dataclass(frozen=True)
class Sections:
    """The sections of one experiment's page.

    Each method makes one; it is empty where there is nothing to show. It may fail on a damaged
    archive.
    """

    archive: Archive
    name: str  # of the experiment, as commands take it
    excerpts: Excerpts

    @cached_property
    def config(self) -> dict[str, Any]:
        """Return what config.json holds."""
        return read_json(self.archive.config)

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Return every event of the experiment."""
        return read_events(self.archive.events)

    @cached_property
    def stored(self) -> dict[str, Any] | None:
        """Return the verdict; None where there is none yet."""
        return load_verdict(self.archive)

    def verdict(self) -> Markup:
        """Return what was decided, by what numbers, and at what price."""
        if not self.stored:
            return Markup()
        return _draw(
            "verdict",
            self.stored,
            verdict_block(self.stored),
            load_commentary(self.archive),
            self._setup(),
            "smallest_effect" in self.config["front_matter"],
        )

    def seeds(self) -> Markup:
        """Return every fresh seed of both arms, as a picture and as a table."""
        stored = self.stored
        if stored is None:
            return Markup()
        if not stored["candidate"]["acc"] and not stored["baseline"]["acc"]:
            return Markup()
        failed = []
        for run in _load(self._confirmed(*ARMS)):
            if not run.ok:
                status = run.status.value.replace("_", " ")
                message = self.excerpts.text(run.message)
                failed.append((run.folder, status, message))
        picture = None
        if stored["effect"]:
            picture = _charts().seeds_picture(stored)
        return _draw("seeds", stored, picture, failed)

    def runs(self) -> Markup:
        """Return the table of the baseline, the attempts and the confirming runs."""
        config = self.config
        chosen = self._chosen()
        folders = [self.archive.run(0), *self.archive.attempts()]
        runs = _load([folder for folder in folders if folder.result.is_file()])
        baseline = None
        if runs and runs[0].number == 0:
            baseline = runs[0].value
        rows = [run_row(run, baseline, chosen) for run in runs]
        for run in _load(self._confirmed("idea")):
            rows.append(run_row(run, None, chosen, confirming=True))
        noise = None
        if not config["open"]:
            data = config["dataset"] or {}
            noise = sampling_noise(baseline, data.get("val_count", 0))
        metric = Metric(**config["metric"])
        return _draw("runs", rows, metric.name, config["open"], noise)

    def curves(self) -> Markup:
        """Return the curves of all runs, a picture for each metric."""
        runs = load_curves(self.archive)
        if not runs:
            return _draw("curves", {}, [], {})
        pictures: dict[str, Any] = {}
        numbers = {}
        for metric, title in drawn(runs).items():
            name = f"m{len(pictures)}"
            picture = _charts().curve_picture(runs, metric, title, name)
            pictures[name] = picture
            numbers[name] = {
                "box": picture.box,
                "span": picture.span,
                "points": {index: curves.of(metric) for index, curves in enumerate(runs)},
            }
        data = {
            "runs": [curves.run for curves in runs],
            "pictures": numbers,
        }
        return _draw("curves", pictures, legend(runs), data)

    def attempts(self) -> Markup:
        """Return every attempt, with its prompt, its reply and its changes."""
        chosen = self._chosen()
        attempts = load_attempts(self.archive, self.excerpts, chosen)
        return _draw("attempts", attempts, chosen, MOST_ATTEMPTS)

    def criteria(self) -> Markup:
        """Return what the code had to show, as it was fixed."""
        fixed = Criteria()
        if self.archive.criteria.is_file():
            fixed = Criteria.from_dict(read_json(self.archive.criteria))
        judged = self.stored is None or "judge absent" not in self.stored["qualifiers"]
        if not fixed.items:
            return Markup()
        return _draw("criteria", fixed, judged)

    def idea(self) -> Markup:
        """Return the idea's page."""
        text = self.excerpts.head(self.archive.idea, IDEA_BYTES)
        if not text:
            return Markup()
        return _draw("idea", _prose(text))

    def provenance(self) -> Markup:
        """Return with what the experiment was made, and how it can be checked."""
        config = self.config
        provenance = config["provenance"]
        about = {name: config[name] for name in CONFIGURED}
        about |= {name: config["baseline_key"][name] for name in BASELINE_PARTS}
        about["data"] = _without(config["dataset"] or {}, "mean", "deviation")
        about["Assay"] = _without(provenance, "environment", "uncommitted")
        packages = provenance["environment"]["packages"]
        patch = provenance["uncommitted"] or ""
        sittings = [_without(event, "event", "addable") for event in self._events("sitting")]
        return _draw(
            "provenance",
            about,
            packages,
            self.excerpts.text(patch[:PATCH_BYTES], code=True),
            sittings,
            read_events(self.archive.reproductions),
            self.name,
        )

    def files(self) -> Markup:
        """Return links to the files of the archive."""
        files = [
            (self.archive.events, "every step, as it happened"),
            (self.archive.config, "what was asked for, versions, data"),
            (self.archive.verdict, "the verdict, for programs"),
            (self.archive.write_up, "the skeleton of a write-up"),
            (self.archive.chat, "the conversation with the model"),
            (self.archive.session, "every reply: can be played again"),
            (self.archive.idea, "the idea"),
        ]
        folders = [self.archive.run(0), *self.archive.attempts()]
        for folder in folders:
            files += [
                (folder.code / MAIN, "the program"),
                (folder.diff, "what changed"),
                (folder.metrics, "curves"),
                (folder.stdout, "log"),
            ]
        for folder in self._confirmed(*ARMS):
            files += [
                (folder.result, "a seed that was compared"),
                (folder.score, "which images it got right"),
            ]
        links = []
        for path, title in files:
            if path.is_file():
                name = path.relative_to(self.archive.folder)
                links.append((name.as_posix(), title))
        return _draw("files", links)

    def _setup(self) -> str:
        """Return data and budget, with what the idea's page asks for where that is another."""
        config = self.config
        front_matter = config["front_matter"]
        epochs = config["budget"]["epochs"]
        data = config["dataset"]
        name = "its own data"
        if data:
            name = f"{data['name']}, {data['train_count']:,} training images"
        setup = f"{name}, {_epochs(epochs)}"
        dataset = config["asked"]["dataset"]
        page_dataset = front_matter.get("dataset", dataset)
        page_epochs = front_matter.get("epochs", epochs)
        if page_dataset == dataset and page_epochs == epochs:
            return setup
        return f"{setup}; the idea's own page asks for {page_dataset}, {_epochs(page_epochs)}"

    def _chosen(self) -> str | None:
        """Return the name of the folder of the run that was confirmed."""
        for event in self._events("confirm"):
            name: str = event["folder"]
            return name
        return None

    def _confirmed(self, *arms: str) -> list[RunFolder]:
        folders = []
        for event in self._events("confirmed"):
            if event["arm"] in arms:
                folders.append(self.archive.named(event["folder"]))
        return folders

    def _events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]


def _draw(macro: str, *arguments: Any) -> Markup:
    return Markup(getattr(page_macros("sections.html.j2"), macro)(*arguments))


def _charts() -> ModuleType:
    """Return the module that draws, imported when it is needed: matplotlib takes a second."""
    from agent.report.html import charts

    return charts


def _load(folders: list[RunFolder]) -> list[Run]:
    return [load_run(folder) for folder in folders]


def _without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}


def _epochs(count: int) -> str:
    unit = "epoch" if count == 1 else "epochs"
    return f"{count} {unit}"


def _prose(text: str) -> Markup:
    """Return Markdown as HTML: its own HTML is shown as text, and no picture is fetched."""
    if text.startswith("---\n"):  # front matter
        _, _, text = text.partition("\n---\n")
    markdown = MarkdownIt("commonmark", {"html": False})
    markdown.disable("image").enable("table")
    return Markup(markdown.render(text))
