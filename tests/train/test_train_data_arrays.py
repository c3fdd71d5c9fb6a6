"""HDF5 and npz files: SHD, SSC, events and dense spikes of one's own, Braille, frames; and hostile ones."""

import zipfile

import h5py
import numpy as np
import pytest
from dataset_files import write_heidelberg

from bitspike.api import load_data as load_by_path
from bitspike.errors import FileError, UsageError
from bitspike.train.data import data_set, load_data

SAMPLES = [([0.0, 0.7, 1.39], [0, 699, 5], 3), ([], [], 19), ([0.35], [2], 0), ([1.4, 1.5], [1, 1], 7)]


@pytest.fixture(params=[False, True], ids=["plain", "chunked"])
def shd(request, tmp_path):
    write_heidelberg(tmp_path / "shd_train.h5", SAMPLES[::-1], chunked=request.param, times=np.float32)
    write_heidelberg(tmp_path / "shd_test.h5", SAMPLES, chunked=request.param, speakers=not request.param)
    return tmp_path


def test_heidelberg_files_are_read(shd):
    data = load_data(f"shd:{shd}", steps=14)
    assert data.spikes.shape == (4, 14, 700)
    assert data.shape == (700,)
    assert data.labels.tolist() == [3, 19, 0, 7]
    assert np.argwhere(data.spikes).tolist() == [[0, 0, 0], [0, 7, 699], [0, 13, 5], [2, 3, 2]]
    whole = load_data(f"shd:{shd}", steps=14, part="all")
    assert whole.labels.tolist() == [7, 0, 19, 3, 3, 19, 0, 7]
    rows = data_set(f"shd:{shd}").rows("train")
    np.testing.assert_array_equal(load_data(f"shd:{shd}", steps=14, part="train").spikes, whole.spikes[rows])


def test_speech_commands_have_their_own_validation_part(tmp_path):
    for part, label in (("train", 34), ("valid", 20), ("test", 1)):
        write_heidelberg(tmp_path / f"ssc_{part}.h5", [([0.1], [label], label)])
    found = [load_data(f"ssc:{tmp_path}", part=part) for part in ("train", "validation", "test")]
    assert [one.labels.tolist() for one in found] == [[34], [20], [1]]
    assert [int(one.spikes[0].sum(axis=0).argmax()) for one in found] == [34, 20, 1]


def replaced(file, name, data):
    del file[name]
    file[name] = data


def linked(file):
    del file["spikes/units"]
    file["spikes/units"] = h5py.ExternalLink("other.h5", "/spikes/units")


def external(file):
    del file["labels"]
    file.create_dataset("labels", (4,), np.uint16, external=[("other.bin", 0, 8)])


def lists(file, name, dtype, rows):
    del file[name]
    data = file.create_dataset(name, (len(rows),), h5py.vlen_dtype(dtype))
    for at, row in enumerate(rows):
        data[at] = row


def huge(file):
    del file["labels"]
    file.create_dataset("labels", (1 << 40,), np.uint16, chunks=(1 << 10,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.__delitem__("labels"), "holds no labels; expected spikes/times, spikes/units and labels"),
        (lambda f: f.__delitem__("spikes"), "holds no spikes/times; expected spikes/times, spikes/units and labels"),
        (linked, "spikes/units is a link to elsewhere; expected everything in the file itself"),
        (external, "labels is virtual, external or packed with another filter; expected plain data"),
        (huge, "labels: claims 1099511627776 samples; a file of this size cannot hold them"),
        (lambda f: replaced(f, "labels", np.zeros(4)), "labels: found float64 of shape (4,); expected a row of whole"),
        (lambda f: replaced(f, "labels", np.array([1, 2, 20, 0])), "labels: found 20; expected 0 to 19"),
        (
            lambda f: replaced(f, "labels", np.array([1, 2, 3])),
            "spikes/times: found shape (4,); expected (3,), as label",
        ),
        (
            lambda f: replaced(f, "spikes/times", np.zeros(4)),
            "spikes/times: found float64 of shape (4,); expected a li",
        ),
        (
            lambda f: lists(f, "spikes/units", "u2", [[0, 1, 2], [], [700], [0, 0]]),
            "sample 2: found unit 700; expected",
        ),
        (
            lambda f: lists(f, "spikes/units", "u2", [[0, 1], [], [7], [0, 0]]),
            "sample 0: found 3 times; expected 2, as",
        ),
        (
            lambda f: lists(f, "spikes/times", "f4", [[0, 1, np.nan], [], [0], [0, 0]]),
            "sample 0: found a time that is no number of seconds from 0 to 1e6",
        ),
        (
            lambda f: lists(f, "spikes/times", "f4", [[0, 1, -1], [], [0], [0, 0]]),
            "sample 0: found a time that is no number of seconds from 0 to 1e6",
        ),
    ],
)
def test_wrong_heidelberg_files_are_told(shd, change, message):
    path = shd / "shd_test.h5"
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(FileError) as caught:
        load_data(f"shd:{shd}")
    assert str(caught.value).startswith(f"{path}: {message}")


