"""Whatever a recipe says: it is refused by name, or it trains, resumes bit for bit, is read back, and collapses to a
network that does the same in every engine."""

import re
from dataclasses import fields

import numpy as np
import pytest
from random_recipes import random_recipe

from bitspike import collapse, export, load, simulate, verify
from bitspike.errors import RangeError, UsageError
from bitspike.train import fit, load_run
from bitspike.train.checkpoint import restore_checkpoint, save_checkpoint
from bitspike.train.loop import Trainer
from bitspike.train.network_recipe import KINDS
from bitspike.train.recipe import Recipe, parse_recipe
from bitspike.train.schema import from_table
from bitspike.train.straight_through import straight_through

pytest.importorskip("snntorch", reason="surrogate gradients are snnTorch's; run: bitspike doctor --install snntorch")
PLACE = re.compile(r"(?:(network\.layers\[\d+\])|([a-z]+))(?:\.([a-z_]+))?: found \S")


def names_a_place(message):
    """Whether a message starts with a key that recipes have, such as ``network.layers[1].kernel`` or ``rule``."""
    layer, part, key = found.groups() if (found := PLACE.match(message)) else (None, None, None)
    kinds = KINDS.values() if layer else [field.type for field in fields(Recipe) if field.name == part]
    return bool(kinds) and (key is None or any(key in {one.name for one in fields(kind)} for kind in kinds))


def trained(seed, folder):
    """Whether the recipe of a seed is legal; if so, all that is promised of it holds."""
    recipe, refusal = asked(random_recipe(seed, folder))
    if recipe is None:
        assert names_a_place(refusal), refusal
        return False
    assert parse_recipe(recipe.to_toml(), source="recipe") == recipe
    run = fit(recipe, out=folder / f"run-{seed}", progress=False)
    spikes, labels = run.test.spikes, run.test.labels
    scores, classes = run.model.predict(spikes)
    assert run.result["test"]["map"] == np.mean(classes == labels)
    assert np.array_equal(load_run(run.folder).model.predict(spikes)[0], scores)

    resumed = stopped_after_each_epoch(recipe, folder / f"checkpoint-{seed}.safetensors")
    assert resumed.fingerprint() == run.result["parameters"]
    assert np.array_equal(resumed.finished_model().predict(spikes)[0], scores)
    fit(straight_through(recipe), progress=False)
    for method in ("map", "sample"):
        try:
            network = collapse(run.model, method)
        except RangeError:
            continue
        assert verify(network, run.model, data=run.test, engines=["reference", "fast", "onnx"]).passed
        if method == "map":
            assert np.array_equal(simulate(network, data=run.test).scores(network), scores)
            export(network, folder / f"network-{seed}.onnx")
            assert load(folder / f"network-{seed}.onnx") == network
    return True


def asked(table):
    """The recipe of a table, or None and what is wrong with it."""
    try:
        recipe = from_table(Recipe, table)
        recipe.network_shapes()
    except UsageError as error:
        return None, str(error)
    return recipe, ""


def stopped_after_each_epoch(recipe, checkpoint):
    trainer = Trainer(recipe)
    while not trainer.finished:
        list(trainer.run_epoch())
        save_checkpoint(trainer, checkpoint)
        trainer = Trainer(recipe)
        restore_checkpoint(trainer, checkpoint)
    return trainer


def test_twenty_recipes(tmp_path):
    assert sum(trained(seed, tmp_path) for seed in range(20)) >= 10


@pytest.mark.slow
def test_four_hundred_recipes(tmp_path):
    assert sum(trained(seed, tmp_path) for seed in range(20, 420)) >= 200
