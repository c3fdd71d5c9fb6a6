"""``fsdd:DIR`` and ``fsdd:FILE.npz``: the Free Spoken Digit Dataset through a cochlea.

*Folder*, as published (github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0), it or its ``recordings``: WAV
files ``7_jackson_32.wav`` (digit, speaker, number), 8 kHz, 16 bits, one channel. *npz*: ``audio`` int16 (all clips in a
row), ``offset`` (clips + 1), ``label``, ``speaker`` and ``index`` (clips), ``rate`` 8000.

The published test part is the numbers 0 to 4. Samples come in the order of number, digit and speaker, the same for both
forms. Clips are not resampled: another rate is refused.
"""

import os
import re
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.errors import FileError
from bitspike.train.cochlea import BANDS, RATE_HZ, cochlea
from bitspike.train.dataset import DataSet, LevelSamples, Rows, checked_labels
from bitspike.train.datasets.binary import folder
from bitspike.train.datasets.events import checked_offsets
from bitspike.train.datasets.npz import arrays, expect_shape
from bitspike.train.encoders import Encoding
from bitspike.train.packing import check_size

CLASSES = 10
USUAL_US = 800_000
TEST_NUMBERS = 5
_NAME = re.compile(r"([0-9])_([A-Za-z]+)_([0-9]{1,6})\.wav")

Clip = npt.NDArray[np.int16]


def open_fsdd(path: str) -> DataSet:
    """Return the digits in a folder of WAV files, or in an npz of clips."""
    found = Path(os.path.expanduser(path))
    return _open_npz(found) if found.suffix == ".npz" else _open_folder(path)


def read_wav(path: Path) -> Clip:
    """Return the clip in a WAV file of 8 kHz, 16 bits and one channel.

    The standard library reads it: :mod:`scipy.io.wavfile` warns of harmless chunks, and of files that end early.
    """
    try:
        with wave.open(str(path), "rb") as file:
            rate, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
            if (rate, width, channels) != (RATE_HZ, 2, 1):
                raise FileError(
                    path,
                    f"found {rate} Hz, {8 * width} bits, {channels} channels; expected {RATE_HZ} Hz, 16 bits, 1",
                )
            frames = file.getnframes()
            if 2 * frames > path.stat().st_size:
                raise FileError(path, f"found {path.stat().st_size} bytes; expected {2 * frames} of sound")
            content = file.readframes(frames)
    except (wave.Error, EOFError, OSError) as error:
        raise FileError(path, f"is not a whole WAV file ({str(error) or 'it ends early'})") from None
    if len(content) != 2 * frames:
        raise FileError(path, f"found {len(content)} bytes of sound; expected {2 * frames}")
    return np.frombuffer(content, "<i2").astype(np.int16)


def _open_folder(path: str) -> DataSet:
    place = folder(path, "the folder of the WAV files, or an .npz")
    place = place / "recordings" if (place / "recordings").is_dir() else place
    found = [(match, file) for file in place.glob("*.wav") if (match := _NAME.fullmatch(file.name))]
    if not found:
        raise FileError(place, "holds no WAV file with a name such as 7_jackson_32.wav")
    keys = sorted((int(match[3]), int(match[1]), match[2], file) for match, file in found)
    return _data_set(
        np.array([key[0] for key in keys]),
        np.array([key[1] for key in keys], dtype=np.int64),
        lambda row: read_wav(keys[row][3]),
        path,
    )


def _open_npz(path: Path) -> DataSet:
    content = arrays(path, dict.fromkeys(("audio", "offset", "label", "speaker", "index", "rate"), "iu"))
    labels = checked_labels(path, content["label"], CLASSES)
    audio, speaker, number = content["audio"], content["speaker"], content["index"]
    for name, array in (("speaker", speaker), ("index", number)):
        expect_shape(path, name, array, labels.shape)
    expect_shape(path, "rate", content["rate"], ())
    if audio.dtype != np.int16 or audio.ndim != 1 or int(content["rate"]) != RATE_HZ:
        raise FileError(
            path, f"found {audio.dtype} audio of {int(content['rate'])} Hz; expected int16 of {RATE_HZ} Hz in one row"
        )
    offsets = checked_offsets(path, "offset", content["offset"], samples=len(labels), events=len(audio))
    order = np.lexsort((speaker, labels, number))
    return _data_set(
        number[order], labels[order], lambda row: audio[offsets[order[row]] : offsets[order[row] + 1]], path
    )


def _data_set(
    numbers: npt.NDArray[np.integer], labels: npt.NDArray[np.int64], clip: Callable[[int], Clip], path: object
) -> DataSet:
    """Return the data set of clips in the order of their numbers; the first ones are the test part."""
    test = int((numbers < TEST_NUMBERS).sum())
    learned = len(labels) - test
    if not test or not learned:
        raise FileError(path, f"found {test} clips with a number below {TEST_NUMBERS}, {learned} others; expected both")
    order = np.r_[test : len(labels), 0:test]

    def read(rows: Rows, encoding: Encoding) -> LevelSamples:
        frames = encoding.frames("series")
        check_size(len(rows), frames, BANDS)
        levels = np.empty((len(rows), frames, BANDS), dtype=np.uint8)
        duration_us = encoding.duration_us(USUAL_US)
        for at, row in enumerate(order[rows]):
            levels[at] = cochlea(clip(int(row)), frames=frames, duration_us=duration_us)
        return LevelSamples(
            levels=levels,
            full=255,
            labels=labels[order[rows]],
            indices=rows,
            kind="series",
            sensor=(BANDS,),
            encoding=encoding,
        )

    return DataSet(kind="series", shape=(BANDS,), classes=CLASSES, sizes=(learned, 0, test), read=read)
