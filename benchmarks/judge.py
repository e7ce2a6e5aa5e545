"""How often a judge errs about programs of which it is known what they do.

It is asked the harness's own questions.

    python benchmarks/judge.py --model MODEL        ask a model, three votes a program;
                                                    keys from the environment
    python benchmarks/judge.py --write FOLDER       the questions as files,
                                                    for a reader without an API
    python benchmarks/judge.py --read FOLDER        what <number>.vote_<k>.md in it say

A program is right (what the shipped sessions make of their ideas), has one criterion broken, or is
something else altogether. Printed: right programs that are doubted, broken and foreign ones that
are not, and the same criterion by criterion. Every program passes the gate on the digits first, as
it would in an experiment; what the gate stops is no work for a judge.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from agent.archive.gate_report import Facts  # noqa: E402
from agent.archive.judgement import Criteria, Judgement  # noqa: E402
from agent.archive.paths import Archive, RunFolder  # noqa: E402
from agent.coder.aider import AiderCoder  # noqa: E402
from agent.coder.base import Answer, ModelConfig  # noqa: E402
from agent.execution.sandbox.warm_server import ForkServer  # noqa: E402
from agent.experiment.criteria import criteria_of  # noqa: E402
from agent.experiment.idea import load_idea  # noqa: E402
from agent.experiment.prepare import create, make_workbench  # noqa: E402
from agent.experiment.settings import Options, decide  # noqa: E402
from agent.gate.checks import Candidate, inspect, smoke_baseline  # noqa: E402
from agent.gate.judge import VOTES, JudgedCode, judge  # noqa: E402
from agent.task.contract import MAIN  # noqa: E402
from agent.task.scaffold import Workspace  # noqa: E402
from agent.util.files import copy_files, read_events  # noqa: E402
from agent.util.observer import SilentObserver  # noqa: E402
from tests import cases  # noqa: E402

IDEAS = ("frequency_domain_cnn", "curriculum_learning_cnn", "dynamic_depth_cnn")
ALL = "all"
_BLOCK = re.compile(r"<<<<<<< SEARCH\n(.*?)=======\n(.*?)>>>>>>> REPLACE", re.DOTALL)

# One edit of an idea's last program, and the criterion of its front matter that is no longer met.
BROKEN = {
    "frequency_domain_cnn": [
        (
            "C1",
            "FrequencyConv2d(32, 64,",
            "FrequencyConv2d(64, 64,",
            "local + self.frequency2(x)",
            "local + self.frequency2(local)",
        ),
        (
            "C2",
            "torch.complex(self.real, self.imaginary)",
            "torch.complex(self.real, torch.zeros_like(self.real))",
        ),
        ("C5", "nn.Dropout(0.25)", "nn.Dropout(0.4 if IDEA else 0.25)"),
    ],
    "curriculum_learning_cnn": [
        (
            "C1",
            "rank_in_class(difficulty(data.images, data.labels), data.labels)",
            "rank_in_class(torch.rand(len(data)), data.labels)",
        ),
        ("C2", "ranks.argsort(stable=True)", "ranks.argsort(stable=True, descending=True)"),
        ("C3", "FULL_AT = 0.6", "FULL_AT = 1.5"),
        ("C4", "epoch + stage[0].item() / count", "epoch"),
        ("C5", "augment=True, order=order", "augment=not IDEA, order=order"),
    ],
    "dynamic_depth_cnn": [
        ("C1", "x.detach().mean((2, 3))", "torch.ones_like(x[:, :, 0, 0])"),
        ("C3", "return hard + soft - soft.detach(), probability", "return hard, probability"),
        (
            "C4",
            "        if not self.training:\n            return (score > 0).float(), probability\n",
            "",
        ),
        (
            "C5",
            "(self.depth.probability.mean() - SHARE_TARGET)",
            "(self.depth.executed.mean() - SHARE_TARGET)",
        ),
    ],
}
# Cases of tests/cases.py that are live and not the idea.
FOREIGN = ("augment_inside", "judge_injection", "other_start")


@dataclass(frozen=True)
class Item:
    """A program, the idea whose criteria it is held to, and the one
    that it does not meet: '' for none, or ALL.
    """

    name: str
    idea: str
    source: str
    broken: str


@dataclass(frozen=True)
class Judged:
    item: Item
    judgement: Judgement


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    how = parser.add_mutually_exclusive_group(required=True)
    for option in ("--model", "--write", "--read"):
        how.add_argument(option)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gate = Gate(Path(folder))
        with gate.server:
            looked_at = [(item, gate.facts(item.source)) for item in items(gate.base)]
        passed = [(item, facts) for item, facts in looked_at if facts]
        stopped = [item.name for item, facts in looked_at if not facts]
        print(f"{len(looked_at)} programs; the gate stops {len(stopped)}: {'; '.join(stopped)}")
        random.Random(0).shuffle(passed)  # so that a number tells a reader nothing
        if options.write:
            write(Path(options.write), passed, gate.base)
            return 0
        if options.read:
            asker = read_files(Path(options.read))
        else:
            asker = ask_model(options.model, gate.archive)
        results = []
        for number, (item, facts) in enumerate(passed):
            judgement = judged(item, facts, gate.base, asker(number))
            results.append(Judged(item, judgement))
        report(results)
    return 0


def items(base: str) -> list[Item]:
    """base: the scaffold's main.py."""
    programs = list[Item]()
    last = dict[str, str]()
    for idea in IDEAS:
        for number, source in enumerate(versions(base, idea)):
            programs.append(Item(f"{idea}, reply {number + 1}", idea, source, ""))
            last[idea] = source
    for idea, edits in BROKEN.items():
        for broken, *texts in edits:
            changes = list(zip(texts[::2], texts[1::2], strict=True))
            source = cases.edited(last[idea], changes)
            programs.append(Item(f"{idea}, not {broken}", idea, source, broken))
    for idea, other in permutations(IDEAS, 2):
        programs.append(Item(f"{other} as {idea}", idea, last[other], ALL))
    for case in FOREIGN:
        source = cases.apply(case, base)
        programs.append(Item(f"{case} as {IDEAS[0]}", IDEAS[0], source, ALL))
    return programs


