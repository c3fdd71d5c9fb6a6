"""What strangers did to a run and its folder: one line each, and nothing lost or left behind."""

import dataclasses
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from small_recipe import small_recipe

from bitspike import Committee, collapse, simulate, verify
from bitspike.cli import main
from bitspike.convert.store import load, save
from bitspike.errors import FileError, UsageError
from bitspike.train import fit, load_run
from bitspike.train.bench_search import SideOptions
from bitspike.train.recipe import parse_recipe

TEXT = small_recipe()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "small.toml").write_text(TEXT)
    return fit(folder / "small.toml", out=folder / "run", progress=False)


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole.folder, tmp_path / "run")


def told(capsys, *words, code=2):
    assert main([str(word) for word in words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    return err


def small(**training):
    recipe = parse_recipe(TEXT, source="small.toml")
    return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, **training))


@pytest.mark.parametrize("command", ["collapse", "import", "optimise"])
@pytest.mark.parametrize("victim", ["model.safetensors", "checkpoint.safetensors"])
def test_no_command_writes_a_network_over_a_trained_model(copy, tmp_path, capsys, command, victim):
    net = tmp_path / "net.safetensors"
    save(collapse(load_run(copy).model), net)
    before = (copy / victim).read_bytes()
    words = {"collapse": [copy], "import": [net], "optimise": [net, "--pass", "prune"]}[command]
    err = told(capsys, command, *words, "--out", copy / victim)
    assert err == f"bitspike: {copy / victim}: exists and is not a network file; expected another name\n"
    assert (copy / victim).read_bytes() == before
    assert main(["collapse", str(copy), "--out", str(net)]) == 0, "a network is replaced by another"


@pytest.mark.parametrize("command", ["collapse", "import"])
def test_a_network_has_the_ending_of_one(copy, tmp_path, capsys, command):
    net = tmp_path / "net.safetensors"
    save(collapse(load_run(copy).model), net)
    (tmp_path / "mine.toml").write_text(TEXT)
    for name in ("mine.toml", "net.nir", "net"):
        err = told(capsys, command, copy if command == "collapse" else net, "--out", tmp_path / name)
        assert "expected a name that ends in .safetensors; `bitspike export` has other formats" in err
    assert (tmp_path / "mine.toml").read_text() == TEXT
    assert not (tmp_path / "net.nir").exists()


def test_numbers_of_numpy_in_a_recipe_are_written_as_numbers(tmp_path):
    recipe = small(rate=np.logspace(-3, -1, 3)[2])
    fit(recipe, out=tmp_path / "run", progress=False)
    assert load_run(tmp_path / "run").recipe == recipe
    assert "numpy" not in (tmp_path / "run" / "recipe.toml").read_text()


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("data", ["mnist:nowhere", "braille:nowhere.npz"])
def test_a_mistake_before_the_first_epoch_leaves_no_folder(tmp_path, capsys, there, data):
    (tmp_path / "small.toml").write_text(TEXT)
    out = tmp_path / "run"
    if there:
        out.mkdir()
    told(capsys, "train", tmp_path / "small.toml", "--out", out, "--data", data)
    assert out.exists() == there
    assert main(["train", str(tmp_path / "small.toml"), "--out", str(out)]) == 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"garbage\n", "is not JSON, a line an epoch"),
        (b"\xff\n", "is not JSON, a line an epoch"),
        (b"[" * 9000, "is not JSON, a line an epoch"),
        (b"[1]\n[1]\n", "line 1: found seconds None; expected a number"),
        (b'{"seconds": "x"}\n{"seconds": 1}\n', "line 1: found seconds 'x'; expected a number"),
        (b'{"seconds": 1}\n', "holds 1 epochs; expected 2, as the checkpoint"),
    ],
)
def test_damaged_metrics_are_told_when_a_run_is_resumed(copy, capsys, lines, message):
    (copy / "result.json").unlink()
    (copy / "metrics.jsonl").write_bytes(lines)
    (copy.parent / "small.toml").write_text(TEXT)
    assert message in told(capsys, "train", copy.parent / "small.toml", "--out", copy, "--resume")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": []}, "temperature: found []; expected one a kind"),
        ({"test": 3}, "test.calibration: found 3; expected a table a kind"),
        ({"validation": {"map": {"ece": 0}}}, "validation.calibration.posterior.ece: found None; expected a number"),
    ],
)
def test_results_of_another_form_are_refused(copy, change, message):
    result = json.loads((copy / "result.json").read_text())
    for key, value in change.items():
        if key == "temperature":
            result[key] = value
        else:
            result[key]["calibration"] = value
    (copy / "result.json").write_text(json.dumps(result))
    with pytest.raises(FileError) as caught:
        load_run(copy)
    assert str(caught.value) == f"{copy / 'result.json'}: {message}"


