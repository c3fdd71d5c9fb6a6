"""Odd files of samples: one line that names the file, before anything of the claimed size is made."""

import zipfile

import numpy as np
import pytest
from dataset_files import gesture_folder, mnist_folder, nmnist_event, speech_folder, write_idx

from bitspike.errors import FileError
from bitspike.train.data import load_data
from bitspike.train.event_counts import load_counts


def refused(name, **options):
    with pytest.raises(FileError) as caught:
        load_data(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "family", "message"),
    [
        (
            {"bits": np.zeros((2, 3, 1), np.uint8), "shape": np.zeros(0, int)},
            "nmnist",
            "shape: found nothing; expected",
        ),
        (
            {"bits": np.zeros((2, 3, 1), np.uint8), "shape": np.array([3, 8])},
            "braille",
            "label: found shape (); expected",
        ),
        ({"counts": np.zeros((2, 3, 8), np.uint8)}, "dvsgesture", "label: found shape (); expected (any)"),
        ({"t": np.array(0.5), "ch": np.array(1), "offset": np.array([0, 1])}, "braille", "t: found shape (); expected"),
    ],
)
def test_arrays_without_axes_are_told(tmp_path, arrays, family, message):
    labels = {"label": np.array([1])} if "t" in arrays or "found nothing" in message else {"label": np.array(1)}
    np.savez(tmp_path / "a.npz", **arrays, **labels)
    assert refused(f"{family}:{tmp_path / 'a.npz'}").startswith(f"{tmp_path / 'a.npz'}: {message}")


@pytest.mark.parametrize(
    "header",
    ["{'descr': (), 'fortran_order': False, 'shape': (2,)}", "{[]: 1}", "{'descr': 1, 2: 3, 'shape': 1}", "-" * 9000],
)
def test_headers_that_are_other_python_are_told(tmp_path, header):
    text = header.encode()
    member = b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("spikes.npy", member)
    assert "is not a readable npz file" in refused(f"events:{tmp_path / 'a.npz'}")


def test_a_sound_chunk_that_claims_more_than_the_file_is_told(tmp_path):
    folder = speech_folder(tmp_path)
    file = sorted((folder / "recordings").glob("*.wav"))[0]
    content = bytearray(file.read_bytes())
    content[16:20] = (1 << 30).to_bytes(4, "little")
    file.write_bytes(content)
    assert "is not a whole WAV file" in refused(f"fsdd:{folder}", part="all")


def test_a_label_table_with_an_endless_field_is_told(tmp_path):
    folder = gesture_folder(tmp_path / "g")
    (folder / "user01_led_labels.csv").write_text(f"class,startTime_usec,endTime_usec\n{'1' * 200_000},1,2\n")
    assert "user01_led_labels.csv: is not a table of labels" in refused(f"dvsgesture:{folder}")


def test_a_recording_is_for_training_or_for_test(tmp_path):
    folder = gesture_folder(tmp_path / "g")
    (folder / "trials_to_test.txt").write_text("user24_lab.aedat\nuser01_led.aedat\n")
    assert "lists user01_led.aedat twice in trials_to_train.txt and trials_to_test.txt" in refused(
        f"dvsgesture:{folder}"
    )
    with zipfile.ZipFile(tmp_path / "n.zip", "w") as archive:
        archive.writestr("1.bs2", nmnist_event(1, 2, 0, 5))
        for part in ("train", "test"):
            archive.writestr(f"{part}.txt", "#\n1 1")
    message = "lists sample 1 twice; expected it once, for training or for test"
    assert refused(f"nmnist:{tmp_path / 'n.zip'}") == f"{tmp_path / 'n.zip'}: {message}"


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_an_empty_published_part_is_told_and_not_replaced(tmp_path, part):
    folder = mnist_folder(tmp_path / "m")
    write_idx(folder / f"{part}-images-idx3-ubyte", np.zeros((0, 28, 28)))
    write_idx(folder / f"{part}-labels-idx1-ubyte", np.zeros(0))
    assert refused(f"mnist:{folder}").endswith(f"{part}-images-idx3-ubyte: holds no image; expected 1 or more")


def test_the_images_are_read_before_room_is_made_for_what_a_header_claims(tmp_path, monkeypatch):
    """Three million images, as a gzip file of 2 MB could hold them, of which none is there."""
    folder, count = mnist_folder(tmp_path / "m"), 3_000_000
    for name, sizes in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
        head = b"\0\0\x08" + bytes([len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)
        (folder / f"train-{name}-ubyte").write_bytes(head)
    monkeypatch.setattr("bitspike.train.datasets.idx.room", lambda path: 1 << 40)
    made = np.empty

    def empty(shape, *rest, **more):
        assert np.prod(shape, dtype=float) < 1 << 30, "room was made before the file was read"
        return made(shape, *rest, **more)

    monkeypatch.setattr(np, "empty", empty)
    assert "found 0 bytes of data; expected 2352000000, as the header says" in refused(f"mnist:{folder}", part="train")


def test_many_places_of_which_few_have_events_fit_into_memory(tmp_path):
    """512 MB of bits for the sample; as counts of eight bytes it would be 32 GB."""
    events = {"t": np.array([0, 4095]), "x": np.array([3, 1023]), "y": np.array([0, 1023]), "p": np.zeros(2, int)}
    parts = {"offsets": np.array([0, 2, 2, 2]), "labels": np.arange(3), "shape": np.array([1, 1024, 1024])}
    np.savez(tmp_path / "e.npz", duration_us=np.array(4096), **events, **parts)
    from bitspike.train.data import load_samples
    from bitspike.train.encoders import Encoding

    bits = load_samples(f"events:{tmp_path / 'e.npz'}", "all", Encoding(steps=4096)).take(np.array([0])).bits
    assert bits.shape == (1, 4096, 1 << 17)
    assert (bits[0, 0, 0], bits[0, 4095, -1]) == (128 >> 3, 1)
    assert np.flatnonzero(bits[0, 0]).tolist() == [0]


def test_late_events_lie_in_late_steps_whatever_their_number(tmp_path):
    duration = 1 << 38
    times = np.array([0, duration // 4, duration // 2, duration - 1])
    events = {"t": times} | {key: np.zeros(4, int) for key in "xyp"}
    parts = {"offsets": np.array([0, 4]), "labels": np.zeros(1, int), "shape": np.ones(3, int)}
    np.savez(tmp_path / "e.npz", duration_us=np.array(duration), **events, **parts)
    for load in (load_data, load_counts):
        found = load(f"events:{tmp_path / 'e.npz'}", part="all", steps=1 << 24)
        values = found.spikes if load is load_data else found.values
        assert np.flatnonzero(values[0]).tolist() == [0, 1 << 22, 1 << 23, (1 << 24) - 1]
