"""The tables [rule] and [distil]: what they accept, what goes together, and in which words the rest is refused."""

from pathlib import Path

import pytest
import torch

from bitspike.errors import UsageError
from bitspike.train.loop import Trainer
from bitspike.train.processes import Processes
from bitspike.train.recipe import load_recipe, parse_recipe
from bitspike.train.rule_recipe import DistilRecipe, RuleRecipe

EXAMPLES = Path(__file__).parents[2] / "examples"

TEXT = """
name = "small"
[data]
name = "digits"
steps = 8
[network]
readout = "membrane_sum"
temperature = 100
[[network.layers]]
neurons = 8
vth = 4
[[network.layers]]
neurons = 10
[estimator]
[training]
epochs = 3
sharpness = 1
"""
RECURRENT = TEXT.replace("neurons = 8", 'kind = "recurrent"\nneurons = 8')
GRADED = TEXT.replace("vth = 4", "vth = 4\nspike = 'graded'")
EXACT = TEXT.replace("neurons = 8", "kind = 'conv'\nchannels = 2").replace(
    "[[network.layers]]\nneurons = 10",
    "[[network.layers]]\nkind = 'pool'\nvth = 1\ndv = 4096\nexact = true\n[[network.layers]]\nneurons = 10",
)
SOURCES = TEXT.replace("neurons = 10", "neurons = 10\nsources = ['input', 'hidden1']")
SOURCES = SOURCES.replace("neurons = 8", "neurons = 64")
PRECISE = TEXT.replace("epochs = 3", "epochs = 3\nprecision = 'bfloat16'")
LAST = TEXT.replace("membrane_sum", "membrane_last")


def test_without_tables_a_recipe_trains_as_before():
    recipe = parse_recipe(TEXT, source="x")
    assert recipe.rule == RuleRecipe(name="adam", temporal="through")
    assert recipe.distil == DistilRecipe(teacher="none")


