"""Residual stages: the layers that they stand for, their thresholds, and the example recipes."""

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest

from bitspike import collapse
from bitspike.errors import UsageError
from bitspike.train.loop import Trainer
from bitspike.train.network_recipe import ConvRecipe, DenseRecipe, NetworkRecipe, PoolRecipe, ResidualRecipe
from bitspike.train.recipe import load_recipe, parse_recipe
from bitspike.train.residual import Source, squares, threshold
from bitspike.train.wiring import Wires
from tests.dataset_files import cifar_folder

EXAMPLES = Path(__file__).parents[2] / "examples"
STEM = ConvRecipe(name="stem", channels=4, padding=1, vth=1)
OUTPUT = DenseRecipe(neurons=10)


def network(*layers):
    return NetworkRecipe(temperature=1.0, layers=layers)


def convolutions(recipe):
    return [layer for layer in recipe.layers if isinstance(layer, ConvRecipe)]


def test_a_stage_is_read_as_its_layers():
    found = network(
        STEM,
        ResidualRecipe(channels=4, blocks=2, vth=3, dv=1024),
        ResidualRecipe(name="low", channels=6, blocks=1, stride=2, vth=5, reset="subtract"),
        OUTPUT,
    )
    conv = {"kernel": 3, "padding": 1}
    first, second = (
        {"channels": 4, "vth": 3, "dv": 1024, **conv},
        {"channels": 6, "vth": 5, **conv, "reset": "subtract"},
    )
    x = ("stem", "stage1_1b", "stage1_2b")
    assert found.layers == (
        STEM,
        ConvRecipe(name="stage1_1a", sources=("stem",), **first),
        ConvRecipe(name="stage1_1b", sources=("stage1_1a",), **first),
        ConvRecipe(name="stage1_2a", sources=("stem", "stage1_1b"), **first),
        ConvRecipe(name="stage1_2b", sources=("stage1_2a",), **first),
        # The first stage has a rate of 0.3, and what is before it counts as it: a mean count of 4 * 3 * 0.3 = 3.6.
        PoolRecipe(name="low_pool", sources=x, vth=3, dv=4096, exact=True),
        ConvRecipe(name="low_1a", sources=x, stride=2, **second),
        ConvRecipe(name="low_1b", sources=("low_1a",), **second),
        dataclasses.replace(OUTPUT, sources=("low_pool", "low_1b")),
    )
    assert found.shapes((1, 8, 8))[-4:] == ((4, 4, 4), (6, 4, 4), (6, 4, 4), (10,))
    assert dataclasses.replace(found, temperature=1.0) == found


def test_a_stage_may_be_a_source_by_its_name():
    more = ConvRecipe(channels=4, padding=1, vth=3, name="more")
    last = dataclasses.replace(OUTPUT, sources=("more", "stage1"))
    found = network(STEM, ResidualRecipe(channels=4, blocks=1), more, last)
    assert found.wires()[3:] == (
        Wires(sources=("stem", "stage1_1b")),
        Wires(sources=("more", "stem", "stage1_1b")),
    )


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            (ResidualRecipe(channels=4), OUTPUT),
            "layers[0].kind: found 'residual'; expected convolutions or pools in fro",
        ),
        (
            (DenseRecipe(neurons=9, vth=1), ResidualRecipe(channels=4), OUTPUT),
            "layers[1].kind: found 'residual'; expected convolutions or pools in front of it",
        ),
        (
            (STEM, ResidualRecipe(channels=4, sources=("nothing",)), OUTPUT),
            "layers[1].kind: found 'residual'; expected convolutions or pools in front of it",
        ),
        (
            (STEM, ResidualRecipe(channels=4, name="a"), dataclasses.replace(STEM, name="a_1a"), OUTPUT),
            "layers[7].name: found 'a_1a', which is taken; expected another",
        ),
    ],
)
def test_stages_in_wrong_places_are_refused(layers, message):
    with pytest.raises(UsageError) as caught:
        network(*layers)
    assert str(caught.value).startswith(message)


def test_a_stage_has_no_shortcuts_no_graded_spikes_and_no_shape_of_its_own():
    with pytest.raises(UsageError, match="spike: found 'graded' in a residual stage; expected 'binary'"):
        ResidualRecipe(channels=4, vth=1, spike="graded")
    with pytest.raises(UsageError, match="shortcuts: found some in a residual stage; expected none"):
        ResidualRecipe(channels=4, shortcuts=("stem",))
    with pytest.raises(UsageError, match=r"kind: found 'residual' after shape \(1, 8, 8\); expected the layers"):
        ResidualRecipe(channels=4).shape_after((1, 8, 8))
    with pytest.raises(UsageError, match=r"rate: found 0\.6; expected a number above 0 and up to 0\.5"):
        ResidualRecipe(channels=4, rate=0.6)


