"""Ends of a run: early, killed, or stopped by a person; what is kept, and how long the rest takes."""

import dataclasses
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from small_recipe import small_recipe

from bitspike.cli import main
from bitspike.errors import FileError, UsageError
from bitspike.train import fit, load_run, progress
from bitspike.train.checkpoint import restore_checkpoint, save_checkpoint
from bitspike.train.loop import Trainer
from bitspike.train.products import native_precision
from bitspike.train.progress import Clock, about, progress_bar
from bitspike.train.recipe import parse_recipe
from bitspike.train.tensorfile import read_tensors, write_tensors

TEXT = small_recipe(epochs=6)
KILLED = """
import os, signal, sys
from bitspike.train import fit
from bitspike.train.loop import Trainer
step = Trainer._update
def kill_within(trainer, *arguments):
    if trainer.epoch == 2 and next(count) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(trainer, *arguments)
count = iter(range(100))
Trainer._update = kill_within
fit(sys.argv[1], out=sys.argv[2])
"""


def small(**training):
    recipe = parse_recipe(TEXT, source="small.toml")
    return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, **training))


def planned(trainer, accuracies):
    """Let the epochs of a trainer have these accuracies on the validation part."""
    given = iter(accuracies)
    total = len(trainer._validation)

    def totals(loss, right, seen):
        return (loss, right, seen) if seen else (loss, round(next(given) * total), seen)

    trainer._totals = totals
    return trainer


def epochs(trainer):
    """Train to the end; return the state after each epoch, the one before the first included."""
    states = [{}]
    while not trainer.finished:
        for _ in trainer.run_epoch():
            pass
        states.append({key: value.clone() for key, value in trainer.model.state_dict().items()})
    return states


@pytest.mark.parametrize(
    ("training", "accuracies", "done", "kept"),
    [
        ({}, [0.5, 0.9, 0.4, 0.4, 0.4, 0.4], 6, 6),
        ({"keep": "best"}, [0.5, 0.9, 0.4, 0.9, 0.4, 0.4], 6, 2),
        ({"patience": 2}, [0.5, 0.9, 0.4, 0.9], 4, 4),
        ({"patience": 2, "keep": "best"}, [0.5, 0.9, 0.4, 0.9], 4, 2),
        ({"patience": 2, "keep": "best"}, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 6, 6),
        ({"patience": 1, "keep": "best", "validate_every": 2}, [0.5, 0.4], 4, 2),
        ({"keep": "best", "validate_every": 4}, [0.5, 0.6], 6, 6),
        ({"keep": "best", "validate_every": 4}, [0.6, 0.5], 6, 4),
    ],
)
def test_patience_ends_and_the_kept_epoch_is_folded_with_its_own_sharpness(training, accuracies, done, kept):
    trainer = planned(Trainer(small(**training)), accuracies)
    states = epochs(trainer)
    assert (trainer.epoch, trainer.kept_epoch) == (done, kept)
    sharpness = 10.0 if kept == 6 else trainer.schedule.sharpness(kept)
    assert 1.0 < sharpness <= 10.0
    folded = trainer.finished_model()
    for name, posterior in folded.posteriors().items():
        natural = posterior.location
        before = states[kept][f"layers.{0 if name == 'hidden1' else 1}.posterior.location"]
        assert torch.equal(natural, before * sharpness)
        assert torch.equal(natural >= 0, before >= 0), "the most probable bits are those that were validated"


def test_a_stopped_run_tells_its_epochs_and_a_resumed_one_stops_at_the_same(tmp_path):
    recipe = small(patience=1, keep="best", rate=1.0)
    whole = fit(recipe, out=tmp_path / "whole", progress=False)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    figures = [line["validation_map"] for line in lines]
    assert whole.result["epochs"] == len(lines)
    best = figures.index(max(figures)) + 1
    assert whole.result["kept_epoch"] == best
    assert whole.result["validation"]["map"] == max(figures), "collapse to the most probable bits loses nothing"
    assert whole.result["seconds"] == pytest.approx(sum(line["seconds"] for line in lines), abs=1e-3)
    for name in ("result.json", "model.safetensors"):
        (tmp_path / "whole" / name).rename(tmp_path / name)
    fit(recipe, out=tmp_path / "whole", resume=True, progress=False)
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("best", [2, 3])
def test_a_checkpoint_holds_the_best_epoch(tmp_path, best):
    recipe = small(epochs=3, keep="best")
    trainer = planned(Trainer(recipe), [0.5, 0.9, 0.4 if best == 2 else 0.95])
    epochs(trainer)
    save_checkpoint(trainer, tmp_path / "file")
    again = Trainer(recipe)
    restore_checkpoint(again, tmp_path / "file")
    assert (again.best.epoch, again.best.accuracy) == (best, trainer.best.accuracy)
    for key, value in trainer.finished_model().state_dict().items():
        assert torch.equal(again.finished_model().state_dict()[key], value)
    save_checkpoint(again, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "file").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"best_epoch": 4}, "has best_epoch 4; expected 0 to 1"),
        ({"best_accuracy": 2.0}, "has best_accuracy 2.0; expected a fraction from 0 to 1"),
        ({"device": "cuda"}, "was trained with device 'cuda'; found 'cpu' to resume it with"),
    ],
)
def test_impossible_checkpoints_are_refused(tmp_path, change, message):
    trainer = Trainer(small(epochs=1))
    epochs(trainer)
    save_checkpoint(trainer, tmp_path / "file")
    config, tensors = read_tensors(tmp_path / "file", form="bitspike-checkpoint", version=2)
    write_tensors(tmp_path / "file", tensors, form="bitspike-checkpoint", version=2, config=config | change)
    with pytest.raises(FileError) as caught:
        restore_checkpoint(trainer, tmp_path / "file")
    assert str(caught.value) == f"{tmp_path / 'file'}: {message}"


