"""The bench of the gradients: the two networks that it compares, and what it finds in them."""

import json
import math

import pytest

from bitspike.cli import main
from bitspike.errors import UsageError
from bitspike.train.bench_gradients import bench_gradients, plain_layers, residual_layers
from bitspike.train.network_recipe import ConvRecipe, NetworkRecipe, PoolRecipe


@pytest.fixture(scope="module")
def printed():
    import contextlib
    import io

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = main(["bench", "gradients", "--depth", "19", "--updates", "2", "--json"])
    assert code == 0
    return json.loads(text.getvalue())


def test_gradients_of_a_deep_residual_network_reach_every_layer(printed):
    for when in ("before", "after"):
        assert len(printed["residual"][when]) == 19
        assert all(math.isfinite(norm) and norm > 1e-5 for norm in printed["residual"][when])


def test_gradients_of_the_plain_chain_vanish(printed):
    for residual, plain in zip(printed["residual"]["ratios"], printed["plain"]["ratios"], strict=True):
        assert abs(math.log(residual)) < abs(math.log(plain))
        assert 0.01 < residual < 100
        assert plain < 1e-6


@pytest.mark.parametrize("depth", [19, 25])
def test_the_two_networks_differ_in_the_sums_alone(depth):
    found = [NetworkRecipe(temperature=1.0, layers=make(depth)) for make in (residual_layers, plain_layers)]
    convs = [[one for one in network.layers if isinstance(one, ConvRecipe)] for network in found]
    assert len(convs[0]) == len(convs[1]) == depth
    for residual, plain in zip(*convs, strict=True):
        same = ("channels", "kernel", "stride", "padding", "du", "dv", "reset")
        assert all(getattr(residual, key) == getattr(plain, key) for key in same)
        assert residual.vth >= plain.vth
    assert not any(isinstance(one, PoolRecipe) for one in found[1].layers)
    assert all(len(wires.sources) == 1 for wires in found[1].wires())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"depth": 18}, "depth: found 18; expected 19 or 25"), ({"updates": 0}, "updates: found 0; expected 1 or more")],
)
def test_impossible_numbers_are_refused(wrong, message):
    with pytest.raises(UsageError) as caught:
        bench_gradients(**wrong)
    assert str(caught.value) == message