@pytest.mark.parametrize("rate", ["1" + "0" * 400, "1" * 5000, "[" * 3000 + "]" * 3000])
def test_numbers_and_nests_beyond_measure_are_no_recipes(tmp_path, capsys, rate):
    (tmp_path / "small.toml").write_text(TEXT.replace("rate = 0.05", f"rate = {rate}"))
    told(capsys, "train", tmp_path / "small.toml", "--out", tmp_path / "run")
    (tmp_path / "small.toml").write_text(f"{TEXT}[posterior]\nprior = {rate}\n")
    told(capsys, "train", tmp_path / "small.toml", "--out", tmp_path / "run")


def with_header(path, header):
    """An npz whose array has this header."""
    plain = io.BytesIO()
    np.save(plain, np.ones((10, 4, 64), np.uint8))
    content = plain.getvalue()
    at = content.index(b"{")
    end = content.index(b"\n", at)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("spikes.npy", content[:at] + header.ljust(end - at).encode() + content[end:])
        labels = io.BytesIO()
        np.save(labels, np.zeros(10, np.int64))
        archive.writestr("labels.npy", labels.getvalue())


@pytest.mark.parametrize("header", ["{'descr': '|u1', (", "{'descr': '''", "{1: 0777}", "\x00{"])
def test_damaged_headers_of_arrays_are_told(tmp_path, capsys, header):
    with_header(tmp_path / "a.npz", header)
    (tmp_path / "small.toml").write_text(TEXT)
    data = f"events:{tmp_path / 'a.npz'}"
    err = told(capsys, "train", tmp_path / "small.toml", "--out", tmp_path / "run", "--data", data)
    assert "is not a readable npz file" in err


