"""Runs: what a folder holds, resuming bit for bit, and refusals of folders and files."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from run_folders import measured
from safetensors.numpy import load_file, save_file
from small_recipe import small_recipe

from bitspike.errors import FileError, UsageError
from bitspike.train import fit, load_model, load_run
from bitspike.train import run as run_module
from bitspike.train.accuracy import posterior_predictive
from bitspike.train.checkpoint import restore_checkpoint, save_checkpoint
from bitspike.train.denormals import flushed_denormals
from bitspike.train.loop import Trainer
from bitspike.train.recipe import parse_recipe

TEXT = small_recipe(epochs=4)
FILES = {"recipe.toml", "metrics.jsonl", "checkpoint.safetensors", "model.safetensors", "result.json"}


@pytest.fixture(scope="module")
def recipe():
    return parse_recipe(TEXT, source="small.toml")


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    return fit(recipe, out=tmp_path_factory.mktemp("runs") / "whole", progress=False)


@pytest.fixture
def copy(whole, tmp_path):
    for name in FILES:
        (tmp_path / name).write_bytes((whole.folder / name).read_bytes())
    return tmp_path


def same_tensors(one, other):
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert value.dtype == second[key].dtype
        assert np.array_equal(value, second[key]), key


class StoppedError(Exception):
    """Stands for a power cut."""


def test_a_run_folder_holds_all_of_a_run(whole, recipe):
    assert {path.name for path in whole.folder.iterdir()} == FILES
    again = load_run(whole.folder)
    assert again.recipe == whole.recipe == recipe
    assert again.result == whole.result
    for name, bits in whole.model.map_bits().items():
        assert np.array_equal(bits, again.model.map_bits()[name])
    assert [layer.name for layer in again.model.layers] == ["hidden1", "output"]
    assert [len(part) for part in (again.train, again.validation, again.test)] == [1257, 180, 360]
    assert again.test.steps == again.model.steps == 4
    metrics = [json.loads(line) for line in (whole.folder / "metrics.jsonl").read_text().splitlines()]
    assert [one["epoch"] for one in metrics] == [1, 2, 3, 4]
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert [metrics[0]["sharpness"], metrics[-1]["sharpness"]] == [1.0, 10.0]


def test_results_are_what_the_read_back_model_gives(whole):
    model = load_model(whole.folder / "model.safetensors")
    _, classes = model.predict(whole.test.spikes)
    assert whole.result["test"]["map"] == (classes == whole.test.labels).mean()
    mean = posterior_predictive(model, whole.test.spikes, members=2)
    np.testing.assert_allclose(mean.sum(axis=1), 1.0)
    assert whole.result["test"]["posterior"] == (mean.argmax(axis=1) == whole.test.labels).mean()
    assert whole.result["test"]["map"] > 0.5


def test_a_run_prints_its_accuracies(whole):
    lines = str(whole).splitlines()
    assert lines[0].startswith("run small, seed 0: 64-12-10, 4 steps, ")
    assert lines[1].split() == ["accuracy", "posterior", "committee", "map", "noisy"]
    assert lines[3].split()[3] == f"{whole.result['test']['map']:.1%}"
    assert f"<td>{whole.result['test']['map']:.1%}</td>" in whole._repr_html_()
    with pytest.raises(dataclasses.FrozenInstanceError):
        whole.folder = None


def test_the_same_recipe_gives_the_same_run_and_another_seed_another(whole, recipe):
    again = fit(recipe, progress=False)
    assert again.folder is None
    natural = whole.model.layers[0].natural
    assert torch.equal(again.model.layers[0].natural, natural)
    other = fit(recipe, seed=1, progress=False)
    assert other.recipe.seed == 1
    assert not torch.equal(other.model.layers[0].natural, natural)


@pytest.mark.parametrize("moment", ["between epochs", "within an epoch", "before the checkpoint"])
def test_a_stopped_run_goes_on_bit_for_bit(whole, recipe, tmp_path, monkeypatch, moment):
    saved = []

    def stop_after_two(trainer, path):
        if moment == "before the checkpoint" and trainer.epoch == 3:
            raise StoppedError
        save_checkpoint(trainer, path)
        saved.append(trainer.epoch)
        if moment == "between epochs" and trainer.epoch == 2:
            raise StoppedError

    step = Trainer._update

    def stop_within(trainer, *arguments):
        if moment == "within an epoch" and trainer.epoch == 2 and len(saved) == 2 and next(count) == 3:
            raise StoppedError
        return step(trainer, *arguments)

    count = iter(range(100))
    monkeypatch.setattr(run_module, "save_checkpoint", stop_after_two)
    monkeypatch.setattr(Trainer, "_update", stop_within)
    folder = tmp_path / "run"
    with pytest.raises(StoppedError):
        fit(recipe, out=folder, progress=False)
    assert saved == [1, 2]
    monkeypatch.undo()
    with pytest.raises(FileError, match="holds an unfinished run; train again with resume"):
        load_run(folder)
    resumed = fit(recipe, out=folder, resume=True, progress=False)
    same_tensors(folder / "model.safetensors", whole.folder / "model.safetensors")
    same_tensors(folder / "checkpoint.safetensors", whole.folder / "checkpoint.safetensors")
    assert measured(folder) == measured(whole.folder)
    for name in ("recipe.toml", "model.safetensors", "checkpoint.safetensors"):
        assert (folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
    assert resumed.result["test"] == whole.result["test"]


def test_resuming_a_finished_run_reads_it(whole, recipe):
    assert fit(recipe, out=whole.folder, resume=True).result == whole.result


def test_folders_in_use_and_other_recipes_are_refused(whole, recipe, tmp_path):
    with pytest.raises(UsageError, match="exists and is not an empty folder"):
        fit(recipe, out=whole.folder)
    with pytest.raises(UsageError, match="holds no run to resume; expected a run folder"):
        fit(recipe, out=tmp_path, resume=True)
    with pytest.raises(UsageError, match="resume: found no run folder"):
        fit(recipe, resume=True)
    with pytest.raises(UsageError) as caught:
        fit(recipe, out=whole.folder, resume=True, seed=5)
    assert str(caught.value) == f"seed: found 5; expected 0, as in the run to resume in {whole.folder}"
    layers = (dataclasses.replace(recipe.network.layers[0], vth=5), recipe.network.layers[1])
    other = dataclasses.replace(recipe, network=dataclasses.replace(recipe.network, layers=layers))
    with pytest.raises(UsageError, match=r"network\.layers\[0\]\.vth: found 5; expected 4, as in the run"):
        fit(other, out=whole.folder, resume=True)
    with pytest.raises(FileError, match="is not a run folder"):
        load_run(tmp_path / "none")


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoint.safetensors"])
@pytest.mark.parametrize("size", [0, 5, 300, -4])
def test_truncated_tensors_are_refused(copy, recipe, name, size):
    file = copy / name
    data = file.read_bytes()
    file.write_bytes(data[:size] if size >= 0 else data[: len(data) + size])
    with pytest.raises(FileError) as caught:
        restore_checkpoint(Trainer(recipe), file) if name.startswith("check") else load_run(copy)
    assert str(caught.value).startswith(f"{file}: is not a whole safetensors file")
    assert "\n" not in str(caught.value)


def edited_model(file, change=None, header=None):
    tensors = load_file(file)
    change(tensors) if change else None
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as opened:
        text = json.loads(opened.metadata()["bitspike"])
    header(text) if header else None
    save_file(tensors, file, metadata={"bitspike": json.dumps(text)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("hidden1.natural"), "tensor hidden1.natural is missing"),
        (lambda t: t.update(extra=np.zeros(1)), "tensor extra is not known"),
        (
            lambda t: t.update({"hidden1.natural": np.zeros((12, 63), np.float32)}),
            "tensor hidden1.natural: found float32 of shape (12, 63); expected float32 of shape (12, 64)",
        ),
        (
            lambda t: t.update({"output.bias_mantissa": np.zeros(10, np.int64)}),
            "tensor output.bias_mantissa: found int64 of shape (10,); expected int32 of shape (10,)",
        ),
        (
            lambda t: t.update({"output.bias_mantissa": np.full(10, 4096, np.int32)}),
            "tensor output.bias_mantissa: found a value outside -4096 to 4095",
        ),
        (lambda t: t["hidden1.natural"].fill(np.nan), "tensor hidden1.natural: found a value that is not finite"),
    ],
)
def test_wrong_tensors_are_refused(copy, change, message):
    file = copy / "model.safetensors"
    edited_model(file, change)
    with pytest.raises(FileError) as caught:
        load_model(copy)
    assert str(caught.value) == f"{file}: {message}"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (lambda h: h.update(version=2), "has version 2; this bitspike reads 1"),
        (lambda h: h.update(format="x"), "has format 'x'; expected 'bitspike-model'"),
        (lambda h: h.pop("config"), "has a header without a configuration"),
        (
            lambda h: h["config"].pop("steps"),
            "has an impossible configuration: steps: found nothing; expected a whole number from 1 to 16777216",
        ),
        (
            lambda h: h["config"]["layers"][1].update(inputs=13),
            "has an impossible configuration: layers[1].inputs: found 13; expected 12",
        ),
        (
            lambda h: h["config"]["layers"][0].update(name="output"),
            "has an impossible configuration: layers: found the names output, output; expected different names",
        ),
    ],
)
def test_wrong_headers_are_refused(copy, header, message):
    file = copy / "model.safetensors"
    edited_model(file, header=header)
    with pytest.raises(FileError) as caught:
        load_model(file)
    assert str(caught.value) == f"{file}: {message}"


def test_foreign_files_are_refused(copy, tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": np.zeros(1)}, foreign)
    with pytest.raises(FileError, match="is a safetensors file, but not of bitspike"):
        load_model(foreign)
    save_file({"x": np.zeros(1)}, foreign, metadata={"bitspike": "{"})
    with pytest.raises(FileError, match="has a header that is not JSON"):
        load_model(foreign)
    with pytest.raises(FileError, match="has format 'bitspike-checkpoint'; expected 'bitspike-model'"):
        load_model(copy / "checkpoint.safetensors")
    with pytest.raises(FileError, match="no such file"):
        load_model(tmp_path / "none.safetensors")


def test_a_checkpoint_of_another_length_is_refused(copy, recipe):
    file = copy / "checkpoint.safetensors"
    edited_model(file, header=lambda h: h["config"].update(epoch=9))
    with pytest.raises(FileError, match="has epoch 9; expected 1 to 4"):
        restore_checkpoint(Trainer(recipe), file)
    edited_model(file, header=lambda h: h["config"].update(epoch=3))
    with pytest.raises(FileError, match="has 20 updates; expected 15"):
        restore_checkpoint(Trainer(recipe), file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "validation.posterior: found None; expected an accuracy from 0 to 1"),
        ('{"validation": 3}', "validation.posterior: found None; expected an accuracy from 0 to 1"),
        ('{"validation": {"posterior": 2}}', "validation.posterior: found 2; expected an accuracy from 0 to 1"),
    ],
)
def test_a_damaged_result_is_refused(copy, text, message):
    (copy / "result.json").write_text(text)
    with pytest.raises(FileError) as caught:
        load_run(copy)
    assert str(caught.value).startswith(f"{copy / 'result.json'}: {message}")


def test_the_progress_bar_shows_loss_and_accuracy(recipe, capsys):
    short = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, epochs=1))
    fit(short, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "epoch 1/1" in shown.err
    fit(short)
    assert capsys.readouterr().err == ""


def test_the_processor_is_left_as_it_was():
    with flushed_denormals():
        assert float(torch.tensor([1e-38]) * 0.01) == 0.0
    assert float(torch.tensor([1e-38]) * 0.01) > 0.0


@pytest.mark.parametrize(
    ("readout", "vth", "temperature", "estimator"),
    [
        ("spike_count", 2, 1, "floor = 1"),
        ("spike_count", 2, 1, "auxiliary = 1e-6"),
        ("membrane_last", 131071, 5, "alpha = 0.5"),
    ],
)
def test_other_read_outs_and_estimators_learn(readout, vth, temperature, estimator):
    text = TEXT.replace('"membrane_sum"', f'"{readout}"').replace("neurons = 10", f"neurons = 10\nvth = {vth}")
    text = text.replace("temperature = 20", f"temperature = {temperature}").replace("batch = 256", "batch = 64")
    text = text.replace("[training]", f"[estimator]\n{estimator}\n[training]")
    run = fit(parse_recipe(text, source="x"), progress=False)
    assert run.result["test"]["map"] > 0.3