def test_damaged_hdf5_files_are_told(shd):
    path = shd / "shd_test.h5"
    content = path.read_bytes()
    for wrong in (b"", b"no HDF5", content[:-400], content[:100]):
        path.write_bytes(wrong)
        with pytest.raises(FileError) as caught:
            load_data(f"shd:{shd}")
        assert str(caught.value).startswith(f"{path}: is not a readable HDF5 file (")
        assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(FileError, match=r"shd_test\.h5: no such file"):
        load_data(f"shd:{shd}")


def test_lists_cannot_claim_more_than_the_file(tmp_path):
    write_heidelberg(tmp_path / "shd_train.h5", SAMPLES)
    path = tmp_path / "shd_test.h5"
    write_heidelberg(path, SAMPLES)
    with h5py.File(path, "r") as file:
        offset = file["spikes/times"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[offset : offset + 4] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(FileError, match=rf"spikes/times claims {(1 << 32) + 6} bytes; a file of \d+ bytes cannot hold"):
        load_data(f"shd:{tmp_path}")


def test_a_damaged_heap_is_told_and_never_read_for_ever(tmp_path):
    write_heidelberg(tmp_path / "shd_train.h5", SAMPLES)
    path = tmp_path / "shd_test.h5"
    write_heidelberg(path, SAMPLES)
    content = path.read_bytes()
    at = content.index(b"GCOL")
    for place, wrong, message in [
        (at, b"GCOM", r"spikes/times of sample 0: found no list at byte \d+; expected a global heap"),
        (
            at + 8,
            b"\xff" * 6,
            r"spikes/times of sample 0: found a global heap that ends at byte \d+; expected \d+ at mo",
        ),
        (at + 24, b"\xff" * 8, "spikes/times of sample 0: found 0 bytes of a list; expected 6"),
        (at + 16, b"\0\0", "spikes/times of sample 0: found 0 bytes of a list; expected 6"),
        (at + 24, b"\0" * 8, "spikes/times of sample 0: found 0 bytes of a list; expected 6"),
    ]:
        path.write_bytes(content[:place] + wrong + content[place + len(wrong) :])
        with pytest.raises(FileError, match=message):
            load_data(f"shd:{tmp_path}")


EVENTS = {
    "t": np.array([0, 99, 50, 10, 10], np.int64),
    "x": np.array([0, 3, 1, 2, 2], np.uint8),
    "y": np.array([0, 1, 1, 0, 0], np.int16),
    "p": np.array([0, 1, 0, 1, 1], np.uint8),
    "offsets": np.array([0, 3, 3, 5]),
    "labels": np.array([2, 0, 1]),
    "shape": np.array([2, 2, 4]),
}


def saved(path, **changed):
    np.savez_compressed(path, **{key: value for key, value in (EVENTS | changed).items() if value is not None})
    return path


def test_events_of_ones_own_are_read(tmp_path):
    path = saved(tmp_path / "e.npz")
    data = load_data(f"events:{path}", part="all", steps=10)
    assert data.shape == (2, 2, 4)
    assert data_set(f"events:{path}").classes == 3
    assert np.argwhere(data.spikes.reshape(3, 10, 2, 2, 4)).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 5, 0, 1, 1],
        [0, 9, 1, 1, 3],
        [2, 1, 1, 0, 2],
    ]
    assert load_by_path(path, steps=10).digest() == data.digest()
    longer = saved(tmp_path / "d.npz", duration_us=np.array(1000), parts=np.array([2, 1, 0]))
    assert load_data(f"events:{longer}", part="test", steps=10).spikes.any(axis=2).tolist() == [[True] + [False] * 9]
    assert [load_data(f"events:{longer}", part=p).labels.tolist() for p in ("train", "validation")] == [[1], [0]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": None}, "holds t, y, p, offsets, labels, shape; expected t and x and y and p and offsets and labels and"),
        ({"t": None}, "holds x, y, p, offsets, labels, shape; expected spikes and labels, or t, x, y, p, offsets, lab"),
        (
            {"t": None, "a\nb": EVENTS["x"]},
            "holds x, y, p, offsets, labels, shape, 'a\\nb'; expected spikes and labels",
        ),
        ({"t": EVENTS["t"] * 1.0}, "t are float64; expected integers"),
        ({"t": -EVENTS["t"]}, "t: found -99 to 0; expected 0 to"),
        ({"x": EVENTS["x"] + 1}, "x: found 1 to 4; expected 0 to 3"),
        ({"y": EVENTS["y"] - 1}, "y: found -1 to 0; expected 0 to 1"),
        ({"p": EVENTS["p"][:4]}, "p: found shape (4,); expected (5)"),
        ({"offsets": np.array([0, 3, 2, 5])}, "offsets: found 0 to 5; expected 0 to 5, none below the one before"),
        ({"offsets": np.array([0, 3, 3, 6])}, "offsets: found 0 to 6; expected 0 to 5, none below the one before"),
        ({"offsets": np.array([0, 5])}, "offsets: found shape (2,); expected (4)"),
        ({"labels": np.array([0, -1, 2])}, "labels: found -1; expected 0 to"),
        ({"shape": np.array([2, 2])}, "shape: found shape (2,); expected (3)"),
        ({"shape": np.array([2, 1 << 20, 4])}, "shape: found (2, 1048576, 4); expected 1 to 1048576 neurons"),
        ({"duration_us": np.array(0)}, f"duration_us: found 0; expected 1 to {1 << 38}"),
        (
            {"duration_us": np.array(2**64 - 1, np.uint64)},
            f"duration_us: found {2**64 - 1}; expected 1 to {1 << 38}",
        ),
        ({"parts": np.array([0, 1, 3])}, "parts: found 3; expected 0 to 2"),
        ({"parts": np.array([0, 1, 1])}, "parts: found 1 samples for training, 0 for test; expected 1 or more of each"),
        ({"x": np.array([{}], object)}, "is not a readable npz file (x holds pickled objects)"),
    ],
)
def test_wrong_events_are_told(tmp_path, changed, message):
    path = saved(tmp_path / "e.npz", **changed)
    with pytest.raises(FileError) as caught:
        load_data(f"events:{path}")
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_dense_spikes_keep_their_steps_and_their_shape(tmp_path):
    spikes = np.arange(10 * 4 * 6).reshape(10, 4, 6) % 3 == 0
    np.savez(tmp_path / "d.npz", spikes=spikes, labels=np.arange(10) % 2, shape=np.array([2, 3]))
    data = load_by_path(tmp_path / "d.npz", steps=99)
    assert (data.name, data.shape, data.steps, len(data)) == ("d.npz", (2, 3), 4, 10)
    np.testing.assert_array_equal(data.spikes, spikes)
    named = f"events:{tmp_path / 'd.npz'}"
    np.testing.assert_array_equal(load_data(named, part="all", steps=4).spikes, spikes)
    assert [len(load_data(named, part=part, steps=4)) for part in ("train", "validation", "test")] == [7, 1, 2]
    with pytest.raises(UsageError, match="steps: found 16; expected 4, those of"):
        load_data(named)
    with pytest.raises(UsageError, match=r"duration_ms: found 2\.0; expected 0: the spikes in"):
        load_data(named, steps=4, duration_ms=2.0)
    np.savez(tmp_path / "d.npz", spikes=spikes * 2, labels=np.arange(10))
    with pytest.raises(FileError, match=r"d\.npz: spikes hold 2; expected 0 or 1"):
        load_data(named, steps=4)
    np.savez(tmp_path / "d.npz", spikes=spikes, labels=np.arange(10), shape=np.array([5]))
    with pytest.raises(FileError, match=r"shape: found \(5,\); expected the 6 neurons of spikes"):
        load_data(named, steps=4)


