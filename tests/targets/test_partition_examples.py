"""The example networks on Loihi and Loihi 2: cores, proved lower bound and first-fit; the README has these figures."""

from pathlib import Path

import pytest
from recount import recount

from bitspike.convert.collapse import collapse
from bitspike.targets.partition import partition
from bitspike.train.build import assemble, build_family
from bitspike.train.recipe import load_recipe

EXAMPLES = Path(__file__).parents[2] / "examples"
SHAPES = {
    "digits": (8, 8), "mnist_conv": (1, 28, 28), "nmnist": (4, 17, 17), "gestures": (10, 16, 16), "braille": (12,),
    "mnist_wide": (1, 28, 28),
}  # fmt: skip
#: Cores, lower bound and first-fit, on either chip.
FIGURES = {
    "digits": ((1, 1, 1), (1, 1, 1)),
    "mnist_conv": ((5, 5, 7), (2, 2, 2)),
    "nmnist": ((4, 4, 6), (4, 3, 5)),
    "gestures": ((5, 5, 5), (2, 2, 3)),
    "braille": ((1, 1, 1), (1, 1, 1)),
    "mnist_wide": ((7, 7, 7), (3, 3, 4)),
}


def untrained(name):
    """The network of an example with random bits: what it takes on a chip depends on its shape alone."""
    recipe = load_recipe(EXAMPLES / f"{name}.toml")
    shapes = recipe.network.shapes(SHAPES[name])
    model = assemble(recipe.network, shapes, steps=recipe.data.steps, family=build_family(recipe.posterior))
    model.initialise(recipe.seed, spread=1.0, scale=1.0)
    return collapse(model, "map", name=name)


@pytest.mark.parametrize("name", FIGURES)
def test_cores_beside_the_bound_and_first_fit(name):
    network = untrained(name)
    found = [partition(network, chip) for chip in ("loihi1", "loihi2")]
    assert tuple((p.core_count, p.lower_bound, p.first_fit) for p in found) == FIGURES[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("chip", ["loihi1", "loihi2"])
def test_single_synapses_of_the_examples(name, chip):
    found = partition(untrained(name), chip)
    assert [core.used() for core in found.cores] == recount(found)
