"""The end of a training on the collapsed network: what is run, what learns, when, and what is refused."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from bitspike.errors import UsageError
from bitspike.train import fit
from bitspike.train.build import build_finishing, build_network
from bitspike.train.checkpoint import restore_checkpoint, save_checkpoint
from bitspike.train.loop import Trainer, time_first
from bitspike.train.posteriors import FAMILIES
from bitspike.train.recipe import parse_recipe
from bitspike.train.registers import UNITS
from bitspike.train.schedule import Schedule
from bitspike.train.straight_through import straight_through

TEXT = """
name = "small"
[data]
name = "digits"
steps = 4
[network]
readout = "{readout}"
temperature = 16
[[network.layers]]
kind = "{kind}"
neurons = 12
vth = 3
dv = 1024
reset = "subtract"
[[network.layers]]
neurons = 10
{last}
[posterior]
family = "{family}"
[training]
epochs = 5
batch = 256
rate = 0.05
members = 2
[finish]
epochs = 2
rate = 0.01
"""
SUM, COUNT = ("membrane_sum", "dv = 4096"), ("spike_count", "vth = 5")


def recipe(*, kind="dense", family="bernoulli", read=SUM, more=""):
    return parse_recipe(
        TEXT.format(kind=kind, family=family, readout=read[0], last=read[1]) + more, source="small.toml"
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["dense", "recurrent"])
@pytest.mark.parametrize("read", [SUM, COUNT])
def test_the_finish_runs_the_collapsed_network(family, kind, read):
    found = recipe(kind=kind, family=family, read=read)
    model = build_network(found)
    if family == "gaussian":
        with torch.no_grad():
            # Weights of a few units, so that sums are small and some of them round to 0.
            for location in model.locations():
                location.div_(8.0)
    with torch.no_grad():
        model.biases()[0].uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(0))
    spikes = found.data.load("validation").spikes[:20]
    logits, _ = model.noisy(
        time_first(spikes), torch.Generator(), estimator=build_finishing(), floor=3.0, sharpness=math.inf
    )
    unit = found.network.temperature * (UNITS if read is SUM else 1)
    expected = model.predict(spikes)[0]
    assert len(np.unique(expected)) > 1
    assert np.array_equal(logits.detach().numpy().astype(np.float64) * unit, expected)


@pytest.mark.parametrize("family", ["bernoulli", "bernoulli01", "gaussian"])
def test_gradients_pass_straight_to_the_locations(family):
    posterior = next(iter(build_network(recipe(family=family)).posteriors().values()))
    mean, variance = posterior.means_and_variances(math.inf)
    assert variance is None
    assert np.array_equal(mean.detach().numpy(), posterior.most_probable())
    above = torch.arange(float(mean.numel())).reshape(mean.shape)
    (mean * above).sum().backward()
    # The mean of 0 and 1 moves half as far as that of -1 and +1.
    assert torch.equal(posterior.location.grad, above * (0.5 if family == "bernoulli01" else 1.0))


def test_the_course_of_the_rates_and_of_the_sharpness():
    schedule = Schedule(recipe(more="bias_rate = 0.03\nsharpness = 4.0"))
    assert [schedule.finishing(epoch) for epoch in range(1, 6)] == [False, False, False, True, True]
    assert [schedule.sharpness(epoch) for epoch in (1, 3, 4, 5)] == [1.0, 10.0, 4.0, 4.0]
    assert [schedule.decay(epoch) for epoch in (1, 4)] == [1.0, 1.0]
    assert schedule.decay(3) == pytest.approx(0.2575)
    assert schedule.decay(5) == pytest.approx(0.505)
    assert schedule.rates(1) == (0.05, 0.1, 0.05)
    assert schedule.rates(4) == (0.01, 0.03, 0.01)
    # Without a factor of its own the posterior keeps that of the training.
    assert Schedule(recipe()).sharpness(5) == 10.0


def test_a_finish_changes_bits_and_biases_and_only_from_its_first_epoch_on():
    found = recipe()
    without = dataclasses.replace(
        found,
        finish=type(found.finish)(),
        training=dataclasses.replace(found.training, epochs=3),
    )
    trainers = Trainer(found), Trainer(without)
    for _ in range(3):
        for trainer in trainers:
            list(trainer.run_epoch())
    assert trainers[0].fingerprint() == trainers[1].fingerprint()
    assert trainers[1].finished
    before = trainers[0].model.map_bits(), trainers[0].model.biases()[0].detach().clone()
    list(trainers[0].run_epoch())
    assert any(np.any(bits != before[0][name]) for name, bits in trainers[0].model.map_bits().items())
    assert not torch.equal(trainers[0].model.biases()[0], before[1])


@pytest.mark.parametrize("kl", [0.0, 1.0])
def test_a_finish_leaves_the_deviations_alone(kl):
    found = recipe(family="gaussian")
    trainer = Trainer(dataclasses.replace(found, posterior=dataclasses.replace(found.posterior, kl=kl)))
    for _ in range(3):
        list(trainer.run_epoch())
    before = [one.detach().clone() for one in trainer.model.scales()]
    list(trainer.run_epoch())
    assert trainer.schedule.finishing(trainer.epoch)
    assert before
    assert all(torch.equal(one, other) for one, other in zip(before, trainer.model.scales(), strict=True))


def test_the_optimiser_starts_anew_with_the_finish():
    trainer = Trainer(recipe())
    for expected in (1, 2, 3, 1, 2):
        list(trainer.run_epoch())
        steps = {int(state["step"]) for state in trainer.optimiser.state.values()}
        assert steps == {expected * trainer.updates} == {trainer.steps}


def test_the_kept_posterior_has_the_sharpness_of_the_finish():
    trainer = Trainer(recipe(more="sharpness = 4.0"))
    while not trainer.finished:
        list(trainer.run_epoch())
    kept = trainer.finished_model()
    assert torch.equal(kept.locations()[0], 4.0 * trainer.model.locations()[0])


@pytest.mark.parametrize("average", [0.0, 0.25])
@pytest.mark.parametrize(("family", "done"), [("bernoulli", 4), ("bernoulli", 3), ("gaussian", 4)])
def test_a_run_stopped_in_its_finish_or_before_goes_on_bit_for_bit(family, done, average, tmp_path, monkeypatch):
    class StoppedError(Exception):
        pass

    def stop(trainer, path):
        save_checkpoint(trainer, path)
        if trainer.epoch == done:
            raise StoppedError

    found = recipe(family=family, more=f"average = {average}")
    whole = fit(found, progress=False)
    monkeypatch.setattr("bitspike.train.run.save_checkpoint", stop)
    with pytest.raises(StoppedError):
        fit(found, out=tmp_path / "run", progress=False)
    monkeypatch.undo()
    again = fit(found, out=tmp_path / "run", resume=True, progress=False)
    assert again.result["parameters"] == whole.result["parameters"]
    for one, other in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_the_running_mean_is_what_is_validated_and_kept(keep, monkeypatch):
    found = recipe(more="average = 0.25")
    trainer = Trainer(dataclasses.replace(found, training=dataclasses.replace(found.training, keep=keep)))
    # Every epoch is better than the one before, so that the best is the last.
    accuracies = iter([100, 101, 102, 103, 104])
    seen, expected = [], []
    step, totals = trainer.optimiser.step, trainer._totals

    def stepped():
        step()
        if trainer.epoch >= 3:
            now = trainer.model.locations()[0].detach().clone()
            expected.append(now if not expected else expected[-1] + 0.25 * (now - expected[-1]))

    def counted(loss, right, count):
        if count:
            return totals(loss, right, count)
        seen.append(trainer.model.locations()[0].detach().clone())
        return loss, next(accuracies), count

    monkeypatch.setattr(trainer.optimiser, "step", stepped)
    monkeypatch.setattr(trainer, "_totals", counted)
    while not trainer.finished:
        list(trainer.run_epoch())
    assert len(expected) == 2 * trainer.updates
    assert torch.allclose(seen[-1], expected[-1], atol=1e-6)
    assert not torch.allclose(trainer.model.locations()[0], seen[-1], atol=1e-3)
    assert torch.equal(trainer.finished_model().locations()[0], 10.0 * seen[-1])


def test_a_best_epoch_that_was_the_last_is_restored_with_its_running_mean(monkeypatch, tmp_path):
    found = recipe(more="average = 0.25")
    found = dataclasses.replace(found, training=dataclasses.replace(found.training, keep="best"))
    trainer = Trainer(found)
    accuracies, totals = iter([10, 11, 12, 13]), trainer._totals
    monkeypatch.setattr(
        trainer, "_totals", lambda *sums: totals(*sums) if sums[2] else (sums[0], next(accuracies), sums[2])
    )
    for _ in range(4):
        list(trainer.run_epoch())
    assert trainer.best.epoch == trainer.epoch == 4
    save_checkpoint(trainer, tmp_path / "file")
    again = Trainer(found)
    restore_checkpoint(again, tmp_path / "file")
    for one, other in zip(again.finished_model().parameters(), trainer.finished_model().parameters(), strict=True):
        assert torch.equal(one, other)
    # The epoch after it is no better: what is kept is what was the best.
    kept = {key: value.clone() for key, value in trainer.best.state.items()}
    monkeypatch.setattr(again, "_totals", lambda *sums: totals(*sums) if sums[2] else (sums[0], 0, sums[2]))
    list(again.run_epoch())
    assert again.kept_epoch == 4
    assert all(torch.equal(again.best.state[key], value) for key, value in kept.items())


def test_plain_straight_through_has_no_end_of_its_own():
    assert straight_through(recipe()).finish.epochs == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((("epochs = 2", "epochs = 5"),), "finish.epochs: found 5; expected fewer than training.epochs, 5"),
        ((("epochs = 2", "epochs = 0"),), r"finish.epochs: found 0 with other keys of \[finish\]; expected 1 or more"),
        ((("[finish]", '[distil]\nteacher = "self"\n[finish]'),), r"found 2; expected 0 with \[rule\] or another"),
        (
            (("[finish]", "patience = 1\n[finish]"),),
            "training.patience: found 1 with finish.epochs 2; expected 0: the finish would be left out",
        ),
        ((("rate = 0.01", "rate = 0"),), "finish.rate: found 0; expected a number above 0"),
        ((("rate = 0.01", "widht = 1"),), "finish.widht: found an unknown key; expected one of epochs, rate"),
    ],
)
def test_impossible_finishes_are_refused(change, message):
    text = TEXT.format(kind="dense", family="bernoulli", readout=SUM[0], last=SUM[1])
    for old, new in change:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(UsageError, match=message):
        parse_recipe(text, source="small.toml")
