"""A confirmation killed beside any of its steps, then made again.

No run that was finished is trained twice, and all are there.
"""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from agent.archive.control_seeds import ControlSeeds
from agent.archive.paths import Archive, new_experiment
from agent.archive.run import Metric, Run, RunStatus
from agent.archive.score import Score
from agent.experiment import confirm
from agent.experiment.confirm import Confirmation
from agent.experiment.controls import copy_seed, ensure_trained
from agent.util.errors import Fault
from agent.util.files import append_event, read_events, write_text
from agent.util.observer import SilentObserver

STEPS = ("append_event", "rename", "write_json", "train_and_score")


class Killed(BaseException):
    pass


class Scene:
    """Confirmations whose trainings take no time; the control is the baseline.

    A result that is whole is counted.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch):
        self.finished = Counter[str]()
        self.moments = 0
        self.last = 0
        self.status = RunStatus.SUCCESS
        self.baseline = ControlSeeds(folder / "runs", {}, (0, 1))
        self.archive = new_experiment(folder / "runs", "idea")
        ensure_trained(self.baseline, self._scaffold)
        for number in (0, 1):
            copy_seed(self.baseline, 0, self.archive.run(number), scored=False)
        append_event(
            self.archive.events, "attempt", number=1, folder="run_1", status="success", value=0.6
        )
        self.patch(patch)

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(confirm, "train_and_score", self._train)
        patch.setattr(confirm, "load_facts", lambda folder: {"control_equals_baseline": True})
        patch.setattr(confirm, "futile", lambda idea, control: False)
        for name in STEPS:
            patch.setattr(confirm, name, self._watched(name, getattr(confirm, name)))

    def conduct(self, last: int = 0) -> None:
        """Killed at the last-th moment beside a step; 0: not at all."""
        self.moments = 0
        self.last = last
        workbench = SimpleNamespace(metric=Metric())
        Confirmation(
            workbench, self.archive, self.baseline, 3, SilentObserver(), lambda run: None
        ).conduct()

    def confirmed(self) -> list[tuple[str, str]]:
        events = [
            event for event in read_events(self.archive.events) if event["event"] == "confirmed"
        ]
        assert all(
            (self.archive.folder / event["folder"] / "result.json").is_file() for event in events
        )
        return [(event["arm"], event["status"]) for event in events]

    def _watched(self, name, step):
        def run(*arguments, **options):
            self._moment()
            done = step(*arguments, **options)
            if name == "write_json":
                self.finished[arguments[0].parent.name] += 1
            self._moment()
            return done

        return run

    def _moment(self) -> None:
        self.moments += 1
        if self.moments == self.last:
            raise Killed

    def _scaffold(self, folder, seed) -> Run:
        write_text(folder.code / "main.py", "")
        return self._train(None, SimpleNamespace(folder=folder, number=0))

    def _train(self, workbench, training) -> Run:
        right = np.arange(40) % 3 > 0
        Score({"val": right, "test": right}, "the same").save(training.folder)
        return Run(training.number, self.status, "", {"device": "cpu"}, 0.6)


def test_a_confirmation_killed_beside_any_step_trains_nothing_twice(tmp_path, monkeypatch):
    for moment in itertools.count(1):
        with monkeypatch.context() as patch:
            scene = Scene(tmp_path / str(moment), patch)
            try:
                scene.conduct(moment)
            except Killed:
                scene.conduct()
            else:
                break  # there are fewer moments
            assert scene.confirmed() == [("control", "success")] * 2 + [("idea", "success")] * 3, (
                moment
            )
            assert len(scene.finished) == 5 and set(scene.finished.values()) == {1}, (
                moment,
                scene.finished,
            )
    assert moment > 30


def test_a_scaffold_that_failed_in_the_control_check_is_tried_again(tmp_path, monkeypatch):
    scene = Scene(tmp_path, monkeypatch)
    scene.status = RunStatus.TIMEOUT
    with pytest.raises(Fault, match=r"the scaffold as it is ended in timeout"):
        scene.conduct()
    scene.status = RunStatus.SUCCESS
    scene.conduct()
    assert scene.confirmed()[-1] == ("idea", "success")
    assert (
        len(
            list(
                Archive(scene.archive.folder).folder.glob(
                    "confirm/check_scaffold_seed_*.failed_1/result.json"
                )
            )
        )
        == 1
    )


def test_another_best_run_gets_another_check(tmp_path, monkeypatch):
    """A kill during the check, then a command that goes on with the coder.

    What was checked is no longer what is confirmed.
    """
    for moment in itertools.count(1):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            scene = Scene(tmp_path / str(moment), patch)
            scene.conduct(moment)
        if checked := [
            path.name for path in scene.archive.folder.glob("confirm/check_seed_*[0-9]")
        ]:
            break  # just made, and what was found is not written down
    assert not [event for event in read_events(scene.archive.events) if event["event"] == "confirm"]
    scene.patch(monkeypatch)
    copy_seed(scene.baseline, 0, scene.archive.run(2), scored=False)
    append_event(
        scene.archive.events, "attempt", number=2, folder="run_2", status="success", value=0.7
    )
    scene.conduct()
    (order,) = [event for event in read_events(scene.archive.events) if event["event"] == "confirm"]
    assert order["folder"] == "run_2" and f"check_seed_{order['check']['seed']}" not in checked
