"""Every example recipe is legal, names itself after its file, and fits the shape of its data."""

from pathlib import Path

import pytest

from bitspike.train.recipe import load_recipe, parse_recipe

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
SHAPES = {
    "braille": (12,),
    "cifar10_residual": (3, 32, 32),
    "cifar10_small": (24, 32, 32),
    "gestures": (10, 16, 16),
    "mnist_conv": (28, 28),
    "mnist_wide": (28, 28),
    "nmnist": (2, 17, 17),
    "spoken_digits": (4, 2, 32),
    "unseen_speaker": (4, 2, 32),
}


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= set(SHAPES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_recipe(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert parse_recipe(recipe.to_toml(), source="again") == recipe


@pytest.mark.parametrize("name", SHAPES)
def test_an_example_fits_its_data(name):
    (path,) = (path for path in EXAMPLES if path.stem == name)
    network = load_recipe(path).network
    assert network.shapes(SHAPES[name])[-1] == (network.classes,)
