"""``fsdd:DIR`` and ``fsdd:FILE.npz``, or ``fsdd:DIR@SPEAKER``: the Free Spoken Digit Dataset through a cochlea.

*Folder*, as published (github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0), it or its ``recordings``: WAV
files ``7_jackson_32.wav`` (digit, speaker, number), 8 kHz, 16 bits, one channel. *npz*: ``audio`` int16 (all clips in a
row), ``offset`` (clips + 1), ``label``, ``speaker`` and ``index`` (clips), ``rate`` 8000, and optionally ``speakers``,
the names of the speakers 0, 1 and so on.

The published test part is the numbers 0 to 4. Where a speaker is named, the test part is all that this one says, and
training and validation have the other speakers alone. Samples come in the order of number, digit and speaker, the same
for both forms. Clips are not resampled: another rate is refused.
"""

import os
import re
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    """Return the digits in a folder of WAV files, or in an npz of clips; see the module's docstring."""
    place, at, unseen = path.rpartition("@")
    # A path of its own may have the sign in it.
    if not at or Path(os.path.expanduser(path)).exists():
        place, unseen = path, ""
    found = Path(os.path.expanduser(place))
    return _open_npz(found, unseen) if found.suffix == ".npz" else _open_folder(place, unseen)


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
    except (wave.Error, EOFError, OSError, RuntimeError) as error:
        # The last is of a chunk that claims to be longer than the file.
        raise FileError(path, f"is not a whole WAV file ({str(error) or 'it ends early'})") from None
    if len(content) != 2 * frames:
        raise FileError(path, f"found {len(content)} bytes of sound; expected {2 * frames}")
    return np.frombuffer(content, "<i2").astype(np.int16)


def _open_folder(path: str, unseen: str) -> DataSet:
    place = folder(path, "the folder of the WAV files, or an .npz")
    place = place / "recordings" if (place / "recordings").is_dir() else place
    found = [(match, file) for file in place.glob("*.wav") if (match := _NAME.fullmatch(file.name))]
    if not found:
        raise FileError(place, "holds no WAV file with a name such as 7_jackson_32.wav")
    keys = sorted((int(match[3]), int(match[1]), match[2], file) for match, file in found)
    numbers = np.array([key[0] for key in keys])
    return _data_set(
        _tested(numbers, np.array([key[2] for key in keys]), unseen, path),
        np.array([key[1] for key in keys], dtype=np.int64),
        lambda row: read_wav(keys[row][3]),
    )


def _open_npz(path: Path, unseen: str) -> DataSet:
    whole = dict.fromkeys(("audio", "offset", "label", "speaker", "index", "rate"), "iu")
    content = arrays(path, whole, optional={"speakers": "U"})
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
        _tested(number[order], _names(path, content)[order], unseen, path),
        labels[order],
        lambda row: audio[offsets[order[row]] : offsets[order[row] + 1]],
    )


def _names(path: Path, content: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.str_]:
    """Return the speaker of each clip: a name, or the number where the file has no names."""
    speaker = content["speaker"]
    if "speakers" not in content:
        return speaker.astype(np.str_)
    names = content["speakers"]
    expect_shape(path, "speakers", names, (None,))
    if speaker.size and not 0 <= speaker.min() <= speaker.max() < len(names):
        raise FileError(path, f"speaker: found {speaker.min()} to {speaker.max()}; expected 0 to {len(names) - 1}")
    return names[speaker]


def _tested(
    numbers: npt.NDArray[np.integer], speakers: npt.NDArray[np.str_], unseen: str, path: object
) -> npt.NDArray[np.bool_]:
    """Return which clips are the test part: the first numbers, or all of the speaker who is not to be heard before."""
    tested = speakers == unseen if unseen else numbers < TEST_NUMBERS
    test = int(tested.sum())
    learned = len(tested) - test
    if test and learned:
        return tested
    if not unseen:
        raise FileError(path, f"found {test} clips with a number below {TEST_NUMBERS}, {learned} others; expected both")
    known = ", ".join(sorted(set(speakers.tolist())))
    raise FileError(path, f"found {test} clips of the speaker {unseen!r}, {learned} others; expected one of {known}")


def _data_set(tested: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64], clip: Callable[[int], Clip]) -> DataSet:
    """Return the data set of clips in their order, those of the test part at the end."""
    order = np.r_[np.flatnonzero(~tested), np.flatnonzero(tested)]
    test = int(tested.sum())

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

    return DataSet(kind="series", shape=(BANDS,), classes=CLASSES, sizes=(len(tested) - test, 0, test), read=read)
