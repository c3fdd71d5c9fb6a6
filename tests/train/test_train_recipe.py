"""Recipes: what is read, what is refused and in which words, and the text that is written back."""

import dataclasses
from pathlib import Path

import pytest

from bitspike.errors import FileError, UsageError
from bitspike.train import Recipe, load_recipe
from bitspike.train.estimator_recipe import EstimatorRecipe
from bitspike.train.network_recipe import DenseRecipe, NetworkRecipe
from bitspike.train.recipe import DataRecipe, TrainingRecipe, parse_recipe

DEMO = Path(__file__).parents[2] / "examples" / "digits.toml"

TEXT = """
name = "small"
[data]
name = "digits"
[network]
readout = "membrane_sum"
temperature = 100
[[network.layers]]
neurons = 8
vth = 4
dv = 1024
[[network.layers]]
neurons = 10
[training]
epochs = 3
"""


def test_text_becomes_values():
    recipe = parse_recipe(TEXT, source="small.toml")
    assert recipe == Recipe(
        name="small",
        data=DataRecipe(name="digits"),
        network=NetworkRecipe(
            readout="membrane_sum",
            temperature=100,
            layers=(DenseRecipe(neurons=8, vth=4, dv=1024), DenseRecipe(neurons=10)),
        ),
        estimator=EstimatorRecipe(alpha="p"),
        training=TrainingRecipe(epochs=3),
    )


def test_a_recipe_written_and_read_is_equal():
    recipe = parse_recipe(TEXT.replace("[training]", "[estimator]\nalpha = 0.5\nfloor = 1e-2\n[training]"), source="x")
    assert parse_recipe(recipe.to_toml(), source="y") == recipe
    assert recipe.estimator.alpha == 0.5


def test_the_demo_recipe_reads():
    recipe = load_recipe(DEMO)
    assert recipe.name == "digits"
    assert recipe.with_seed(7).seed == 7
    assert parse_recipe(recipe.to_toml(), source="y") == recipe


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs = 3", "epoch = 3", "training.epoch: found an unknown key; expected one of epochs, batch, rate,"),
        ("epochs = 3", "", "training.epochs: found nothing; expected a whole number from 1 to 100000"),
        ("epochs = 3", "epochs = 0", "training.epochs: found 0; expected a whole number from 1 to 100000"),
        ("epochs = 3", "epochs = 3.0", "training.epochs: found 3.0; expected a whole number from 1 to 100000"),
        ("epochs = 3", "epochs = true", "training.epochs: found True; expected a whole number from 1 to 100000"),
        (
            "temperature = 100",
            "temperature = 0",
            "network.temperature: found 0; expected a number above 0 and up to 1e+06",
        ),
        ("temperature = 100", "temperature = nan", "network.temperature: found nan; expected a number above 0"),
        ("vth = 4", "vth = '4'", "network.layers[0].vth: found '4'; expected a whole number from 0 to 131071"),
        ("vth = 4", "", "network.layers[0].vth: found 131071, which cannot spike; expected a lower threshold"),
        ("neurons = 10", "neurons = 9", "network.layers[1].neurons: found 9; expected 10, the classes of digits"),
        ("neurons = 10", "neurons = 10\nvth = 3", "network.layers[1].vth: found 3; expected 131071 with membrane_sum"),
        (
            '"membrane_sum"',
            '"spike_count"',
            "network.layers[1].vth: found 131071, which cannot spike; expected less with spike_count",
        ),
        (
            '"membrane_sum"',
            '"mean"',
            "network.readout: found 'mean'; expected one of spike_count, membrane_sum, membrane_last",
        ),
        ('name = "digits"', 'name = "mnist"', "data.name: found 'mnist'; expected one of digits"),
        ('name = "small"', 'name = "../x"', "name: found '../x'; expected letters, digits"),
        ("[data]", "[estimator]\nalpha = 'q'\n[data]", "estimator.alpha: found 'q'; expected one of p, or a number"),
        ("[data]", "[estimator]\nalpha = 1.5\n[data]", "estimator.alpha: found 1.5; expected one of p, or a number"),
        ("[data]", "estimator = 3\n[data]", "estimator: found 3; expected a table"),
        ("[data]", "seed = -1\n[data]", "seed: found -1; expected a whole number from 0"),
        ("[[network.layers]]\nneurons = 10", "", "network.layers[0].neurons: found 8; expected 10"),
        ("[data]", "[data", "is not TOML: "),
    ],
)
def test_faults_are_told_in_one_line(tmp_path, old, new, message):
    assert old in TEXT
    file = tmp_path / "recipe.toml"
    text = TEXT.replace("vth = 4\n", "") if message.startswith("network.layers[0].neurons") else TEXT
    file.write_text(text.replace(old, new))
    with pytest.raises(UsageError) as caught:
        load_recipe(file)
    assert str(caught.value).startswith(f"{file}: {message}")
    assert "\n" not in str(caught.value)


def test_layers_must_be_an_array_of_tables():
    text = TEXT[: TEXT.index("[[network")] + "layers = 5\n" + TEXT[TEXT.index("[training]") :]
    with pytest.raises(UsageError) as caught:
        parse_recipe(text, source="r")
    assert str(caught.value) == "r: network.layers: found 5; expected one or more tables (LayerRecipe)"


def test_a_recipe_made_in_python_meets_the_same_rules():
    with pytest.raises(UsageError) as caught:
        TrainingRecipe(epochs=0)
    assert str(caught.value) == "epochs: found 0; expected a whole number from 1 to 100000"
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingRecipe(epochs=1).epochs = 2


def test_a_file_that_is_missing_or_not_text_is_told(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="is not a recipe: not UTF-8 text"):
        load_recipe(tmp_path / "bytes.toml")
