"""Event recordings: N-MNIST folders and zips, AEDAT 3.1 gestures; what is read, and what is refused."""

import zipfile

import numpy as np
import pytest
from dataset_files import AEDAT_HEADER, aedat, gesture_folder, nmnist_event, nmnist_folder, nmnist_zip

from bitspike.errors import FileError, UsageError
from bitspike.train.data import data_set, load_data
from bitspike.train.datasets.nmnist import decode


def spikes_of(data, sample):
    """(step, polarity, y, x) of the spikes of a sample."""
    return np.argwhere(data.spikes[sample].reshape(data.steps, *data.shape)).tolist()


def test_nmnist_folders_are_read_in_the_order_of_their_numbers(tmp_path):
    name = f"nmnist:{nmnist_folder(tmp_path)}"
    assert data_set(name).sizes == (6, 0, 3)
    data = load_data(name, part="all", steps=10)
    assert data.shape == (2, 34, 34)
    assert data.labels.tolist() == [5, 0, 9, 0, 1, 1, 3, 7, 3]
    for sample, number in enumerate([1, 2, 3, 4, 5, 6, 1, 2, 3]):
        assert spikes_of(data, sample) == [[0, 1, 33, number], [9, 0, number, 33]]
    assert load_data(name, part="test", steps=10).labels.tolist() == [3, 7, 3]


def test_duration_sets_the_length_of_a_step(tmp_path):
    name = f"nmnist:{nmnist_folder(tmp_path)}"
    data = load_data(name, steps=4, duration_ms=400.0)
    assert spikes_of(data, 0) == [[0, 1, 33, 1], [2, 0, 1, 33], [3, 0, 9, 9]]
    assert spikes_of(load_data(name, steps=4, duration_ms=0.001), 0) == [[0, 1, 33, 1]]


def test_the_clock_of_a_recording_may_run_over():
    content = nmnist_event(0, 240, 0, 0) + nmnist_event(3, 4, 1, 7) + nmnist_event(0, 240, 0, 0)
    times, neurons = decode("x", content + nmnist_event(1, 0, 0, (1 << 23) - 1))
    assert times.tolist() == [8192 + 7, 2 * 8192 + (1 << 23) - 1]
    assert neurons.tolist() == [34 * 34 + 4 * 34 + 3, 1]


def test_wrong_nmnist_recordings_are_told(tmp_path):
    path = nmnist_folder(tmp_path) / "Test" / "7" / "00002.bin"
    content = path.read_bytes()
    for wrong, message in [
        (content[:-1], "found 14 bytes; expected a multiple of 5, the bytes of one event"),
        (content + nmnist_event(34, 0, 0, 0), "event 3: found x 34, y 0; expected 0 to 33"),
        (content + nmnist_event(0, 239, 0, 0), "event 3: found x 0, y 239; expected 0 to 33"),
    ]:
        path.write_bytes(wrong)
        with pytest.raises(FileError) as caught:
            load_data(f"nmnist:{tmp_path}")
        assert str(caught.value) == f"{path}: {message}"
    for file in (tmp_path / "Test").rglob("*.bin"):
        file.unlink()
    with pytest.raises(FileError, match=r"Test: holds no \.bin file in class folders 0 to 9"):
        load_data(f"nmnist:{tmp_path}")
    with pytest.raises(FileError, match="Train: no such folder; expected class folders 0 to 9"):
        load_data(f"nmnist:{tmp_path / 'Test'}")


def test_nmnist_zips_are_read_in_the_order_of_their_lists(tmp_path):
    name = f"nmnist:{nmnist_zip(tmp_path / 'n.zip')}"
    data = load_data(name, part="all", steps=15)
    assert data.labels.tolist() == [5, 0, 7]
    assert [spikes_of(data, sample) for sample in range(3)] == [[[1, 1, 3, x]] for x in (2, 1, 60001 % 34)]


def test_wrong_zips_are_told(tmp_path):
    path = nmnist_zip(tmp_path / "n.zip")
    whole = path.read_bytes()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("test2.txt", b"")
    with pytest.raises(FileError, match=r"found 2 lists test\*\.txt; expected one"):
        load_data(f"nmnist:{path}")
    for lines, message in [
        ("#\n1\tten\n", r"test1\.txt line 2: found '1\\tten'; expected a sample and a class 0 to 9"),
        ("#\n8 1\n", r"holds no 8\.bs2, which a list names"),
    ]:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("train1.txt", "#\n1 1")
            archive.writestr("1.bs2", b"12345")
            archive.writestr("test1.txt", lines)
        with pytest.raises(FileError, match=message):
            load_data(f"nmnist:{path}")
    path.write_bytes(whole[:-30])
    with pytest.raises(FileError, match="is not a readable zip file"):
        load_data(f"nmnist:{path}")
    broken = bytearray(whole)
    broken[40] ^= 255
    path.write_bytes(broken)
    with pytest.raises(FileError, match="is not a readable zip file"):
        load_data(f"nmnist:{path}", part="all")
    with pytest.raises(FileError, match="no such file"):
        load_data(f"nmnist:{tmp_path / 'none.zip'}")


