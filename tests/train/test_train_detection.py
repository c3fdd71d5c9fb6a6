"""Detection: noise of each sample's own rate, areas from certainty, and refusals."""

import json

import numpy as np
import pytest

from bitspike.cli import main
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.train import fit
from bitspike.train.accuracy import collapsed_predictions
from bitspike.train.calibration import detection
from bitspike.train.detection import detect, entropy, noise_like
from bitspike.train.recipe import parse_recipe

TEXT = """
name = "small"
[data]
name = "digits"
steps = 8
shift = 0.5
[network]
readout = "membrane_sum"
temperature = 40
[[network.layers]]
neurons = 48
vth = 6
dv = 512
[[network.layers]]
neurons = 10
[training]
epochs = 6
rate = 0.05
members = 4
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fit(parse_recipe(TEXT, source="small.toml"), out=tmp_path_factory.mktemp("runs") / "run", progress=False)


def test_the_command_tells_digits_from_noise(run, capsys):
    assert main(["bench", "detection", str(run.folder), "--samples", "150", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["data"], found["against"], found["samples"]) == ("digits:test", "noise", [150, 150])
    assert set(found["areas"]) == set(found["confidence"]) == {"posterior", "committee", "map"}
    for kind, areas in found["areas"].items():
        assert set(areas) == {"probability", "entropy"}
        # This network is at 0.97 and above; 0.5 is chance.
        assert all(0.8 < area <= 1 for area in areas.values()), kind
        assert found["confidence"][kind]["known"] > found["confidence"][kind]["unknown"]
    assert main(["bench", "detection", str(run.folder), "--samples", "30"]) == 0
    text = capsys.readouterr().out
    assert "digits:test (30 samples) against noise (30 samples)" in text
    assert "committee" in text


def test_areas_are_those_of_the_probabilities(run):
    found = detect(run, samples=40, seed=3)
    known = run.test.first(40)
    inside, outside = (
        collapsed_predictions(run.model, data.spikes, members=4, seed=3) for data in (known, noise_like(known, seed=3))
    )
    for kind in ("posterior", "committee", "map"):
        assert found.areas[kind]["probability"] == detection(inside[kind], outside[kind])
        pairs = [(entropy(inside[kind])[:, None], entropy(outside[kind])[None])]
        below = np.mean([(one < other) + 0.5 * (one == other) for one, other in pairs])
        assert found.areas[kind]["entropy"] == pytest.approx(below)


def test_a_data_set_against_itself_is_chance(run):
    assert all(area == 0.5 for areas in detect(run, against=run.test).areas.values() for area in areas.values())
    assert detect(run, against="digits").areas == detect(run, against=run.test).areas


def test_noise_has_each_samples_own_rate_and_no_shape(run):
    data = run.test.first(200)
    found = noise_like(data, seed=1)
    assert found.spikes.shape == data.spikes.shape
    rates = [each.spikes.mean(axis=(1, 2)) for each in (data, found)]
    count = data.steps * data.spikes.shape[2]
    spread = np.sqrt(rates[0] * (1 - rates[0]) / count)
    assert np.abs((rates[1] - rates[0]) / spread).max() < 5
    assert np.abs((rates[1] - rates[0]) / spread).mean() > 0.5
    # Pixels of digits differ in their rates, those of noise only by chance.
    assert found.spikes.mean(axis=(0, 1)).std() < 0.2 * data.spikes.mean(axis=(0, 1)).std()
    assert np.array_equal(noise_like(data.first(7), seed=1).spikes, found.spikes[:7])
    assert not np.array_equal(noise_like(data, seed=2).spikes, found.spikes)


def test_entropy_by_hand():
    found = entropy(np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]]))
    assert found == pytest.approx([0, np.log(2), np.log(3)])


def test_others_of_another_shape_are_refused(run, capsys):
    other = SpikeData(name="other", spikes=np.zeros((3, 8, 5), dtype=np.uint8), labels=np.zeros(3, dtype=np.int64))
    with pytest.raises(UsageError, match=r"^against: found samples of shape \(8, 5\) in other; expected \(8, 64\)"):
        detect(run, against=other)
    assert main(["bench", "detection", str(run.folder), "--against", "letters"]) == 2
    assert "letters" in capsys.readouterr().err
    assert main(["bench", "detection", str(run.folder), "--samples", "0"]) == 2
    assert "samples: 0; expected 1 or more" in capsys.readouterr().err


def test_others_are_not_moved_and_need_not_be_of_the_same_kind(tmp_path, capsys):
    """A run on recordings, whose training part moved in ways that images have not, against images and a file."""
    rng = np.random.default_rng(0)
    for name in ("mine", "other"):
        spikes = rng.random((40, 8, 64)) < 0.3
        np.savez(tmp_path / f"{name}.npz", spikes=spikes, labels=np.arange(40) % 10, shape=np.array([1, 8, 8]))
    moves = "shift = 1.0\nturn = 9.0\nstretch = 0.2\ndelay = 1.0\ndrop = 0.2\nmirror = [0, 2, 1, 3, 4, 5, 6, 7, 8, 9]"
    text = TEXT.replace("shift = 0.5", moves).replace('"digits"', f'"events:{tmp_path / "mine.npz"}"')
    trained = fit(
        parse_recipe(text.replace("epochs = 6", "epochs = 1"), source="x"), out=tmp_path / "run", progress=False
    )
    for against, said in (
        ("digits", "digits:test"),
        (f"events:{tmp_path / 'other.npz'}", f"events:{tmp_path / 'other.npz'}:test"),
        (str(tmp_path / "other.npz"), f"events:{tmp_path / 'other.npz'}:all"),
    ):
        assert main(["bench", "detection", str(trained.folder), "--against", against, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["against"] == said
