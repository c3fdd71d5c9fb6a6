"""IDX files of MNIST and the binary batches of CIFAR-10: what is read, and what is refused in which words."""

import gzip

import numpy as np
import pytest
from dataset_files import mnist_folder, write_idx

from bitspike.errors import FileError, UsageError
from bitspike.train.data import data_set, load_data, load_samples
from bitspike.train.datasets.cifar import FILES, RECORD


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_idx_files_are_read(tmp_path, ending, name):
    place = mnist_folder(tmp_path / "m", ending=ending)
    data = load_data(f"{name}:{place}", steps=3, seed=5)
    assert data.spikes.shape == (12, 3, 784)
    assert data.shape == (28, 28)
    assert data.labels.tolist() == [k % 10 for k in range(12)]
    images = data.spikes.reshape(12, 3, 28, 28)
    for sample, label in enumerate(data.labels):
        assert images[sample, :, 2 * label].all()
    assert data_set(f"{name}:{place}").sizes == (40, 0, 12)


def test_published_test_part_and_a_validation_part_cut_from_training(tmp_path):
    known = data_set(f"mnist:{mnist_folder(tmp_path / 'm')}")
    rows = {part: known.rows(part) for part in ("train", "validation", "test", "all")}
    assert [len(one) for one in rows.values()] == [36, 4, 12, 52]
    assert rows["test"].tolist() == list(range(40, 52))
    assert sorted([*rows["train"], *rows["validation"]]) == list(range(40))
    assert rows["validation"].tolist() == PINNED_VALIDATION


PINNED_VALIDATION = [38, 0, 26, 33]


def test_rows_of_both_files_come_in_any_order(tmp_path):
    name = f"mnist:{mnist_folder(tmp_path / 'm')}"
    whole = load_data(name, part="all", steps=2, seed=1)
    for part in ("train", "validation", "test"):
        found = load_data(name, part=part, steps=2, seed=1)
        rows = data_set(name).rows(part)
        np.testing.assert_array_equal(found.spikes, whole.spikes[rows])
        np.testing.assert_array_equal(found.labels, whole.labels[rows])
    samples = load_samples(name, "train")
    assert samples.levels.dtype == np.uint8
    assert samples.levels[:, 0, 27 * 28].tolist() == samples.indices.tolist()


def edit(path, change):
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    content = change(content)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("t10k-images-idx3", lambda c: b"", "starts with the bytes ; expected 00 00 08 03, an IDX header"),
        ("t10k-images-idx3", lambda c: b"\x89PNG" + c, "starts with the bytes 89 50 4e 47; expected 00 00 08 03"),
        ("t10k-images-idx3", lambda c: c[:10], "found 10 bytes; expected a header of 16"),
        ("t10k-images-idx3", lambda c: c + b"\0", "found more than 9408 bytes of data; expected 9408, as the header"),
        ("t10k-labels-idx1", lambda c: c[:4] + b"\xff" * 4 + c[8:], "claims 4294967295 bytes of data; a file of this"),
        ("t10k-labels-idx1", lambda c: c[:7] + b"\x0b" + c[8:-1], "found 11 labels; expected 12, one for each of t10k"),
        ("t10k-labels-idx1", lambda c: c[:-1] + b"\x0a", "labels: found 10; expected 0 to 9"),
        ("t10k-images-idx3", lambda c: c[:11] + b"\x20" + c[12:], "found images of 32 x 28 pixels; expected 28 x 28"),
    ],
)
def test_wrong_idx_files_are_told(tmp_path, ending, file, change, message):
    path = mnist_folder(tmp_path / "m", ending=ending) / f"{file}-ubyte{ending}"
    edit(path, change)
    with pytest.raises(FileError) as caught:
        load_data(f"mnist:{path.parent}")
    text = str(caught.value)
    if "32 x 28" in message and not ending:
        message = "claims 10752 bytes of data"
    assert text.startswith(f"{path}: {message}")
    assert "\n" not in text