def test_a_zip_cannot_claim_more_than_it_holds(tmp_path):
    path = nmnist_zip(tmp_path / "n.zip")
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02", 0, content.index(b"60001.bs2", content.index(b"PK\x01\x02")))
    content[at + 24 : at + 28] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"60001\.bs2: claims 1073741824 bytes; expected at most \d+"):
        load_data(f"nmnist:{path}")


def test_gestures_are_read(tmp_path):
    name = f"dvsgesture:{gesture_folder(tmp_path)}"
    assert data_set(name).sizes == (2, 0, 1)
    data = load_data(name, part="all", steps=3)
    assert data.shape == (2, 128, 128)
    assert data.labels.tolist() == [0, 10, 2]
    assert spikes_of(data, 0) == [[0, 1, 2, 1], [1, 0, 0, 127]]
    assert spikes_of(data, 1) == [[0, 0, 6, 6]]
    # 352 us after 2**31 are 1000 us after the start.
    assert spikes_of(load_data(name, steps=3, duration_ms=1.2), 0) == [[0, 1, 8, 7], [2, 0, 10, 9]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"#!AER-DAT2.0\r\n", "starts with b'#!AER-DAT2.0\\r\\n'; expected #!AER-DAT3.1"),
        (b"#!AER-DAT3.1\r\n#Format: RAW\r\n", "found no line #!END-HEADER in its first 65536 bytes"),
        (AEDAT_HEADER + aedat([(1, 1, 1, 1, 1)])[:-1], "byte 133: found 7 bytes; expected a packet of 1 events of 8"),
        (AEDAT_HEADER + aedat([])[:20], "byte 105: found 20 bytes; expected a packet header of 28"),
        (AEDAT_HEADER + aedat([(128, 1, 1, 1, 1)]), "found an event at x 128, y 1; expected 0 to 127"),
        (AEDAT_HEADER + aedat([(1, 1, 1, 1, 1)], size=1 << 30), "byte 133: found 8 bytes; expected a packet of 1 ev"),
        (AEDAT_HEADER + aedat([(1, 1, 1, 1, 1)], size=4), "byte 133: found polarity events of 4 bytes; expected 8"),
        (AEDAT_HEADER + aedat([(1, 1, 1, 1, 1)], size=-8), "byte 133: found 8 bytes; expected a packet of 1 events of"),
    ],
)
def test_wrong_aedat_files_are_told(tmp_path, content, message):
    path = gesture_folder(tmp_path) / "user24_lab.aedat"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        load_data(f"dvsgesture:{tmp_path}")
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("trials_to_test.txt", "../x.aedat\n", "found '../x.aedat'; expected the names of .aedat files"),
        ("trials_to_test.txt", "\n", "names no recording"),
        ("user24_lab_labels.csv", "a,b\n", "found the columns 'a,b'; expected class,startTime_usec,endTime_usec"),
        ("user24_lab_labels.csv", "", "found the columns ''; expected class,startTime_usec,endTime_usec"),
        ("user24_lab_labels.csv", "class,startTime_usec,endTime_usec\n12,1,2\n", "line 2: found '12,1,2'; expected a"),
        ("user24_lab_labels.csv", "class,startTime_usec,endTime_usec\n1,2,2\n", "line 2: found '1,2,2'; expected a cl"),
        ("user24_lab_labels.csv", "class,startTime_usec,endTime_usec\n1,2\n", "line 2: found '1,2'; expected a class"),
    ],
)
def test_wrong_lists_and_labels_are_told(tmp_path, file, text, message):
    path = gesture_folder(tmp_path) / file
    path.write_text(text)
    with pytest.raises(FileError) as caught:
        load_data(f"dvsgesture:{tmp_path}")
    assert str(caught.value).startswith(f"{path}: {message}")


def test_missing_recordings_are_told_and_parts_that_do_not_fit(tmp_path):
    place = gesture_folder(tmp_path)
    with pytest.raises(UsageError, match=r"found 1 samples x 1048576 steps x 32768 neurons; expected at most"):
        load_data(f"dvsgesture:{place}", steps=1 << 20)
    with pytest.raises(UsageError, match="encoder: found 'rate'; expected one of auto for events"):
        load_data(f"dvsgesture:{place}", encoder="rate")
    (place / "user24_lab.aedat").unlink()
    with pytest.raises(FileError, match=r"user24_lab\.aedat: no such file"):
        load_data(f"dvsgesture:{place}")