def test_spikes_of_no_neurons_are_refused(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", spikes=np.ones((30, 4, 0), np.uint8), labels=np.arange(30) % 10)
    (tmp_path / "small.toml").write_text(TEXT)
    data = f"events:{tmp_path / 'a.npz'}"
    err = told(capsys, "train", tmp_path / "small.toml", "--out", tmp_path / "run", "--data", data)
    assert "spikes: found shape (30, 4, 0); expected 1 neuron or more" in err


@pytest.mark.parametrize("option", ["snntorch_rate", "straight_rate", "straight_width"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_the_bench_refuses_its_options_before_anything_is_trained(option, value):
    with pytest.raises(UsageError, match=f"^{option.replace('_', ' ')}: found {value}; expected a number above 0$"):
        SideOptions(**{option: value})


def test_a_loss_that_is_not_finite_ends_training(tmp_path, capsys):
    (tmp_path / "small.toml").write_text(TEXT.replace("temperature = 20", "temperature = 1e-300"))
    err = told(capsys, "train", tmp_path / "small.toml", "--out", tmp_path / "run")
    assert "the loss of epoch 1 is " in err
    assert "network.temperature may help" in err
    assert not (tmp_path / "run").exists()


def test_train_says_of_a_network_that_collapse_will_refuse_it(tmp_path, capsys):
    text = TEXT.replace("dv = 1024", 'dv = 1024\nspike = "graded"')
    (tmp_path / "wide.toml").write_text(text + '[posterior]\nfamily = "gaussian"\nmean = 24\n')
    assert main(["train", str(tmp_path / "wide.toml"), "--out", str(tmp_path / "run"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["collapse_refusal"] in err
    assert "bitspike: note: `bitspike collapse` will refuse this network: " in err
    assert main(["collapse", str(tmp_path / "run"), "--out", str(tmp_path / "a.safetensors")]) == 2


def test_functions_name_the_argument_that_is_wrong(whole):
    network, committee = collapse(whole.model), collapse(whole.model, "committee", members=2)
    assert isinstance(committee, Committee)
    for call, message in (
        (lambda: verify(network, whole), "model: found a Run; expected a trained model, such as run.model"),
        (lambda: verify(committee, data=whole.test), "network: found a Committee; expected an IntegerNetwork; each"),
        (lambda: simulate(committee, data=whole.test), "network: found a Committee; expected an IntegerNetwork; each"),
        (lambda: verify(network, whole.model, data=whole.test.spikes), "data: found a ndarray; expected SpikeData"),
        (lambda: simulate(network, data=whole.test.spikes), "data: found a ndarray; expected SpikeData, such as run"),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert str(caught.value).startswith(message)


def test_a_damaged_network_is_not_replaced_either(tmp_path, whole):
    network = collapse(whole.model)
    save(network, tmp_path / "net.safetensors")
    save(network, tmp_path / "net.safetensors")
    assert load(tmp_path / "net.safetensors") == network
    (tmp_path / "net.safetensors").write_bytes(b"mine")
    with pytest.raises(FileError, match="exists and is not a network file"):
        save(network, tmp_path / "net.safetensors")
    assert (tmp_path / "net.safetensors").read_bytes() == b"mine"


def test_a_run_does_not_go_on_with_other_samples(tmp_path, capsys):
    generator = np.random.default_rng(0)
    spikes, labels = (generator.random((60, 4, 64)) < 0.3).astype(np.uint8), np.arange(60) % 10
    np.savez(tmp_path / "a.npz", spikes=spikes, labels=labels)
    (tmp_path / "small.toml").write_text(TEXT)
    words = ["--out", tmp_path / "run", "--data", f"events:{tmp_path / 'a.npz'}"]
    assert main([str(one) for one in ("train", tmp_path / "small.toml", *words)]) == 0
    capsys.readouterr()
    (tmp_path / "run" / "result.json").unlink()
    np.savez(tmp_path / "a.npz", spikes=spikes, labels=labels[::-1])
    err = told(capsys, "train", tmp_path / "small.toml", *words, "--resume")
    assert "was trained on other samples; found events:" in err
    np.savez(tmp_path / "a.npz", spikes=spikes, labels=labels)
    assert main([str(one) for one in ("train", tmp_path / "small.toml", *words, "--resume")]) == 0


def test_the_network_of_another_run_is_not_taken_for_this_ones(copy, tmp_path, capsys):
    other = fit(small(rate=0.5), out=tmp_path / "other", progress=False)
    shutil.copy(other.folder / "model.safetensors", copy)
    err = told(capsys, "collapse", copy, "--out", tmp_path / "net.safetensors")
    model = copy / "model.safetensors"
    assert err == f"bitspike: {model}: is not the network of this run, whose results stand in result.json\n"
    assert not (tmp_path / "net.safetensors").exists()


def test_a_run_of_a_version_that_wrote_no_digest_is_read(copy):
    result = json.loads((copy / "result.json").read_text())
    assert result.pop("model") == load_run(copy).model_digest()
    (copy / "result.json").write_text(json.dumps(result))
    assert load_run(copy).result == result


def test_what_only_the_files_tell_is_told_with_the_recipe_and_the_place(tmp_path, capsys):
    np.savez(tmp_path / "e.npz", spikes=np.zeros((20, 6, 64), np.uint8), labels=np.arange(20) % 3)
    (tmp_path / "small.toml").write_text(TEXT)
    words = ["train", tmp_path / "small.toml", "--data", f"events:{tmp_path / 'e.npz'}", "--out", tmp_path / "run"]
    at = f"network.layers[{TEXT.count('[[network.layers]]') - 1}].neurons"
    err = told(capsys, *words)
    assert err.startswith(f"bitspike: {tmp_path / 'small.toml'}: {at}: found 10; expected 3, the classes of events:")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["--map"], [], ["--sample", "3"]])
def test_a_seed_is_of_a_committee(whole, tmp_path, capsys, words):
    err = told(capsys, "collapse", whole.folder, *words, "--seed", 5, "--out", tmp_path / "net.safetensors")
    assert err.startswith("bitspike: --seed 5: of a committee's first member; expected --members K beside it")
