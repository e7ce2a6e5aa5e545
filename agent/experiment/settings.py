"""The settings of one experiment: the command line over front matter over defaults."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
NO_KEY = (
    "{path}: no model: there is no key, no --model, and no recorded session of this idea."
    " Set a key,\n"
    "    export ANTHROPIC_API_KEY=...      "
    "(or OPENAI_API_KEY, GEMINI_API_KEY, DEEPSEEK_API_KEY, OPENROUTER_API_KEY)\n"
    "    python launch.py {path}"
)
SESSION_NOTE = (
    "recorded session: the replies were written for this repository, everything else is real"
)


@dataclass(frozen=True)
class Options:
    """The command line of an experiment. None: not given."""

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
    """All that is decided about one experiment before anything is prepared."""

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
        """The model is the recorded session that lies beside the idea."""
        return self.model.name == f"{REPLAY}{session_of(self.idea)}"


def decide(idea: Idea, options: Options) -> Settings:
    """Return the settings of one experiment. Raises UserError for what can never run."""
    scaffold = find_scaffold(_scaffold(idea, options))
    runs = options.runs_dir.resolve()
    if runs.is_relative_to(scaffold.folder.resolve()):
        place = f"--runs-dir {options.runs_dir} lies in the scaffold {scaffold.folder}"
        raise UserError(f"{place}: give a folder outside it")
    return Settings(
        idea=idea,
        dataset=_dataset(idea, options, scaffold),
        metric=_metric(idea, scaffold),
        model=_model(idea, options),
        scaffold=scaffold,
        runs=options.runs or idea.settings.get("runs", 3),
        epochs=options.epochs or idea.settings.get("epochs", 3),
        options=options,
    )


def session_of(idea: Idea) -> Path:
    """Return where a recorded session of an idea would lie."""
    return idea.path.parent / "sessions" / f"{idea.path.stem}.jsonl"


def _scaffold(idea: Idea, options: Options) -> Path:
    if options.scaffold:
        return options.scaffold.resolve()
    if "scaffold" in idea.settings:
        folder = idea.path.parent / str(idea.settings["scaffold"])
        return folder.resolve()
    return DEFAULT_SCAFFOLD


def _dataset(idea: Idea, options: Options, scaffold: Scaffold) -> str | None:
    """Return the name of the data set, or the path of its .npz file; None: the scaffold's own."""
    default = None if scaffold.open else "cifar100"
    dataset = options.dataset or idea.settings.get("dataset") or default
    if not dataset:
        return None
    if not options.dataset and dataset.endswith(".npz"):
        dataset = str(idea.path.parent / dataset)
    check_name(dataset)
    return str(dataset)


def _metric(idea: Idea, scaffold: Scaffold) -> Metric:
    name = idea.settings.get("metric", Metric.name)
    metric = Metric(name, idea.settings.get("direction", Metric.direction))
    if not scaffold.open and metric != Metric():
        rule = f"metric and direction are for open scaffolds; protocol.py measures {Metric.name}"
        raise UserError(f"{idea.path}: {rule}")
    return metric


def _model(idea: Idea, options: Options) -> ModelConfig:
    name = _model_name(idea, options)
    if name is None and options.dry_run:
        return ModelConfig("none (no key is set)")
    if name is None:
        raise UserError(NO_KEY.format(path=idea.path))
    model = ModelConfig(
        name=name,
        price=_price_of_a_token(options),
        timeout=options.model_timeout,
        stream=options.stream,
        judge=options.judge,
    )
    if not name.startswith(REPLAY):
        return model
    session = Path(name.removeprefix(REPLAY))
    return replace(model, replies=load_replies(session), answers=load_answers(session))


def _model_name(idea: Idea, options: Options) -> str | None:
    """Return the model that was named, else the one whose key is set, else a recorded session."""
    if options.model:
        return options.model
    for key, model in MODELS_BY_KEY.items():
        if os.environ.get(key):
            return model
    if session_of(idea).is_file():
        return f"{REPLAY}{session_of(idea)}"
    return None


def _price_of_a_token(options: Options) -> tuple[float, float] | None:
    if options.price is None:
        return None
    paid_in, paid_out = options.price  # for a million tokens
    return paid_in / 1e6, paid_out / 1e6
