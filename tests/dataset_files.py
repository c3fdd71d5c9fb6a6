"""Small files in the true formats of published data sets, written byte by byte."""

import gzip
import struct
import zipfile

import h5py
import numpy as np


def write_idx(path, array):
    """An IDX file of unsigned bytes, packed where the name ends in .gz."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    content = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def mnist_folder(place, *, train=40, test=12, ending=""):
    """A folder in which image k has the class k % 10 and one bright row, number k % 10."""
    place.mkdir(exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        labels = np.arange(count) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        images[np.arange(count), labels * 2] = 255
        images[np.arange(count), 27, 0] = np.arange(count) % 256
        write_idx(place / f"{part}-images-idx3-ubyte{ending}", images)
        write_idx(place / f"{part}-labels-idx1-ubyte{ending}", labels)
    return place


def nmnist_event(x, y, polarity, time_us):
    """40 bits, big endian."""
    return ((x << 32) | (y << 24) | (polarity << 23) | time_us).to_bytes(5, "big")


def nmnist_folder(place):
    """Six recordings for training and three for test; recording k has one event at x = k and one at 299 999 us."""
    for part, names in (
        ("Train", [(4, 0), (1, 5), (2, 0), (3, 9), (5, 1), (6, 1)]),
        ("Test", [(2, 7), (1, 3), (3, 3)]),
    ):
        for number, label in names:
            folder = place / part / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            events = nmnist_event(number, 33, 1, 0) + nmnist_event(33, number, 0, 299_999)
            (folder / f"{number:05}.bin").write_bytes(events + nmnist_event(9, 9, 0, 300_000))
    return place


def nmnist_zip(path):
    """Recordings and lists as the shared zip of N-MNIST has them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in (1, 2, 60001):
            archive.writestr(f"{number}.bs2", nmnist_event(number % 34, 3, 1, 20_000) * 40)
        archive.writestr("train2.txt", "#sample #class\r\n2\t5\r\n1\t0\r\n")
        archive.writestr("test1.txt", "#sample #class\r\n60001\t7\r\n")
    return path


def aedat(events, *, kind=1, overflow=0, size=8):
    """One AEDAT 3.1 packet of (x, y, polarity, time, valid)."""
    body = b"".join(
        struct.pack("<Ii", x << 17 | y << 2 | polarity << 1 | valid, time) for x, y, polarity, time, valid in events
    )
    return struct.pack("<hhiiiiii", kind, 1, size, 4, overflow, len(events), len(events), len(events)) + body


AEDAT_HEADER = (
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n"
    b"#Start-Time: 2017-01-01 00:00:00 (TZ+0000)\r\n#!END-HEADER\r\n"
)


def gesture_folder(place):
    """Two recordings: two gestures for training, one for test, over a clock that runs past 31 bits in the second."""
    place.mkdir(exist_ok=True)
    first = aedat([(1, 2, 1, 1000, 1), (127, 0, 0, 1_000_999, 1), (5, 5, 1, 2000, 0), (6, 6, 0, 4_000_000, 1)])
    special = aedat([(0, 0, 0, 5, 1)], kind=0)
    (place / "user01_led.aedat").write_bytes(AEDAT_HEADER + special + first)
    (place / "user01_led_labels.csv").write_text(
        "class,startTime_usec,endTime_usec\n1,1000,2000000\n11,3999000,4500000\n"
    )
    late = aedat([(7, 8, 1, 2_147_483_000, 1)]) + aedat([(9, 10, 0, 352, 1)], overflow=1)
    (place / "user24_lab.aedat").write_bytes(AEDAT_HEADER + late)
    (place / "user24_lab_labels.csv").write_text("class,startTime_usec,endTime_usec\r\n3,2147483000,2149000000\r\n")
    (place / "trials_to_train.txt").write_text("user01_led.aedat\n")
    (place / "trials_to_test.txt").write_text("user24_lab.aedat\r\n")
    return place


def write_heidelberg(path, samples, *, times=np.float16, chunked=False, speakers=True):
    """An HDF5 file as those of SHD: lists of times and units, labels, speakers; `samples` are (times, units, label)."""
    options = {"chunks": (2,), "compression": "gzip", "shuffle": True, "maxshape": (None,)} if chunked else {}
    with h5py.File(path, "w") as file:
        for name, kind, column in (("times", times, 0), ("units", np.uint16, 1)):
            data = file.create_dataset(f"spikes/{name}", (len(samples),), h5py.vlen_dtype(kind), **options)
            for row, sample in enumerate(samples):
                data[row] = np.array(sample[column], kind)
        file["labels"] = np.array([sample[2] for sample in samples], np.uint16)
        if speakers:
            file["extra/speaker"] = np.zeros(len(samples), np.uint16)


def wav(samples, *, rate=8000, bits=16, channels=1, extra=b""):
    """A RIFF WAVE file of PCM samples."""
    data = np.asarray(samples).astype("<i2" if bits == 16 else np.uint8).tobytes()
    frame = bits // 8 * channels
    head = b"fmt " + struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * frame, frame, bits)
    body = b"WAVE" + head + extra + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tone(hertz, seconds=0.4):
    """A sine of half the full loudness."""
    return np.rint(16000 * np.sin(2 * np.pi * hertz * np.arange(int(8000 * seconds)) / 8000)).astype(np.int16)


def speech_folder(place):
    """Ten digits of one speaker, six recordings each; digit k is a tone of 200 + 300 k Hz."""
    (place / "recordings").mkdir(parents=True)
    for digit in range(10):
        for number in range(6):
            content = wav(tone(200 + 300 * digit, 0.2 + 0.02 * number))
            (place / "recordings" / f"{digit}_anna_{number}.wav").write_bytes(content)
    return place


def cifar_folder(place, *, count=8):
    """CIFAR-10's six binary batches of `count` random images each; classes come in turn."""
    place.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        records = random.integers(0, 256, (count, 1 + 3 * 32 * 32), dtype=np.uint8)
        records[:, 0] = np.arange(count) % 10
        (place / f"{name}.bin").write_bytes(records.tobytes())
    return place
