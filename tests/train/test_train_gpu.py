"""Training on a GPU: networks of every kind, exact evaluation there and on a processor, and resuming bit for bit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_recipe import small_recipe
from triton_here import needs_cuda

from bitspike.cli import main
from bitspike.train import fit, load_recipe
from bitspike.train.checkpoint import restore_checkpoint, save_checkpoint
from bitspike.train.estimator_recipe import EstimatorRecipe
from bitspike.train.loop import Trainer
from bitspike.train.processes import Processes
from bitspike.train.replay import Plain
from bitspike.train.rule_recipe import DistilRecipe

EXAMPLES = Path(__file__).parents[2] / "examples"
KINDS = ("digits", "digits_conv", "digits_gaussian", "digits_graded", "digits_residual", "digits_straight_through")
RECURRENT = small_recipe(epochs=2).replace("vth = 4", 'kind = "recurrent"\nvth = 4')

pytestmark = needs_cuda


def recipe_of(kind, folder, **training):
    if kind == "recurrent":
        (folder / "recurrent.toml").write_text(RECURRENT)
        recipe = load_recipe(folder / "recurrent.toml")
    else:
        recipe = load_recipe(EXAMPLES / f"{kind}.toml")
    return replace(recipe, training=replace(recipe.training, **{"epochs": 2, "members": 2} | training))


@pytest.mark.parametrize("kind", [*KINDS, "recurrent"])
def test_a_network_learns_and_is_the_same_integers_on_both(kind, tmp_path):
    recipe = recipe_of(kind, tmp_path, epochs=3)
    recipe = replace(recipe, finish=replace(recipe.finish, epochs=1))
    trainer = Trainer(recipe, Processes(device=torch.device("cuda")))
    losses = [[metrics["loss"] for metrics in trainer.run_epoch()][-1] for _ in range(3)]
    assert losses[1] < losses[0]
    assert trainer._made.played > 0
    model = trainer.finished_model()
    spikes = recipe.data.load("test").spikes[:40]
    bits = model.sample_bits(3)
    here = [model.record(spikes), model.record(spikes, bits), model.predict(spikes)[0]]
    model.to("cuda")
    assert all(np.array_equal(one, bits[name]) for name, one in model.sample_bits(3).items())
    there = [model.record(spikes), model.record(spikes, bits), model.predict(spikes)[0]]
    for one, other in zip(here[:2], there[:2], strict=True):
        for name, states in one.items():
            assert all(np.array_equal(mine, others) for mine, others in zip(states, other[name], strict=True)), name
    assert np.array_equal(here[2], there[2])


@pytest.mark.parametrize("kind", ["digits_conv", "recurrent"])
def test_a_run_goes_on_bit_for_bit(kind, tmp_path):
    recipe = recipe_of(kind, tmp_path, precision="bfloat16")
    fit(recipe, out=tmp_path / "whole", accelerator="gpu", progress=False)
    trainer = Trainer(recipe, Processes(device=torch.device("cuda")))
    list(trainer.run_epoch())
    save_checkpoint(trainer, tmp_path / "half")
    again = Trainer(recipe, Processes(device=torch.device("cuda")))
    restore_checkpoint(again, tmp_path / "half")
    list(again.run_epoch())
    save_checkpoint(again, tmp_path / "end")
    assert (tmp_path / "end").read_bytes() == (tmp_path / "whole" / "checkpoint.safetensors").read_bytes()


def test_a_gpu_learns_as_a_processor_does(tmp_path):
    """Batches are the same; only the order of sums differs, and noise, of which there is none here."""
    recipe = recipe_of("digits_straight_through", tmp_path, precision="float32")
    losses = []
    for kind in ("cpu", "cuda"):
        trainer = Trainer(recipe, Processes(device=torch.device(kind)))
        losses.append([list(trainer.run_epoch())[-1]["loss"] for _ in range(2)])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


@pytest.mark.parametrize("kind", ["digits", "digits_straight_through"])
def test_recorded_updates_are_those_that_are_made(kind, tmp_path):
    """With noise and without: the generator goes on drawing, and every number is the same."""
    found = []
    for recorded in (True, False):
        trainer = Trainer(recipe_of(kind, tmp_path), Processes(device=torch.device("cuda")))
        trainer._made = trainer._made if recorded else Plain(torch.device("cuda"))
        losses = [list(trainer.run_epoch())[-1]["loss"] for _ in range(2)]
        found.append((losses, trainer.fingerprint()))
    assert found[0] == found[1]


@pytest.mark.parametrize("more", ["teacher", "gumbel"])
def test_updates_with_a_teacher_or_a_table_are_recorded(more, tmp_path):
    recipe = recipe_of("digits", tmp_path, epochs=3)
    if more == "teacher":
        distil = DistilRecipe(teacher="posterior")
        recipe = replace(recipe, finish=replace(recipe.finish, epochs=1), distil=distil)
    else:
        estimator = EstimatorRecipe(name="gumbel_rao", noise="logistic", temperature=0.5)
        recipe = replace(recipe, estimator=estimator)
    trainer = Trainer(recipe, Processes(device=torch.device("cuda")))
    for _ in range(3):
        before = trainer._made.played
        list(trainer.run_epoch())
        assert trainer._made.refusal == ""
        assert trainer._made.played > before


def test_the_bench_is_as_on_a_processor(capsys):
    pytest.importorskip("snntorch")
    assert main(["bench", "train", "--quick", "--json", "--accelerator", "gpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"] == torch.cuda.get_device_name(0)
    assert found["precision"] == "bfloat16"
    assert all(seconds > 0 and found["peak_mib"][name] > 0 for name, seconds in found["seconds"].items())


def test_accuracy_of_all_sides_is_measured_there(tmp_path, capsys):
    pytest.importorskip("snntorch")
    (tmp_path / "small.toml").write_text(small_recipe(epochs=2))
    words = ["bench", "accuracy", str(tmp_path / "small.toml"), "--seeds", "0", "--json", "--accelerator", "gpu"]
    assert main(words) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 3
