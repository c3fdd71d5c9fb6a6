"""Runs of every rule: they learn, resume bit for bit, and are proved equal on the reference engine."""

import pytest
from run_folders import measured
from safetensors.numpy import load_file

from bitspike.convert.collapse import collapse
from bitspike.sim.verify import verify
from bitspike.train import fit
from bitspike.train import run as run_module
from bitspike.train.checkpoint import save_checkpoint
from bitspike.train.recipe import parse_recipe

TEXT = """
name = "small"
[data]
name = "digits"
steps = 4
[network]
readout = "membrane_sum"
temperature = 20
[[network.layers]]
neurons = 32
vth = 4
dv = 1024
[[network.layers]]
neurons = 10
[training]
epochs = 3
batch = 64
rate = {rate}
spread = {spread}
sharpness = 1
members = 2
{tables}
"""
RULES = {
    "st": (10, 0.5, '[rule]\nname = "bisnn-st"'),
    "st within steps": (10, 0.5, '[rule]\nname = "bisnn-st"\ntemporal = "detached"'),
    "bayes": (30, 2, '[rule]\nname = "bisnn-bayes"\nrho = 1e-4'),
    "bayes, a draw a step": (30, 2, '[rule]\nname = "bisnn-bayes"\ndraw = "step"\n[distil]\nteacher = "self"'),
    "bits": (100, 2, '[rule]\nname = "bisnn-bayes-bits"\nalpha = 0.5\nrho = 1e-4'),
    "st, local": (30, 0.5, '[rule]\nname = "bisnn-st"\nloss = "local"\nburn_in = 1'),
    "bayes, local, every step": (
        5,
        2,
        '[rule]\nname = "bisnn-bayes"\nloss = "local"\nburn_in = 1\nupdate = "step"\ndraw = "step"\nrho = 1e-3',
    ),
    "adam, taught by itself": (0.05, 0.1, '[distil]\nteacher = "self"'),
    "adam within steps": (0.05, 0.1, '[estimator]\nauxiliary = 1e-6\n[rule]\ntemporal = "detached"'),
}


class StoppedError(Exception):
    """Stands for a power cut."""


@pytest.mark.parametrize(("rate", "spread", "tables"), RULES.values(), ids=RULES)
def test_every_rule_learns_resumes_and_is_verified(rate, spread, tables, tmp_path, monkeypatch):
    recipe = parse_recipe(TEXT.format(rate=rate, spread=spread, tables=tables), source="x")
    whole = fit(recipe, out=tmp_path / "whole", progress=False)
    assert whole.result["validation"]["map"] > 0.25

    def stop_after_two(trainer, path):
        save_checkpoint(trainer, path)
        if trainer.epoch == 2:
            raise StoppedError

    monkeypatch.setattr(run_module, "save_checkpoint", stop_after_two)
    with pytest.raises(StoppedError):
        fit(recipe, out=tmp_path / "stopped", progress=False)
    monkeypatch.undo()
    fit(recipe, out=tmp_path / "stopped", resume=True, progress=False)
    assert measured(tmp_path / "stopped") == measured(tmp_path / "whole")
    for name in ("model.safetensors", "checkpoint.safetensors"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    moments = {key for key in load_file(tmp_path / "whole" / "checkpoint.safetensors") if "exp_avg" in key}
    assert bool(moments) == (recipe.rule.name == "adam")


@pytest.mark.parametrize("rule", ["st", "bayes", "st, local"])
def test_a_network_of_another_rule_collapses_and_verifies(rule):
    rate, spread, tables = RULES[rule]
    run = fit(parse_recipe(TEXT.format(rate=rate, spread=spread, tables=tables), source="x"), progress=False)
    network = collapse(run.model, "map")
    result = verify(network, run.model, data=run.validation, engines=["reference"])
    assert result.passed, str(result)
