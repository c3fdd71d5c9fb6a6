"""Layers of each kind in a recipe: what follows from the data, and what is refused in which words."""

from pathlib import Path

import pytest

from bitspike.errors import UsageError
from bitspike.train.build import build_network
from bitspike.train.network_recipe import ConvRecipe, DenseRecipe, NetworkRecipe, PoolRecipe, RecurrentRecipe
from bitspike.train.recipe import load_recipe, parse_recipe

TEXT = """
name = "kinds"
[data]
name = "digits"
[network]
temperature = 20
[[network.layers]]
kind = "conv"
channels = 6
stride = 2
vth = 3
[[network.layers]]
kind = "pool"
kernel = 2
stride = 1
vth = 1
[[network.layers]]
kind = "recurrent"
neurons = 16
vth = 4
[[network.layers]]
neurons = 10
[training]
epochs = 3
"""


def test_shapes_follow_from_the_data():
    recipe = parse_recipe(TEXT, source="x")
    assert recipe.network.layers == (
        ConvRecipe(channels=6, stride=2, vth=3),
        PoolRecipe(stride=1, vth=1),
        RecurrentRecipe(neurons=16, vth=4),
        DenseRecipe(neurons=10),
    )
    assert recipe.network_shapes() == ((1, 8, 8), (6, 3, 3), (6, 2, 2), (16,), (10,))
    assert recipe.network.shapes((2, 34, 36)) == ((2, 34, 36), (6, 16, 17), (6, 15, 16), (16,), (10,))
    assert parse_recipe(recipe.to_toml(), source="y") == recipe
    model = build_network(recipe)
    assert model.input_shape == (1, 8, 8)
    assert [tuple(one.shape) for one in model.posteriors().values()] == [(6, 9), (16, 24), (16, 16), (10, 16)]


def test_a_dense_first_layer_flattens_the_input():
    recipe = parse_recipe(
        TEXT[: TEXT.index("[[net")] + TEXT[TEXT.index('[[network.layers]]\nkind = "rec') :], source="x"
    )
    assert recipe.network_shapes() == ((64,), (16,), (10,))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"conv"',
            '"cnn"',
            "network.layers[0].kind: found 'cnn'; expected one of dense, recurrent, conv, pool, residual",
        ),
        ('"conv"', "3", "network.layers[0].kind: found 3; expected one of dense, recurrent, conv, pool"),
        (
            "channels = 6",
            "channels = 6\nneurons = 4",
            "network.layers[0].neurons: found an unknown key; expected one of kind, vth, du, dv, reset, spike, shift, "
            "name, sources, shortcuts, channels, kernel, stride, padding",
        ),
        ("channels = 6", "", "network.layers[0].channels: found nothing; expected a whole number from 1 to 65536"),
        ("kernel = 2", "padding = 1", "network.layers[1].padding: found an unknown key; expected one of kind, vth,"),
        ("neurons = 16", "neurons = 16\nkernel = 3", "network.layers[2].kernel: found an unknown key; expected one of"),
        ("stride = 1", "stride = 0", "network.layers[1].stride: found 0; expected a whole number from 1 to 255"),
        (
            "stride = 2",
            "kernel = 9",
            "network.layers[0].kernel: found 9 over shape (1, 8, 8); expected at most 8, its smaller side with "
            "padding 0",
        ),
        ("kernel = 2", "kernel = 4", "network.layers[1].kernel: found 4 over shape (6, 3, 3); expected at most 3"),
        (
            "channels = 6",
            "channels = 60000\npadding = 9",
            "network.layers[0]: found shape (60000, 12, 12); expected at",
        ),
        (
            '[[network.layers]]\nkind = "pool"',
            '[[network.layers]]\nneurons = 5\nvth = 3\n[[network.layers]]\nkind = "pool"',
            "network.layers[2].kind: found shape (5,) before the layer; expected (channels, height, width)",
        ),
        (
            "neurons = 10",
            'kind = "conv"\nchannels = 10',
            "network.layers[3].kind: found 'conv'; expected 'dense' as the last layer",
        ),
        (
            "neurons = 10",
            'kind = "recurrent"\nneurons = 10',
            "network.layers[3].kind: found 'recurrent'; expected 'dense' with membrane_sum",
        ),
        (
            "stride = 1\nvth = 1",
            "stride = 1",
            "network.layers[1].vth: found 131071, which cannot spike; expected a lower",
        ),
    ],
)
def test_faults_are_told_with_their_place(old, new, message):
    assert old in TEXT
    with pytest.raises(UsageError) as caught:
        parse_recipe(TEXT.replace(old, new, 1), source="r")
    assert str(caught.value).startswith(f"r: {message}")
    assert "\n" not in str(caught.value)


def test_samples_without_a_plane_are_refused_in_python_too():
    network = NetworkRecipe(temperature=1, layers=(ConvRecipe(channels=2, vth=1), DenseRecipe(neurons=3)))
    with pytest.raises(UsageError) as caught:
        network.shapes((700,))
    assert str(caught.value) == (
        "layers[0].kind: found shape (700,) before the layer; expected (channels, height, width)"
    )


def test_the_convolutional_example_reads():
    recipe = load_recipe(Path(__file__).parents[2] / "examples" / "digits_conv.toml")
    assert recipe.network_shapes() == ((1, 8, 8), (48, 4, 4), (128,), (10,))
    assert parse_recipe(recipe.to_toml(), source="y") == recipe