def test_fortran_order_is_read(tmp_path):
    spikes = np.asfortranarray(np.arange(3 * 2 * 5).reshape(3, 2, 5) % 2)
    np.savez(tmp_path / "f.npz", spikes=spikes, labels=np.zeros(3, int))
    np.testing.assert_array_equal(load_by_path(tmp_path / "f.npz").spikes, spikes)


def test_an_array_cannot_claim_more_than_it_holds(tmp_path):
    path = saved(tmp_path / "e.npz")
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members["t.npy"] = members["t.npy"].replace(b"(5,), }", b"(5000000000000,), }")[:200]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(FileError) as caught:
        load_data(f"events:{path}")
    assert "t.npy" in str(caught.value)
    assert "expected" in str(caught.value)
    content = saved(path).read_bytes()
    for wrong in (content[:50], content[:-10], b"", b"PK"):
        path.write_bytes(wrong)
        with pytest.raises(FileError, match="is not a readable npz file"):
            load_data(f"events:{path}")


def braille(path, **changed):
    content = {
        "t": np.array([0.0, 0.7, 1.3499, 0.1], np.float32),
        "ch": np.array([5, 23, 0, 1], np.uint8),
        "offset": np.array([0, 3, 3, 4]),
        "label": np.array([0, 26, 1], np.uint8),
    }
    np.savez(path, **(content | changed))
    return path