@pytest.mark.parametrize(
    "tables",
    [
        '[rule]\nname = "bisnn-st"\ntemporal = "detached"\nboxcar = 0.5',
        '[rule]\nname = "bisnn-bayes"\nloss = "local"\nburn_in = 7\nupdate = "step"\ndraw = "step"\ntau = 0.5',
        '[rule]\nname = "bisnn-bayes-bits"\nalpha = 0.5\nrho = 0\nprior = 0.25\n[distil]\nteacher = "self"',
        '[distil]\nteacher = "runs/teacher"\nweight = 0.9\ntemperature = 4',
    ],
)
def test_a_recipe_with_tables_written_and_read_is_equal(tables):
    recipe = parse_recipe(TEXT + tables, source="x")
    assert recipe != parse_recipe(TEXT, source="x")
    assert parse_recipe(recipe.to_toml(), source="y") == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT + "[rule]\nname = 'sgd'", "rule.name: found 'sgd'; expected one of adam, bisnn-st, bisnn-bayes, "),
        (TEXT + "[rule]\ntau = 0.5", "rule.tau: found 0.5 with name adam; expected name bisnn-bayes"),
        (
            TEXT + "[rule]\nname = 'bisnn-st'\nrho = 1",
            "rule.rho: found 1 with name bisnn-st; expected name bisnn-bayes",
        ),
        (
            TEXT + "[rule]\nname = 'bisnn-st'\nupdate = 'step'",
            "rule.update: found 'step' with loss global; expected loss local",
        ),
        (
            TEXT + "[rule]\nname = 'bisnn-st'\nloss = 'local'\ntemporal = 'detached'",
            "rule.temporal: found 'detached' with loss local; expected loss global",
        ),
        (
            TEXT + "[rule]\nname = 'bisnn-bayes'\nprior = 1",
            "rule.prior: found 1; expected a number from 1e-06 to 0.999999",
        ),
        (
            TEXT + "[rule]\nname = 'bisnn-st'\nloss = 'local'\nburn_in = 8",
            "rule.burn_in: found 8; expected less than the 8 steps of a sample",
        ),
        (
            TEXT.replace("sharpness = 1", "") + "[rule]\nname = 'bisnn-st'",
            "training.sharpness: found 10.0; expected 1 with rule.name bisnn-st",
        ),
        (
            TEXT.replace("[estimator]", "[estimator]\nalpha = 0.5") + "[rule]\nname = 'bisnn-st'",
            "estimator: found settings with rule.name bisnn-st; expected none but floor",
        ),
        (
            RECURRENT + "[rule]\nname = 'bisnn-st'",
            "rule: found a recurrent layer; expected name adam and temporal through with it",
        ),
        (
            RECURRENT + "[rule]\ntemporal = 'detached'",
            "rule: found a recurrent layer; expected name adam and temporal through with it",
        ),
        (
            GRADED + "[rule]\nname = 'bisnn-st'",
            "rule: found graded spikes; expected name adam and temporal through with them",
        ),
        (
            EXACT + "[rule]\ntemporal = 'detached'",
            "rule: found an exact pool; expected name adam and temporal through with it",
        ),
        (
            SOURCES + "[distil]\nteacher = 'self'",
            "rule: found sources or shortcuts; expected a chain of layers with [rule] or [distil]",
        ),
        (
            PRECISE + "[distil]\nteacher = 'self'",
            "training.precision: found 'bfloat16'; expected 'float32' with [rule] or [distil]",
        ),
        (TEXT + "[posterior]\nkl = 1\n[distil]\nteacher = 'self'", "posterior.kl: found 1; expected 0 with [rule] or "),
        (
            TEXT + "[posterior]\nfamily = 'gaussian'\n[rule]\nname = 'bisnn-st'",
            "posterior.family: found 'gaussian'; expected 'bernoulli' with rule.name bisnn-st",
        ),
        (
            TEXT + "[distil]\nteacher = ''",
            "distil.teacher: found ''; expected none, self, posterior, or the path of a run folder",
        ),
        (
            TEXT + "[distil]\nweight = 0.25",
            "distil.weight: found 0.25 with teacher none; expected self, posterior or the path of a run folder",
        ),
        (
            TEXT + "[rule]\nname = 'bisnn-st'\nloss = 'local'\n[distil]\nteacher = 'self'",
            "distil.teacher: found 'self' with rule.loss local; expected loss global",
        ),
        (
            LAST + "[distil]\nteacher = 'self'",
            "distil.teacher: found 'self' with membrane_last; expected a read-out that sums over steps",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(text, message):
    with pytest.raises(UsageError) as caught:
        parse_recipe(text, source="x")
    assert str(caught.value).startswith(f"x: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", ["[rule]\nname = 'bisnn-st'", "[distil]\nteacher = 'self'"])
def test_rules_train_in_one_process_on_the_processor(table):
    recipe = parse_recipe(TEXT + table, source="x")
    with pytest.raises(UsageError, match="devices: found several processes; expected one with"):
        Trainer(recipe, Processes(count=2))
    with pytest.raises(UsageError, match="accelerator: found 'cuda'; expected cpu with"):
        Trainer(recipe, Processes(device=torch.device("cuda")))


def test_the_floor_of_the_noisy_pass_may_be_set():
    text = TEXT.replace("[estimator]", "[estimator]\nfloor = 2") + "[rule]\nname = 'bisnn-st'"
    assert parse_recipe(text, source="x").estimator.floor == 2


@pytest.mark.parametrize(
    ("name", "rule", "loss", "teacher"),
    [
        ("digits_bisnn", "bisnn-bayes", "global", "none"),
        ("digits_bisnn_local", "bisnn-st", "local", "none"),
        ("digits_t2", "adam", "global", "self"),
    ],
)
def test_the_examples_read(name, rule, loss, teacher):
    recipe = load_recipe(EXAMPLES / f"{name}.toml")
    assert (recipe.name, recipe.rule.name, recipe.rule.loss, recipe.distil.teacher) == (name, rule, loss, teacher)
    assert parse_recipe(recipe.to_toml(), source="x") == recipe
