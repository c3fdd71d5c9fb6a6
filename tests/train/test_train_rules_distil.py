"""Distillation: the loss written out, who gets gradients, and teachers that do not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_recipe import small_recipe
from torch.nn.functional import cross_entropy, softmax

from bitspike.errors import FileError, UsageError
from bitspike.train import fit
from bitspike.train.data import load_samples
from bitspike.train.loop import Trainer
from bitspike.train.recipe import parse_recipe
from bitspike.train.rule_recipe import DistilRecipe
from bitspike.train.rules.distil import Distiller, Itself, TrainedRun, divergence
from bitspike.train.rules.passes import Outputs

TEXT = small_recipe(steps=2)
LOGITS = st.lists(st.floats(-20, 20), min_size=3, max_size=3)


@given(teacher=LOGITS, pupil=LOGITS, temperature=st.floats(0.5, 10))
def test_the_divergence_is_the_sum_and_never_negative(teacher, pupil, temperature):
    one, other = (torch.tensor(values, dtype=torch.float64) for values in (teacher, pupil))
    p, q = softmax(one / temperature, -1), softmax(other / temperature, -1)
    found = float(divergence(one, other, temperature))
    assert found == pytest.approx(temperature**2 * float((p * torch.log(p / q)).sum()), rel=1e-6, abs=1e-9)
    assert found >= -1e-12
    assert float(divergence(one, one, temperature)) == 0


def some_outputs():
    steps = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    return steps, Outputs(logits=steps.mean(0), steps=steps, auxiliary=torch.zeros(()))


def test_the_mean_teaches_each_step_and_learns_nothing_itself():
    steps, outputs = some_outputs()
    (found,) = torch.autograd.grad(Itself().lesson(outputs, 2.0), steps)
    teacher = softmax(outputs.logits.detach() / 2, -1)
    # d/do of T_k**2 KL(p || softmax(o / T_k)) is T_k (softmax(o / T_k) - p); the mean is over 3 steps and 4 samples.
    expected = 2.0 * (softmax(steps.detach() / 2, -1) - teacher) / 12
    torch.testing.assert_close(found, expected)


def test_the_shares_add_up():
    _, outputs = some_outputs()
    labels = torch.tensor([0, 1, 2, 3])
    pupil = Trainer(parse_recipe(TEXT, source="x")).model
    error = cross_entropy(outputs.logits, labels)
    lesson = Itself().lesson(outputs, 3.0)
    for weight in (0.0, 0.25, 1.0):
        distiller = Distiller(DistilRecipe(teacher="self", weight=weight, temperature=3.0), pupil, kind="stills")
        loss, alone = distiller.loss(outputs, labels)
        torch.testing.assert_close(loss, (1 - weight) * error + weight * lesson)
        torch.testing.assert_close(alone, error)
    loss, alone = Distiller(DistilRecipe(), pupil, kind="stills").loss(outputs, labels)
    assert loss is alone


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    text = TEXT.replace("steps = 2", "steps = 6").replace("neurons = 12", "neurons = 20")
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    return fit(parse_recipe(text, source="x"), out=folder, progress=False)


def taught(path):
    return TEXT + f'[distil]\nteacher = "{path}"\nweight = 0.75'


def test_a_longer_run_teaches_its_own_logits_of_the_same_samples(teacher):
    lessons = TrainedRun(teacher.model)
    samples = load_samples("digits", "train")
    batches = [samples.take(np.arange(5)), samples.take(np.arange(5, 9))]
    for batch in batches:
        lessons.see(batch, seed=1, stream=2)
    for batch in batches:
        readouts, _ = teacher.model.predict(batch.encode(steps=6, seed=1, stream=2))
        expected = torch.from_numpy(teacher.model.logits(readouts)).float()
        outputs = Outputs(logits=expected, steps=None, auxiliary=torch.zeros(()))
        assert float(lessons.lesson(outputs, 2.0)) == 0


def test_a_taught_run_reads_its_recipe_back_and_differs_from_one_that_is_not(teacher, tmp_path):
    run = fit(parse_recipe(taught(teacher.folder), source="x"), out=tmp_path / "run", progress=False)
    assert run.recipe.distil.teacher == str(teacher.folder)
    alone = fit(parse_recipe(TEXT, source="x"), progress=False)
    assert not torch.equal(run.model.layers[0].natural, alone.model.layers[0].natural)


def test_teachers_that_do_not_fit_are_refused(teacher, tmp_path):
    with pytest.raises(FileError, match="no such file"):
        Trainer(parse_recipe(taught(tmp_path / "none"), source="x"))
    pixels = Path(tmp_path / "six.npz")
    np.savez(pixels, spikes=np.zeros((40, 4, 6), np.uint8), labels=np.arange(40) % 10)
    text = taught(teacher.folder).replace('"digits"', f'"events:{pixels}"')
    with pytest.raises(UsageError) as caught:
        Trainer(parse_recipe(text, source="x"))
    assert str(caught.value) == (
        f"distil.teacher: found 64 inputs and 10 classes in {teacher.folder}; expected 6 and 10"
    )


def test_a_teacher_hears_recordings_for_as_many_steps_as_its_pupil(tmp_path):
    file = tmp_path / "events.npz"
    events = {key: np.zeros(400, np.int64) for key in "xyp"} | {"t": np.arange(400)}
    np.savez(file, offsets=np.arange(41) * 10, labels=np.arange(40) % 10, shape=np.array([1, 2, 2]), **events)
    text = TEXT.replace('"digits"', f'"events:{file}"')
    teacher = fit(
        parse_recipe(text.replace("steps = 2", "steps = 4"), source="x"), out=tmp_path / "run", progress=False
    )
    with pytest.raises(UsageError) as caught:
        Trainer(parse_recipe(text + f'[distil]\nteacher = "{teacher.folder}"', source="x"))
    expected = f"distil.teacher: found 4 steps in {teacher.folder}; expected 2: recordings have their own"
    assert str(caught.value) == expected