def test_epochs_between_evaluations_have_no_figure():
    trainer = Trainer(small(epochs=3, validate_every=2))
    found = [list(trainer.run_epoch())[-1] for _ in range(3)]
    assert ["validation_map" in metrics for metrics in found] == [False, True, True]


def test_schedules_of_the_sharpness():
    def course(**training):
        trainer = Trainer(small(epochs=5, **training))
        return [trainer.schedule.sharpness(epoch) for epoch in range(1, 6)]

    assert course(schedule="linear", sharpness=9.0) == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert course(sharpness=9.0)[1] == 5.0
    assert course(schedule="none") == [1.0] * 5
    with pytest.raises(UsageError, match=r"sharpness: found 9\.0 with schedule none; expected 1"):
        small(schedule="none", sharpness=9.0)
    trainer = Trainer(small(epochs=1, schedule="none"))
    state = epochs(trainer)[-1]
    key = "layers.0.posterior.location"
    assert torch.equal(trainer.finished_model().state_dict()[key], state[key])


def test_the_precision_is_the_models_alone_and_torch_keeps_its_own(monkeypatch):
    assert Trainer(small(epochs=1, precision="auto")).model.precision == native_precision()
    trainer = Trainer(small(epochs=1, precision="bfloat16"))
    assert trainer.model.precision == "bfloat16"
    found, noisy = [], trainer.model.noisy

    def seen(*arguments, **options):
        found.append(torch.get_float32_matmul_precision())
        return noisy(*arguments, **options)

    monkeypatch.setattr(trainer.model, "noisy", seen)
    before = torch.get_float32_matmul_precision()
    for _ in trainer.run_epoch():
        assert torch.get_float32_matmul_precision() == before
    assert set(found) == {before}


def test_a_killed_run_loses_at_most_one_epoch(tmp_path):
    (tmp_path / "small.toml").write_text(TEXT.replace("epochs = 6", "epochs = 4"))
    words = [sys.executable, "-c", KILLED, str(tmp_path / "small.toml"), str(tmp_path / "run")]
    assert subprocess.run(words, check=False, capture_output=True).returncode == -signal.SIGKILL
    with pytest.raises(FileError, match="holds an unfinished run"):
        load_run(tmp_path / "run")
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
    fit(tmp_path / "small.toml", out=tmp_path / "run", resume=True, progress=False)
    fit(tmp_path / "small.toml", out=tmp_path / "whole", progress=False)
    for name in ("recipe.toml", "model.safetensors", "checkpoint.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_control_c_says_how_to_resume(tmp_path, capsys, monkeypatch):
    (tmp_path / "a b.toml").write_text(TEXT)

    def interrupted(trainer, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_update", interrupted)
    code = main(["train", str(tmp_path / "a b.toml"), "--out", str(tmp_path / "run"), "--seed", "3"])
    assert code == 130
    assert capsys.readouterr().err == (
        "bitspike: stopped; every whole epoch is kept; resume with: "
        f"bitspike train '{tmp_path}/a b.toml' --out {tmp_path}/run --resume --seed 3\n"
    )


def test_the_clock_estimates_from_updates_and_then_from_epochs():
    now = [100.0]
    clock = Clock(epochs=4, updates=10, now=lambda: now[0])
    # A GPU tells how it does after some updates only.
    for updates in (1, 3, 5):
        assert clock.left_seconds() is None
        clock.count({"updates": updates, "loss": 1.0})
    assert clock.left_seconds() is None, "too early to tell"
    now[0] = 110.0
    assert clock.left_seconds() == 70.0
    now[0] = 140.0
    clock.count({"epoch": 1, "loss": 1.0})
    assert clock.left_seconds() == 120.0
    clock.count({"updates": 5, "loss": 1.0})
    assert clock.left_seconds() == 100.0
    assert [about(seconds) for seconds in (0.2, 89, 100, 3600, 5400, 9000)] == [
        "about 1 s left", "about 89 s left", "about 2 min left",
        "about 60 min left", "about 1 h 30 min left", "about 2 h 30 min left",
    ]  # fmt: skip


def test_lines_stand_in_for_the_bar_where_there_is_no_terminal(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress, "Clock", lambda **options: Clock(now=lambda: now[0], **options))
    with progress_bar(show=None, name="small", epochs=3, updates=4, done=0) as report:
        for epoch in (1, 2, 3):
            for update in range(4):
                now[0] += 10.0
                report(epoch, {"updates": update + 1, "loss": 2.0, "accuracy": 0.5})
            report(epoch, {"epoch": epoch, "loss": 2.0, "accuracy": 0.5, "validation_map": 0.25})
    assert capsys.readouterr().err.splitlines() == [
        "small: epoch 1/3  loss 2.000  accuracy 50.0%  about 2 min left",
        "small: epoch 3/3  loss 2.000  accuracy 50.0%  validation 25.0%",
    ]


def test_the_loop_tells_how_many_updates_it_has_made():
    trainer = Trainer(small(epochs=1))
    trainer._told_every = 3
    *told, last = trainer.run_epoch()
    assert [one["updates"] for one in told] == [1, 4]
    assert trainer.updates == 5
    assert last["epoch"] == 1


def test_data_without_a_validation_part_are_refused(tmp_path):
    np.savez(tmp_path / "tiny.npz", spikes=np.ones((3, 4, 64), np.uint8), labels=np.arange(3))
    text = TEXT.replace('"digits"', f'"events:{tmp_path}/tiny.npz"').replace("neurons = 10", "neurons = 3")
    with pytest.raises(UsageError, match=r"^data.name: found no validation samples in events:.*; expected 1 or more$"):
        Trainer(parse_recipe(text, source="small.toml"))