def test_an_odd_height_does_not_fit_a_stage_of_stride_2():
    found = network(STEM, ResidualRecipe(channels=4, blocks=1, stride=2), OUTPUT)
    with pytest.raises(UsageError, match=r"layers\[4\]\.sources: found stage1_pool \(4, 4, 4\), stage1_1b \(4, 5, 5\)"):
        found.shapes((1, 9, 9))


@pytest.mark.parametrize("dv", [4096, 2048, 1024])
def test_a_threshold_gives_the_rate(dv):
    """The noise of the neurons as they are trained, drawn: its variance decays, grows, and is cleared by a spike."""
    random = np.random.default_rng(0)
    keep = (4096 - dv) / 4096
    variance, spikes = np.zeros(20_000), 0
    level = threshold(1600.0, rate=0.2, dv=dv)
    for _ in range(8):
        variance = keep**2 * variance + 1600.0
        fired = random.normal(0, np.sqrt(variance)) > level
        variance, spikes = np.where(fired, 0, variance), spikes + fired.sum()
    # Rounding the threshold to a whole weight moves the rate by up to 0.004; the share's deviation is 0.001.
    assert abs(spikes / 160_000 - 0.2) < 0.008


def test_a_threshold_without_memory_is_a_quantile_and_memory_raises_it():
    assert threshold(0.01, rate=0.5) == 1
    # The quantile of 0.8 of the standard Gaussian is 0.84162.
    assert threshold(1e8, rate=0.2, dv=4096) == 8416
    assert 8416 < threshold(1e8, rate=0.2, dv=2048) < threshold(1e8, rate=0.2, du=2048, dv=2048)


def test_squares_of_a_sum_are_those_of_independent_bits():
    sources = (Source(name="a", channels=3, rate=0.2), Source(name="b", channels=5, rate=0.4))
    both = 0.2 * 0.6 + 0.4 * 0.8 + 4 * 0.2 * 0.4
    assert squares(sources) == pytest.approx(3 * both + 2 * 0.4)


def test_thresholds_grow_with_the_sums_that_they_read():
    found = convolutions(network(STEM, ResidualRecipe(channels=4, blocks=4), OUTPUT))
    firsts, seconds = [one.vth for one in found[1::2]], [one.vth for one in found[2::2]]
    assert firsts == sorted(set(firsts))
    assert len(set(seconds)) == 1


@pytest.mark.parametrize(
    ("name", "count", "channels"),
    [("digits_residual", 5, 24), ("cifar10_residual", 9, 32), ("cifar10_deep", 25, 512), ("cifar10_gpu", 6, 512)],
)
def test_the_examples_have_as_many_convolutions_as_they_say(name, count, channels):
    recipe = load_recipe(EXAMPLES / f"{name}.toml")
    assert len(convolutions(recipe.network)) == count
    assert convolutions(recipe.network)[-1].channels == channels
    assert parse_recipe(recipe.to_toml(), source="x") == recipe


@pytest.mark.parametrize(("name", "times"), [("cifar10_residual", 16), ("cifar10_deep", 16), ("cifar10_small", 4)])
def test_a_narrow_copy_of_an_example_for_cifar_trains_a_batch(name, times, tmp_path):
    """CIFAR-10 itself is not needed: small files of random images in its format."""
    text = (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")
    text = text.replace("data/cifar-10-batches-bin", str(cifar_folder(tmp_path / "cifar")))
    text, changed = re.subn(r"channels = (\d+)", lambda found: f"channels = {max(1, int(found[1]) // times)}", text)
    assert changed in (3, 5)
    trainer = Trainer(parse_recipe(re.sub(r"batch = \d+", "batch = 4", text), source="x"))
    before = {name: one.location.detach().clone() for name, one in trainer.model.posteriors().items()}
    metrics = next(iter(trainer.run_epoch()))
    assert math.isfinite(metrics["loss"])
    moved = [bool((one.location != before[key]).any()) for key, one in trainer.model.posteriors().items()]
    assert all(moved)
    assert collapse(trainer.model).readout.population == "output"
