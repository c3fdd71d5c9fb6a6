"""The published data themselves, where they are: shapes, counts and labels."""

import os
from pathlib import Path

import numpy as np
import pytest

import bitspike
from bitspike.train.data import data_set, load_data, load_samples
from bitspike.train.datasets.cifar import FILES
from bitspike.train.datasets.nmnist import SHAPE, decode
from bitspike.train.encoders import Encoding

DATA = Path(os.environ.get("BITSPIKE_DATA") or Path(bitspike.__file__).parents[2] / "shared" / "data")


def place(path):
    if not (DATA / path).exists():
        pytest.skip(f"{path} is not here; set BITSPIKE_DATA to the folder that holds it")
    return DATA / path


def some(name, part, *, count, **options):
    """The first samples of a part, without the others' spikes."""
    known = data_set(name)
    return known.read(known.rows(part)[:count], Encoding(**options))


def test_mnist():
    name = f"mnist:{place('mnist')}"
    assert data_set(name).sizes == (60000, 0, 10000)
    test = load_samples(name, "test")
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # The mean pixel of the training images is known to every user of MNIST: 0.1307 of 255.
    train = load_samples(name, "train")
    validation = load_samples(name, "validation")
    total = train.levels.sum(dtype=np.int64) + validation.levels.sum(dtype=np.int64)
    assert round(int(total) / (60000 * 784 * 255), 4) == 0.1307
    whole = np.concatenate([train.labels, validation.labels])
    assert np.bincount(whole).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test.take(np.arange(100)).encode(steps=4, seed=0).shape == (100, 4, 784)


def test_nmnist_recordings_have_the_labels_of_mnist():
    name = f"nmnist:{place('nmnist/nmnist_small.zip')}"
    known = data_set(name)
    assert known.sizes == (1000, 0, 100)
    images = load_samples(f"mnist:{place('mnist')}", "test")
    events = load_data(name, steps=30)
    assert events.spikes.shape == (100, 30, 2312)
    np.testing.assert_array_equal(events.labels, images.labels[:100])
    # An event camera sees the digit's edges: more events in rows and columns of ink than in the border.
    seen = events.spikes.reshape(100, 30, *SHAPE).sum(axis=(1, 2))
    ink = images.levels[:100].reshape(100, 28, 28) > 0
    assert seen[:, 3:31, 3:31][ink].mean() > 2 * seen[:, 3:31, 3:31][~ink].mean()


def test_an_original_recording_of_nmnist():
    path = place("event_samples/sample_nmnist.bin")
    times, neurons = decode(path, path.read_bytes())
    assert len(times) == path.stat().st_size // 5
    assert 297_000 <= times.max() <= 336_000
    assert (np.diff(times) >= 0).all()
    assert 0 <= neurons.min() <= neurons.max() < 2312


def test_nmnist_frames():
    known = data_set(f"nmnist:{place('nmnist/nmnist8_frames.npz')}")
    assert (known.sizes, known.shape) == ((4800, 0, 0), (2, 34, 34))
    labels = known.read(known.rows("all")[::600], Encoding(steps=30)).labels
    assert labels.tolist() == list(range(8))


def test_gesture_frames_are_split_by_subject():
    known = data_set(f"dvsgesture:{place('dvs_gesture/dvs_gesture10.npz')}")
    assert known.sizes == (858, 220, 264)
    assert sum(known.sizes) == 1342
    samples = known.read(known.rows("test"), Encoding(steps=10))
    assert np.bincount(samples.labels).tolist() == [24] * 7 + [48, 24, 24]
    assert samples.shape == (2, 32, 32)
    assert samples.encode(steps=10, seed=0).any(axis=(1, 2)).all()


def test_braille():
    frames = load_data(f"braille:{place('braille/braille7_spikes.npz')}", part="all", steps=256)
    assert frames.spikes.shape == (858, 256, 12)
    stored = np.load(DATA / "braille/braille7_spikes.npz")
    np.testing.assert_array_equal(frames.spikes, np.unpackbits(stored["bits"], axis=2)[:, :, :12])
    known = data_set(f"braille:{place('braille/braille27_th10_events.npz')}")
    assert (known.sizes, known.classes, known.shape) == ((5400, 0, 0), 27, (12, 2))
    assert np.bincount(load_samples(f"braille:{DATA}/braille/braille27_th10_events.npz", "train").labels).sum() == 3780
    rows = np.arange(0, 5400, 90)
    spikes = known.read(rows, Encoding(steps=1350)).encode(steps=1350, seed=0)
    with np.load(DATA / "braille/braille27_th10_events.npz") as stored:
        assert np.bincount(stored["label"]).tolist() == [200] * 27
        for sample, row in zip(spikes, rows, strict=True):
            cut = slice(stored["offset"][row], stored["offset"][row + 1])
            step = np.rint(stored["t"][cut].astype(float) * 1e6).astype(int) // 1000
            assert sorted(map(tuple, np.argwhere(sample))) == sorted(set(zip(step, stored["ch"][cut], strict=True)))


def test_spoken_digits():
    name = f"fsdd:{place('fsdd/fsdd.npz')}"
    assert data_set(name).sizes == (2700, 0, 300)
    test = load_data(name, steps=32)
    assert test.spikes.shape == (300, 32, 64)
    assert np.bincount(test.labels).tolist() == [30] * 10
    # Spikes of two recordings of a digit by one speaker are nearer than those of another digit, on the whole.
    counts = test.spikes.reshape(5, 10, 6, 32, 64).astype(float)
    same = np.abs(counts[0] - counts[1]).mean()
    other = np.abs(counts[0] - np.roll(counts[1], 1, axis=0)).mean()
    assert same < 0.9 * other


def test_cifar_images_as_binary_batches(tmp_path):
    image = pytest.importorskip("PIL.Image")
    rows = [np.asarray(image.open(place(f"cifar10/cifar10_batch_{k}.png")).convert("RGB")) for k in (0, 1)]
    images = np.concatenate(rows).reshape(2000, 1024, 3).transpose(0, 2, 1).reshape(2000, 3072)
    labels = np.load(place("cifar10/cifar10_batch_labels.npy")).reshape(-1, 1).astype(np.uint8)
    records = np.concatenate([labels, images], axis=1)
    for number, name in enumerate(FILES):
        (tmp_path / name).write_bytes(records[number * 300 : number * 300 + 300].tobytes())
    found = some(f"cifar10:{tmp_path}", "all", count=1800)
    assert found.labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    np.testing.assert_array_equal(found.levels[:, 0], images[:1800])
