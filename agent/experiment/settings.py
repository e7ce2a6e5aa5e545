"""Command line over front matter over defaults -> what one experiment is to be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.archive.run import Metric
from agent.archive.session import load_answers, load_replies
from agent.coder.base import ModelConfig
from agent.execution.sandbox.policy import GIB, ResourceLimits
from agent.experiment.idea import Idea
from agent.task.dataset import check_name
from agent.task.scaffold import DEFAULT_SCAFFOLD, Scaffold, find_scaffold
from agent.util.errors import UserError

REPLAY = "replay:"
# In this order: the first whose key is set is asked.
MODELS_BY_KEY = {
    "ANTHROPIC_API_KEY": "sonnet",
    "OPENAI_API_KEY": "gpt-4o",
    "GEMINI_API_KEY": "gemini",
    "DEEPSEEK_API_KEY": "deepseek",
    "OPENROUTER_API_KEY": "openrouter/anthropic/claude-sonnet-4",
}
NO_KEY = """{path}: no model: there is no key, no --model, and no recorded session of this idea. Set a key,
    export ANTHROPIC_API_KEY=...      (or OPENAI_API_KEY, GEMINI_API_KEY, DEEPSEEK_API_KEY, OPENROUTER_API_KEY)
    python launch.py {path}"""
SESSION_NOTE = (
    "recorded session: the replies were written for this repository, everything else is real"
)


@dataclass(frozen=True)
class Options:
    """The command line. None: not given."""

    model: str | None = None
    runs: int | None = None
    dataset: str | None = None
    data_dir: Path | None = None
    epochs: int | None = None
    train_size: int | None = None
    timeout: float = 3600.0
    max_failures: int = 4
    max_cost: float | None = None
    price: tuple[float, float] | None = None
    model_timeout: float = 300.0
    stream: bool = False
    judge: str | None = None
    baseline_seeds: int = 8
    confirm_seeds: int = 5
    seed: int = 0
    device: str = "auto"
    scaffold: Path | None = None
    python: Path | None = None
    allow_packages: Sequence[str] = ()
    runs_dir: Path = Path("runs")
    sandbox: str = "auto"
    network: bool = False
    memory: float | None = None  # GiB
    processes: int = ResourceLimits.processes
    disk: float = ResourceLimits.disk / GIB
    fresh: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Settings:
    """One experiment, decided."""

    idea: Idea
    model: ModelConfig
    scaffold: Scaffold
    dataset: str | None
    metric: Metric
    runs: int
    epochs: int
    options: Options = field(repr=False)

    @property
    def shipped_session(self) -> bool:
        return self.model.name == f"{REPLAY}{session_of(self.idea)}"


def decide(idea: Idea, options: Options) -> Settings:
    """Raises UserError for what can never run."""
    told = idea.settings
    scaffold = find_scaffold(_scaffold(idea, options))
    if options.runs_dir.resolve().is_relative_to(scaffold.folder.resolve()):
        raise UserError(
            f"--runs-dir {options.runs_dir} lies in the scaffold {scaffold.folder}: give a folder outside it"
        )
    dataset = options.dataset or told.get("dataset") or (None if scaffold.open else "cifar100")
    if dataset:
        if not options.dataset and dataset.endswith(".npz"):
            dataset = str(idea.path.parent / dataset)
        check_name(dataset)
    metric = Metric(told.get("metric", Metric.name), told.get("direction", Metric.direction))
    if not scaffold.open and metric != Metric():
        raise UserError(
            f"{idea.path}: metric and direction are for open scaffolds; protocol.py measures {Metric.name}"
        )
    runs, epochs = options.runs or told.get("runs", 3), options.epochs or told.get("epochs", 3)
    return Settings(idea, _model(idea, options), scaffold, dataset, metric, runs, epochs, options)


def session_of(idea: Idea) -> Path:
    """Where a recorded session of an idea would lie."""
    return idea.path.parent / "sessions" / f"{idea.path.stem}.jsonl"


def _scaffold(idea: Idea, options: Options) -> Path:
    if options.scaffold:
        return options.scaffold.resolve()
    if "scaffold" in idea.settings:
        return (idea.path.parent / str(idea.settings["scaffold"])).resolve()
    return DEFAULT_SCAFFOLD


def _model(idea: Idea, options: Options) -> ModelConfig:
    name = options.model or next(
        (model for key, model in MODELS_BY_KEY.items() if os.environ.get(key)), None
    )
    if name is None and session_of(idea).is_file():
        name = f"{REPLAY}{session_of(idea)}"
    if name is None and options.dry_run:
        return ModelConfig("none (no key is set)")
    if name is None:
        raise UserError(NO_KEY.format(path=idea.path))
    price = (options.price[0] / 1e6, options.price[1] / 1e6) if options.price else None
    replies, answers = None, dict[str, dict]()
    if name.startswith(REPLAY):
        session = Path(name.removeprefix(REPLAY))
        replies, answers = load_replies(session), load_answers(session)
    return ModelConfig(
        name, replies, price, options.model_timeout, options.stream, options.judge, answers
    )
