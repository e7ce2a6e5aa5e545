"""`launch.py IDEA...`: carry ideas from prompt to verdict, or print the plan and the prompt."""

from __future__ import annotations

from collections.abc import Iterable

from agent.cli.run_options import run_parser
from agent.cli.terminal import TerminalObserver
from agent.coder.base import Answer
from agent.experiment.criteria import criteria_of
from agent.experiment.idea import find_ideas
from agent.experiment.prepare import look_up, make_plan
from agent.experiment.prompts import Prompts
from agent.experiment.settings import Options, Settings, decide
from agent.queue.scheduler import run_all
from agent.report.terminal.console import say
from agent.task.dataset import find_prepared


def command(arguments: list[str]) -> int:
    """Run a queue. 0: every experiment reached its end; 1: one did not; 2: none could begin."""
    given = vars(run_parser().parse_args(arguments))
    paths = given.pop("ideas")
    debug = given.pop("debug")
    options = Options(**given)
    queue = [decide(idea, options) for idea in find_ideas(paths)]
    if options.dry_run:
        return dry_run(queue)
    return run_all(queue, TerminalObserver(), debug)


def dry_run(queue: Iterable[Settings]) -> int:
    """Print the plan and the first prompt of every experiment.

    Nothing is built, downloaded, asked or kept.
    """
    for settings in queue:
        options = settings.options
        dataset = None
        if settings.dataset:
            dataset = find_prepared(settings.dataset, options.train_size)
        data = settings.dataset or "its own data"
        if settings.dataset and not dataset:
            data += " (not prepared yet)"
        runs = f"baseline and {settings.runs} runs, {settings.epochs} epochs each, on {data}"
        folder = options.runs_dir / settings.idea.slug
        model = f"model {settings.model.name}; archive under {folder}"
        say(f"{settings.idea.path}: {runs}; {model}\n")
        criteria = criteria_of(settings.idea, lambda purpose, prompt: Answer(None))
        prompts = Prompts(make_plan(settings), look_up(settings), dataset)
        say(prompts.start(criteria, baseline=None))
    return 0
