"""Data sets in recipes and commands: trained, simulated and named on the command line."""

import json

import numpy as np
import pytest
from dataset_files import mnist_folder, nmnist_folder, speech_folder

from bitspike.api import load_data
from bitspike.cli import main
from bitspike.errors import UsageError
from bitspike.train import fit
from bitspike.train.recipe import parse_recipe

TEXT = """
name = "small"
[data]
name = "NAME"
steps = 6
[network]
readout = "membrane_sum"
temperature = 20
[[network.layers]]
neurons = 12
vth = 4
dv = 1024
[[network.layers]]
neurons = 10
[training]
epochs = 2
batch = 32
rate = 0.2
members = 2
"""


def recipe(name, extra=""):
    text = TEXT.replace("NAME", str(name)).replace("steps = 6", f"steps = 6\n{extra}")
    return parse_recipe(text, source="r")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('encoder = "delta"', "r: data.encoder: found 'delta'; expected one of auto, rate, latency, burst"),
        (
            'encoder = "x"',
            "r: data.encoder: found 'x'; expected one of auto, rate, latency, burst, direct, current, delta",
        ),
        ("threshold = 2", "r: data.threshold: found 2; expected a number above 0 and up to 1"),
        ("window = 1.5", "r: data.window: found 1.5; expected a whole number from 1 to 4096"),
        ("duration = 1", "r: data.duration: found an unknown key; expected one of name, steps, seed"),
    ],
)
def test_wrong_options_of_a_recipe_are_told(extra, message):
    with pytest.raises(UsageError) as caught:
        recipe("mnist:none", extra)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["mnist", "mnist:", "letters:x", "mnist:a\\\\b", "mnist:a\\tb", 'mnist:a\\"b'])
def test_wrong_names_of_a_recipe_are_told(name):
    with pytest.raises(UsageError, match=r"r: data\.name: found '.*'; expected one of digits, mnist:DIR, fashion:DIR"):
        recipe(name)


PAIRS = "expected an array that exchanges 0, 1, 2, ... in pairs or leaves them as they are"


@pytest.mark.parametrize(
    ("data", "extra", "message"),
    [
        ("nmnist:x", "mirror = [1, 2, 0]", f"r: data.mirror: found (1, 2, 0); {PAIRS}"),
        ("nmnist:x", "mirror = [0, 2]", f"r: data.mirror: found (0, 2); {PAIRS}"),
        ("nmnist:x", "backwards = [true]", f"r: data.backwards: found (True,); {PAIRS}"),
        ("nmnist:x", "mirror = 3", f"r: data.mirror: found 3; {PAIRS}"),
        ("nmnist:x", "mirror = [1, 0]", "r: data.mirror: found 2 classes; expected 10, as the last layer has"),
        ("fsdd:x", "mirror = [1, 0]", "r: data.mirror: found [1, 0]; expected []: fsdd:x has no events"),
        ("mnist:x", "backwards = [0]", "r: data.backwards: found [0]; expected []: mnist:x has no events"),
        ("mnist:x", "stretch = 0.1", "r: data.stretch: found 0.1; expected 0: mnist:x does not run in time"),
    ],
)
def test_wrong_mirrors_of_a_recipe_are_told(data, extra, message):
    with pytest.raises(UsageError) as caught:
        recipe(data, extra)
    assert str(caught.value) == message


def test_a_teacher_sees_no_mirror():
    pairs = f"mirror = {list(range(10))}"
    text = TEXT.replace("NAME", "nmnist:x").replace("steps = 6", f"steps = 6\n{pairs}")
    with pytest.raises(UsageError, match=r"data\.mirror: found classes with distil\.teacher runs/a; expected \[\]"):
        parse_recipe(f'{text}[distil]\nteacher = "runs/a"\n', source="r")
    assert parse_recipe(f'{text}[distil]\nteacher = "self"\n', source="r").data.mirror == tuple(range(10))


def test_a_recipe_is_read_without_its_data():
    found = recipe("nmnist:somewhere/else", "duration_ms = 1000.0").data
    assert found.encoding.duration_ms == 1000.0
    whole = recipe("mnist:somewhere", 'encoder = "latency"')
    assert parse_recipe(whole.to_toml(), source="again") == whole


def test_classes_are_those_of_the_data(tmp_path):
    with pytest.raises(UsageError, match=r"network.layers\[1\].neurons: found 10; expected 20, the classes of shd:x"):
        recipe("shd:x")
    np.savez(tmp_path / "e.npz", spikes=np.zeros((20, 6, 5), np.uint8), labels=np.arange(20) % 3)
    with pytest.raises(UsageError, match=r"^network.layers\[1\].neurons: found 10; expected 3, the classes of events:"):
        fit(recipe(f"events:{tmp_path / 'e.npz'}"), progress=False)