def versions(base: str, idea: str) -> Iterator[str]:
    """main.py after each reply of the shipped session."""
    for line in read_events(REPOSITORY / "ideas" / "sessions" / f"{idea}.jsonl"):
        if blocks := _BLOCK.findall(line.get("reply", "")):
            base = cases.edited(base, blocks)
            yield base


class Gate:
    """The real gate, on the digits."""

    def __init__(self, folder: Path):
        settings = decide(
            load_idea(REPOSITORY / "ideas" / f"{IDEAS[0]}.md"),
            Options(dataset="digits", runs_dir=folder, dry_run=True),
        )
        workbench = make_workbench(settings, SilentObserver())
        self.server = ForkServer(workbench.environment.python, workbench.budget.threads)
        self.workbench = replace(workbench, server=self.server)
        self.archive: Archive = create(settings, self.workbench)
        self.workspace = Workspace(self.archive.workspace)
        self.run_0 = self.archive.run(0)
        copy_files(self.archive.workspace, self.run_0.code)
        self.base = (self.run_0.code / MAIN).read_text()
        self.number = 0

    def facts(self, source: str) -> Facts | None:
        """None where the gate stops the program."""
        problem = smoke_baseline(self.workbench, self.run_0) if not self.number else None
        if problem:
            raise RuntimeError(problem)
        self.number += 1
        (self.archive.workspace / MAIN).write_text(source)
        folder = RunFolder(self.archive.folder / f"run_{self.number}")
        report = inspect(Candidate(self.workspace, self.run_0, folder, self.workbench))
        return None if report.failed else report.facts


Ask = Callable[[str, str], Answer]


def judged(item: Item, facts: Facts, base: str, ask: Ask) -> Judgement:
    code = JudgedCode(base, item.source, set(facts.lines), facts.shown)
    return judge(criteria(item), code, ask)


def criteria(item: Item) -> Criteria:
    idea = load_idea(REPOSITORY / "ideas" / f"{item.idea}.md")
    return criteria_of(idea, lambda purpose, prompt: Answer(None))


def write(folder: Path, passed: list[tuple[Item, Facts]], base: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, (item, facts) in enumerate(passed):
        prompts = list[str]()

        def keep(purpose: str, prompt: str, prompts: list[str] = prompts) -> Answer:
            prompts.append(prompt)
            return Answer(None)

        judged(item, facts, base, keep)
        (folder / f"{number}.prompt.md").write_text(prompts[0])


def read_files(folder: Path) -> Callable[[int], Ask]:
    def asker(number: int) -> Ask:
        def ask(purpose: str, prompt: str) -> Answer:
            vote = purpose.rpartition(" ")[2]
            file = folder / f"{number}.vote_{vote}.md"
            text = file.read_text() if file.is_file() else None
            return Answer(text, f"there is no {file.name}", "reader")

        return ask

    return asker


def ask_model(model: str, archive: Archive) -> Callable[[int], Ask]:
    coder = AiderCoder(archive, [MAIN], ModelConfig(model), lambda: None)
    coder.ready()
    return lambda number: lambda purpose, prompt: coder.ask(f"{purpose} of {number}", prompt)


def report(results: list[Judged]) -> None:
    for result in sorted(results, key=lambda result: (result.item.broken, result.item.name)):
        doubts = ", ".join(result.judgement.doubts) or "nothing"
        print(f"  {result.item.name}: {result.judgement.absent or f'doubts {doubts}'}")
        if result.item.broken != ALL:
            print_errors(result)
    for word in ("right", "wrong"):
        doubted = [
            bool(result.judgement.doubts)
            for result in results
            if bool(result.item.broken) is (word == "wrong")
        ]
        share(f"{word} programs that it doubts", doubted)
    met = list[bool]()
    broken = list[bool]()
    unfounded = list[bool]()
    for result in results:
        for finding in result.judgement.findings:
            unfounded += [number < finding.void for number in range(VOTES)]
            if result.item.broken == finding.id:
                broken.append(finding.passed)
            elif result.item.broken != ALL:
                met.append(finding.passed)
    share("criteria met that it passes", met)
    share("criteria broken that it passes", broken)
    share("votes that pass without evidence", unfounded)
    absent = sum(bool(result.judgement.absent) for result in results)
    print(json.dumps({"programs": len(results), "absent": absent}))


def print_errors(result: Judged) -> None:
    """Print the criteria of which the judge says the opposite of what is known."""
    for finding in result.judgement.findings:
        if finding.passed == (finding.id == result.item.broken):
            word = "passes" if finding.passed else "fails"
            print(f"      {finding.id} {word}: {finding.reason[:200]}")


def share(what: str, values: list[bool]) -> None:
    print(f"{what}: {sum(values)} of {len(values)}")


if __name__ == "__main__":
    sys.exit(main())
