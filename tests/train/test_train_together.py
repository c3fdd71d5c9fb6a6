"""Many processes: the same parameters in each, the same run again, and one clear end for all."""

import dataclasses
import json
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest
import torch
import workers
from small_recipe import small_recipe

from bitspike.errors import EngineError, MissingDependencyError, UsageError
from bitspike.train import fit, load_run
from bitspike.train.batches import batches
from bitspike.train.data import load_samples
from bitspike.train.launch import Placement, launch
from bitspike.train.loop import Trainer
from bitspike.train.processes import Processes, Share, fingerprint, whole
from bitspike.train.recipe import parse_recipe

# 1257 samples in batches of 157: the last batch has one sample, and nothing for process 0.
TEXT = small_recipe(batch=157)


@pytest.fixture(scope="module")
def recipe():
    return parse_recipe(TEXT, source="small.toml")


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """A run of the command in two processes."""
    pytest.importorskip("lightning_fabric", reason="needs Lightning Fabric")
    folder = tmp_path_factory.mktemp("together")
    (folder / "small.toml").write_text(TEXT)
    words = [sys.executable, "-m", "bitspike", "train", str(folder / "small.toml"), "--out", str(folder / "run")]
    done = subprocess.run([*words, "--devices", "2", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["processes"] == 2
    return load_run(folder / "run")


def test_two_processes_hold_the_same_parameters_and_two_runs_are_equal(together, recipe, tmp_path):
    launch(Placement(devices=2).fabric(), workers.watched, recipe, tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert len(set(first)) == 2
    assert first[-1] == together.result["parameters"]
    assert multiprocessing.active_children() == []


def test_two_processes_train_as_one_does_but_for_the_last_bits(together, recipe):
    alone = fit(recipe, progress=False)
    assert alone.result["processes"] == 1
    for here, there in zip(alone.model.parameters(), together.model.parameters(), strict=True):
        torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-3)
    lines = (together.folder / "metrics.jsonl").read_text().splitlines()
    trainer = Trainer(recipe)
    *_, metrics = trainer.run_epoch()
    assert json.loads(lines[0])["loss"] == pytest.approx(metrics["loss"], rel=1e-5)


def test_a_run_of_other_processes_is_not_resumed(together, recipe):
    from bitspike.errors import FileError
    from bitspike.train.checkpoint import restore_checkpoint

    file = together.folder / "checkpoint.safetensors"
    with pytest.raises(FileError, match="was trained with processes 2; found 1 to resume it with"):
        restore_checkpoint(Trainer(recipe), file)


@pytest.mark.parametrize(
    ("work", "kind", "message"),
    [
        (workers.killed, EngineError, "process 1 ended with SIGKILL; all processes were stopped"),
        pytest.param(workers.refused, UsageError, "recipe: found this; expected that", marks=pytest.mark.slow),
    ],
)
def test_a_process_that_ends_ends_all(work, kind, message):
    pytest.importorskip("lightning_fabric", reason="needs Lightning Fabric")
    with pytest.raises(kind) as caught:
        launch(Placement(devices=2).fabric(), work)
    assert str(caught.value) == message
    assert multiprocessing.active_children() == []


class Pair(Processes):
    """Process 0 of two; the other holds what the test says."""

    def __init__(self, other):
        super().__init__(count=2)
        object.__setattr__(self, "other", other)

    def total(self, values):
        return values + self.other


def test_other_parameters_in_another_process_are_an_error():
    pair = Pair(torch.tensor([0, 5]))
    with pytest.raises(EngineError, match="parameters: found others in process 1 than in process 0"):
        pair.check_equal("x", what="parameters")
    Processes().check_equal("x", what="parameters")


@pytest.mark.parametrize(("batch", "count"), [(1, 3), (7, 3), (64, 2), (5, 5)])
def test_shares_make_up_a_batch(batch, count):
    shares = [Processes(rank=rank, count=count).share(batch) for rank in range(count)]
    samples = torch.arange(batch).reshape(1, batch, 1)
    assert torch.equal(torch.cat([share.rows(samples) for share in shares], dim=1), samples)
    assert sum(share.weight for share in shares) == pytest.approx(1.0)
    assert whole(batch) == Share(start=0, stop=batch, batch=batch)


def test_gradients_of_shares_sum_to_that_of_the_batch():
    parameter, silent = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0, 3.0])
    pair = Pair(torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0]))
    pair.sum_gradients([parameter, silent], Share(start=0, stop=2, batch=4))
    assert parameter.grad.tolist() == [1.5, 2.0, 2.5]
    assert silent.grad.tolist() == [0.0, 0.0]


def test_a_fingerprint_is_of_the_bytes():
    one = fingerprint([torch.zeros(2), torch.ones(1)])
    assert one == fingerprint([torch.zeros(2), torch.ones(1)])
    assert one != fingerprint([-torch.zeros(2), torch.ones(1)])


def test_the_noise_of_a_share_is_that_of_its_rows(recipe):
    model = Trainer(recipe).model
    spikes = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (4, 6, 64)).astype(np.float32))
    from bitspike.train.estimators import IWST

    def logits(some, share):
        return model.noisy(some, torch.Generator().manual_seed(3), estimator=IWST(), floor=0.5, share=share)[0]

    apart = [Share(start=0, stop=2, batch=6), Share(start=2, stop=6, batch=6)]
    parts = [logits(spikes[:, one.start : one.stop], one) for one in apart]
    torch.testing.assert_close(torch.cat(parts), logits(spikes, None), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 0}, "devices: found 0; expected a whole number from 1 to 4096"),
        ({"nodes": True}, "nodes: found True; expected a whole number from 1 to 4096"),
        ({"accelerator": "tpu"}, "accelerator: found 'tpu'; expected one of cpu, gpu, auto"),
        ({"accelerator": "gpu"}, "accelerator: found 'gpu'; expected cpu: torch sees no CUDA device here"),
    ],
)
def test_impossible_placements_are_refused(recipe, monkeypatch, options, message):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError) as caught:
        fit(recipe, **options)
    assert str(caught.value) == message
    assert Placement(accelerator="auto").kind == "cpu"


def test_more_gpus_than_there_are_and_more_processes_than_samples_are_refused(recipe, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="devices: found 3; expected at most 2, the CUDA devices of this machine"):
        Placement(devices=3, accelerator="gpu")
    few = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, batch=2))
    with pytest.raises(UsageError, match=r"training\.batch: found 2; expected at least 3, a sample for each process"):
        Trainer(few, Processes(count=3))


def test_one_process_needs_no_fabric_and_several_say_what_to_install(recipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'bitspike\[fabric\]'"):
        fit(recipe, devices=2)
    short = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, epochs=1))
    assert fit(short, progress=False).result["processes"] == 1


@pytest.mark.parametrize(
    "data", ["shift = 1.0", 'fold = 2\nencoder = "burst"', "delay = 1.0", "mirror = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"]
)
def test_a_batch_of_fewer_samples_than_processes_is_nothing_for_some(recipe, data):
    """1257 samples in batches of 628: the last has one sample, and process 0 of two has none of it."""
    text = small_recipe(batch=628).replace("steps = 4", f"steps = 4\n{data}")
    samples = load_samples("digits", "train", parse_recipe(text, source="x").data.encoding)
    sizes = []
    for rank in range(2):
        processes = Processes(rank=rank, count=2)
        found = list(batches(samples, parse_recipe(text, source="x"), processes, epoch=1))
        sizes.append([(len(labels), share.batch) for _, labels, share in found])
    assert sizes == [[(314, 628), (314, 628), (0, 1)], [(314, 628), (314, 628), (1, 1)]]