@pytest.mark.parametrize("key", ["turn", "zoom"])
def test_speech_is_not_turned(key):
    with pytest.raises(UsageError, match=f"r: data.{key}: found 0.5; expected 0: fsdd:x has no images to move"):
        recipe("fsdd:x", f"{key} = 0.5")


@pytest.mark.parametrize("key", ["pool", "least"])
def test_only_events_are_counted(key):
    with pytest.raises(UsageError, match=f"{key}: found 2; expected 1: stills have no events to count"):
        recipe("mnist:x", f"{key} = 2")


def test_data_may_lie_in_another_place():
    whole = recipe("mnist:somewhere")
    assert whole.with_data("mnist:elsewhere").data.name == "mnist:elsewhere"
    with pytest.raises(UsageError, match="expected 20, the classes of shd:x"):
        whole.with_data("shd:x")


def test_images_in_a_folder_are_learned_and_simulated(tmp_path, capsys):
    place = mnist_folder(tmp_path / "m", train=400, test=40)
    text = TEXT.replace("NAME", f"mnist:{place}").replace("epochs = 2", "epochs = 6")
    (tmp_path / "recipe.toml").write_text(text)
    assert main(["train", str(tmp_path / "recipe.toml"), "--out", str(tmp_path / "run")]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["test"]["map"] > 0.9
    net = str(tmp_path / "net.safetensors")
    assert main(["collapse", str(tmp_path / "run"), "--map", "--out", net]) == 0
    capsys.readouterr()
    for data in (f"mnist:{place}", str(tmp_path / "run" / "recipe.toml")):
        assert main(["simulate", net, "--data", data, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["samples"], found["data"]) == (40, f"mnist:{place}:test")
        assert found["accuracy"] == result["test"]["map"]
    assert main(["simulate", net, "--data", f"mnist:{tmp_path / 'none'}"]) == 2
    assert "no such folder; expected a folder with the four IDX files" in capsys.readouterr().err


def test_colour_and_grey_images_may_be_moved_in_training(tmp_path):
    place = mnist_folder(tmp_path / "m")
    first = fit(recipe(f"mnist:{place}", "shift = 2.0\nturn = 5.0"), progress=False)
    again = fit(recipe(f"mnist:{place}", "shift = 2.0\nturn = 5.0"), progress=False)
    assert np.array_equal(first.model.map_bits()["hidden1"], again.model.map_bits()["hidden1"])


def test_events_and_speech_are_learned(tmp_path):
    folder = nmnist_folder(tmp_path / "n")
    run = fit(recipe(f"nmnist:{folder}"), progress=False)
    assert (run.model.input_size, run.test.shape, len(run.test)) == (2312, (2, 34, 34), 3)
    spoken = fit(recipe(f"fsdd:{speech_folder(tmp_path / 's')}"), progress=False)
    assert (spoken.model.input_size, spoken.test.shape) == (64, (2, 32))
    assert len(spoken.train) == 9


def test_recordings_and_speech_may_be_moved_in_training(tmp_path):
    moves = "shift = 2.0\ndelay = 1.0\ndrop = 0.1"
    for name, more in (
        (f"nmnist:{nmnist_folder(tmp_path / 'n')}", "pool = 2\nfold = 2\nturn = 5.0"),
        ("fsdd", "fold = 2"),
    ):
        place = f"fsdd:{speech_folder(tmp_path / 's')}" if name == "fsdd" else name
        still = fit(recipe(place, more.replace("turn = 5.0", "")), progress=False)
        first = fit(recipe(place, f"{moves}\n{more}"), progress=False)
        again = fit(recipe("fsdd:elsewhere" if name == "fsdd" else "nmnist:x", f"{moves}\n{more}"), data=place)
        shape = (2, 2, 32) if name == "fsdd" else (4, 17, 17)
        assert first.test.shape == shape
        natural = [run.model.posteriors()["hidden1"].location.detach().numpy() for run in (still, first, again)]
        assert np.array_equal(natural[1], natural[2])
        assert not np.array_equal(natural[0], natural[1])


def test_the_api_takes_options(tmp_path):
    place = mnist_folder(tmp_path / "m")
    direct = load_data(f"mnist:{place}", steps=2, encoder="direct", threshold=0.9)
    assert direct.spikes[:, 0].sum(axis=1).tolist() == [28] * 12
    with pytest.raises(TypeError, match="unexpected keyword argument 'encode'"):
        load_data(f"mnist:{place}", encode="direct")


def test_a_loss_of_spikes_too_small_to_happen_is_refused():
    with pytest.raises(UsageError, match=r"r: data\.drop: found 0\.003; expected 0, or 1/256 or more"):
        recipe("nmnist:x", "drop = 0.003")
    assert recipe("nmnist:x", "drop = 0.00390625").data.drop == 1 / 256
