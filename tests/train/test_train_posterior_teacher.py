"""The posterior teaches the bits in a finish: what it says, what it stays, resuming, and what is refused."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from small_recipe import small_recipe
from torch.nn.functional import cross_entropy, softmax

from bitspike.errors import UsageError
from bitspike.train import fit
from bitspike.train.build import build_finishing
from bitspike.train.checkpoint import restore_checkpoint, save_checkpoint
from bitspike.train.loop import Trainer, time_first
from bitspike.train.recipe import parse_recipe
from bitspike.train.rules.posterior_teacher import BEFORE, PosteriorTeacher
from bitspike.train.straight_through import straight_through

# The temperature divides integers exactly.
TEXT = (
    small_recipe(epochs=5).replace("temperature = 20", "temperature = 16")
    + """sharpness = 4
[finish]
epochs = 2
rate = 0.01
{finish}
[distil]
teacher = "posterior"
weight = {weight}
temperature = 3
"""
)


def recipe(*, weight=0.75, finish=""):
    return parse_recipe(TEXT.format(weight=weight, finish=finish), source="small.toml")


def untaught(found):
    return dataclasses.replace(found, distil=type(found.distil)())


def trained(found, epochs):
    trainer = Trainer(found)
    for _ in range(epochs):
        list(trainer.run_epoch())
    return trainer


def test_the_teacher_is_the_network_of_the_means_before_the_finish():
    found = recipe()
    trainer = trained(found, 3)
    teacher = PosteriorTeacher(found, trainer.model, sharpness=4.0, device=torch.device("cpu"))
    teacher.learn(trainer.optimiser)
    data = found.data.load("validation")
    spikes, labels = time_first(data.spikes[:20]), torch.from_numpy(data.labels[:20].copy())
    logits = torch.randn(20, 10, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = teacher.loss(spikes, logits, cross_entropy(logits, labels))
    with torch.no_grad():
        taught, _ = trainer.model.noisy(
            spikes, torch.Generator(), estimator=build_finishing(), floor=1.0, sharpness=4.0
        )
        bits, _ = trainer.model.noisy(
            spikes, torch.Generator(), estimator=build_finishing(), floor=1.0, sharpness=math.inf
        )
    assert not torch.equal(taught, bits)
    p, q = softmax(taught / 3, -1), softmax(logits / 3, -1)
    expected = 0.25 * cross_entropy(logits, labels) + 0.75 * 9 * (p * torch.log(p / q)).sum(-1).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad is not None
    assert all(parameter.grad is None for parameter in teacher.network.parameters())


def test_the_teacher_stays_what_the_network_was():
    trainer = trained(recipe(), 3)
    before = [one.detach().clone() for one in trainer.model.parameters()]
    for _ in range(2):
        list(trainer.run_epoch())
        for one, parameter in zip(before, trainer.model.parameters(), strict=True):
            if parameter.requires_grad:
                assert torch.equal(trainer.optimiser.state[parameter][BEFORE], one)
    assert not torch.equal(trainer.model.locations()[0], before[0])


def test_without_a_share_the_teacher_changes_nothing_and_with_one_only_the_finish():
    plain, silent, heard = (trained(one, 3) for one in (untaught(recipe()), recipe(weight=0), recipe()))
    assert plain.fingerprint() == silent.fingerprint() == heard.fingerprint()
    for trainer in (plain, silent, heard):
        list(trainer.run_epoch())
    assert plain.fingerprint() == silent.fingerprint() != heard.fingerprint()


def test_a_pupil_that_says_the_same_learns_nothing():
    found = recipe(weight=1.0)
    trainer = trained(found, 3)
    teacher = PosteriorTeacher(found, trainer.model, sharpness=4.0, device=torch.device("cpu"))
    teacher.learn(trainer.optimiser)
    data = found.data.load("validation")
    spikes, labels = time_first(data.spikes[:20]), torch.from_numpy(data.labels[:20].copy())
    taught, _ = teacher.network.noisy(spikes, torch.Generator(), estimator=build_finishing(), floor=1.0, sharpness=4.0)
    gradients = []
    for logits in (taught.requires_grad_(), taught.detach().roll(1, dims=1).requires_grad_()):
        teacher.loss(spikes, logits, cross_entropy(logits, labels)).backward()
        gradients.append(float(logits.grad.abs().max()))
    assert gradients[0] < 1e-7
    assert gradients[1] > 1e-3


def test_an_update_makes_no_generator_since_none_can_be_made_while_a_gpu_records(monkeypatch):
    trainer = trained(recipe(), 3)
    monkeypatch.setattr(torch, "Generator", None)
    for spikes, labels, share in trainer._batches(4):
        trainer._update(spikes, labels, trainer._made.generator, 4, share)


@pytest.mark.parametrize("finish", ["", "average = 0.25"])
@pytest.mark.parametrize("done", [3, 4])
def test_a_run_stopped_in_its_finish_or_before_goes_on_bit_for_bit(done, finish, tmp_path):
    found = recipe(finish=finish)
    whole = trained(found, 5)
    stopped = trained(found, done)
    save_checkpoint(stopped, tmp_path / "c.safetensors")
    resumed = Trainer(found)
    restore_checkpoint(resumed, tmp_path / "c.safetensors")
    while not resumed.finished:
        list(resumed.run_epoch())
    assert resumed.fingerprint() == whole.fingerprint()
    for one, other in zip(resumed.finished_model().locations(), whole.finished_model().locations(), strict=True):
        assert torch.equal(one, other)


def test_plain_straight_through_has_no_teacher():
    assert straight_through(recipe()).distil.teacher == "none"


def test_the_collapsed_network_still_equals_its_integers():
    run = fit(recipe(), progress=False)
    spikes = run.test.spikes[:30]
    logits, _ = run.model.noisy(
        time_first(spikes), torch.Generator(), estimator=build_finishing(), floor=1.0, sharpness=math.inf
    )
    assert np.array_equal(logits.numpy(force=True).astype(np.float64) * 16 * 64, run.model.predict(spikes)[0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[finish]\nepochs = 2\nrate = 0.01",
            "",
            "finish.epochs: found 0; expected 1 or more with distil.teacher post",
        ),
        ("[finish]", '[rule]\ntemporal = "detached"\n[finish]', r"finish.epochs: found 2; expected 0 with \[rule\] or"),
        (
            "[finish]",
            '[posterior]\nfamily = "gaussian"\n[finish]',
            "distil.teacher: found 'posterior' with posterior.family gaussian, whose mean is the pupil",
        ),
        ("[finish]", '[posterior]\nfamily = "latent"\n[finish]', "expected bernoulli or bernoulli01"),
        ("weight = 0.75", "weight = 1.5", "distil.weight: found 1.5; expected a number from 0 to 1"),
    ],
)
def test_what_does_not_go_together_is_refused(old, new, message):
    text = TEXT.format(weight=0.75, finish="")
    assert old in text
    with pytest.raises(UsageError, match=message):
        parse_recipe(text.replace(old, new), source="small.toml")