def test_braille_events_are_read(tmp_path):
    path = braille(tmp_path / "b.npz")
    data = load_data(f"braille:{path}", part="all", steps=27)
    assert data.shape == (12, 2)
    assert data.labels.tolist() == [0, 26, 1]
    assert data_set(f"braille:{path}").classes == 27
    assert np.argwhere(data.spikes).tolist() == [[0, 0, 5], [0, 14, 23], [0, 26, 0], [2, 2, 1]]
    for changed, message in [
        ({"ch": np.array([5, 24, 0, 1])}, "ch: found 0 to 24; expected 0 to 23"),
        ({"ch": np.array([5, 2, 0])}, r"ch: found shape \(3,\); expected \(4,\), as t, in one row"),
        ({"t": np.array([0, np.inf, 1, 1])}, "t: found a time that is no number of seconds from 0 to 1e6"),
        ({"label": np.array([0, 27, 1])}, "labels: found 27; expected 0 to 26"),
    ]:
        with pytest.raises(FileError, match=message):
            load_data(f"braille:{braille(path, **changed)}")


def test_frames_are_read(tmp_path):
    frames = np.zeros((5, 6, 12), np.uint8)
    frames[np.arange(5), np.arange(5), np.arange(5)] = 1
    content = {"bits": np.packbits(frames, axis=2), "shape": np.array([6, 12]), "label": np.array([0, 1, 2, 0, 6])}
    path = tmp_path / "f.npz"
    np.savez(path, **content)
    data = load_data(f"braille:{path}", part="all", steps=3)
    assert data.shape == (12,)
    assert np.argwhere(data.spikes).tolist() == [[k, k // 2, k] for k in range(5)]
    np.testing.assert_array_equal(load_data(f"braille:{path}", part="all", steps=6).spikes, frames)
    with pytest.raises(UsageError, match=r"duration_ms: found 5\.0; expected 0: the frames in .* have no times"):
        load_data(f"braille:{path}", duration_ms=5.0)
    with pytest.raises(FileError, match=r"sensor: found shape \(12,\); expected \(2, 34, 34\)"):
        load_data(f"nmnist:{path}")
    np.savez(path, **content | {"shape": np.array([6, 24])})
    with pytest.raises(FileError, match=r"frames: found shape \(5, 6, 2\); expected \(5, 6, 3\)"):
        load_data(f"braille:{path}")
    np.savez(path, label=content["label"])
    with pytest.raises(FileError, match="holds label; expected bits and shape, or counts"):
        load_data(f"dvsgesture:{path}")


def test_counts_in_frames_keep_their_split(tmp_path):
    counts = np.zeros((4, 2, 2, 3, 3), np.uint8)
    counts[np.arange(4), 1, 0, 0, [0, 1, 2, 0]] = 3
    path = tmp_path / "g.npz"
    np.savez(path, counts=counts, label=np.arange(4, dtype=np.int8), split=np.array([2, 0, 1, 0], np.int8))
    found = {part: load_data(f"dvsgesture:{path}", part=part, steps=2) for part in ("train", "validation", "test")}
    assert {part: one.labels.tolist() for part, one in found.items()} == {
        "train": [1, 3],
        "validation": [2],
        "test": [0],
    }
    assert found["test"].shape == (2, 3, 3)
    assert np.argwhere(found["train"].spikes).tolist() == [[0, 1, 1], [1, 1, 0]]