def test_truncated_files_are_told(tmp_path):
    path = mnist_folder(tmp_path / "m") / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(FileError, match="claims 31360 bytes of data; a file of this size cannot hold them"):
        load_data(f"mnist:{path.parent}")
    packed = mnist_folder(tmp_path / "g", ending=".gz") / "train-images-idx3-ubyte.gz"
    content = packed.read_bytes()
    packed.write_bytes(content[:-20])
    with pytest.raises(FileError, match="is not a whole gzip file") as caught:
        load_data(f"mnist:{packed.parent}", part="train")
    assert "\n" not in str(caught.value)
    edit_to = gzip.compress(gzip.decompress(content)[:-5])
    packed.write_bytes(edit_to)
    with pytest.raises(FileError, match="found 31355 bytes of data; expected 31360, as the header says"):
        load_data(f"mnist:{packed.parent}", part="train")
    packed.write_bytes(b"no gzip")
    with pytest.raises(FileError, match="is not a whole gzip file"):
        load_data(f"mnist:{packed.parent}")


def test_a_small_gzip_cannot_claim_much(tmp_path):
    place = mnist_folder(tmp_path / "m", ending=".gz")
    head = bytes.fromhex("00000803 ffffffff ffffffff ffffffff")
    (place / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(head))
    with pytest.raises(FileError, match=r"claims \d+ bytes of data; a file of this size cannot hold them"):
        load_data(f"mnist:{place}")


def test_missing_folders_and_files_are_told(tmp_path):
    with pytest.raises(FileError, match="no such folder; expected a folder with the four IDX files"):
        load_data(f"mnist:{tmp_path / 'none'}")
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="file: is not a folder; expected"):
        load_data(f"mnist:{tmp_path / 'file'}")
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((1, 28, 28)))
    with pytest.raises(FileError, match=r"holds none of train-labels-idx1-ubyte, train-labels-idx1-ubyte\.gz"):
        load_data(f"mnist:{tmp_path}")


@pytest.mark.parametrize("name", ["mnist", "mnist:", "digits:x", "digits:", "Mnist:x", "cifar:x", ":", ""])
def test_wrong_names_are_told(name):
    with pytest.raises(UsageError, match=f"data: found {name!r}; expected one of digits, mnist:DIR, fashion:DIR"):
        load_data(name)


@pytest.fixture
def cifar(tmp_path):
    for number, name in enumerate(FILES):
        records = np.zeros((2, RECORD), np.uint8)
        records[:, 0] = number, 9
        records[0, 1 + 1024 * (number % 3) : 1 + 1024 * (number % 3 + 1)] = 255
        (tmp_path / name).write_bytes(records.tobytes())
    return tmp_path


def test_cifar_batches_are_read(cifar):
    data = load_data(f"cifar10:{cifar}", part="all", steps=2)
    assert data.spikes.shape == (12, 2, 3072)
    assert data.shape == (3, 32, 32)
    assert data.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9, 5, 9]
    planes = data.spikes.reshape(12, 2, 3, 32, 32).mean(axis=(1, 3, 4))
    for number in range(6):
        assert planes[2 * number].tolist() == [float(number % 3 == plane) for plane in range(3)]
    assert load_data(f"cifar10:{cifar}").labels.tolist() == [5, 9]
    assert len(load_data(f"cifar10:{cifar}", part="validation")) == 1


def test_wrong_cifar_files_are_told(cifar):
    path = cifar / FILES[2]
    content = path.read_bytes()
    for wrong, message in [
        (content[:-1], "found 6145 bytes; expected a multiple of 3073, the bytes of one image"),
        (b"", "found 0 bytes; expected a multiple of 3073"),
        (b"\x0a" + content[1:], "labels: found 10; expected 0 to 9"),
    ]:
        path.write_bytes(wrong)
        with pytest.raises(FileError) as caught:
            load_data(f"cifar10:{cifar}", part="all")
        assert str(caught.value).startswith(f"{path}: {message}")
    path.unlink()
    with pytest.raises(FileError, match=r"data_batch_3\.bin: no such file"):
        load_data(f"cifar10:{cifar}")
