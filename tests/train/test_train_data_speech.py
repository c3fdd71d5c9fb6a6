"""Spoken digits: WAV files, the cochlea's levels, and the same spikes from both forms of the data."""

import hashlib

import numpy as np
import pytest
from dataset_files import speech_folder, tone, wav

from bitspike.errors import FileError, UsageError
from bitspike.train.cochlea import BANDS, band_powers, cochlea
from bitspike.train.data import data_set, load_data, load_samples
from bitspike.train.datasets.speech import read_wav
from bitspike.train.encoders import Encoding


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    return speech_folder(tmp_path_factory.mktemp("fsdd") / "f")


def test_recordings_are_read_and_split_by_number(spoken):
    known = data_set(f"fsdd:{spoken}")
    assert known.sizes == (10, 0, 50)
    test = load_data(f"fsdd:{spoken}", steps=20)
    assert test.labels.tolist() == [*range(10)] * 5
    assert test.spikes.shape == (50, 20, 64)
    assert test.shape == (2, BANDS)
    assert load_data(f"fsdd:{spoken / 'recordings'}", steps=20).digest() == test.digest()
    assert len(load_data(f"fsdd:{spoken}", part="validation", steps=20)) == 1


def test_an_npz_of_the_clips_gives_the_same_spikes(spoken, tmp_path):
    files = sorted((spoken / "recordings").glob("*.wav"))
    clips = [read_wav(file) for file in files]
    content = {
        "audio": np.concatenate(clips),
        "offset": np.cumsum([0, *map(len, clips)]),
        "label": np.array([int(file.stem[0]) for file in files], np.uint8),
        "speaker": np.zeros(len(files), np.uint8),
        "index": np.array([int(file.stem[-1]) for file in files], np.uint8),
        "rate": np.array(8000),
    }
    path = tmp_path / "fsdd.npz"
    np.savez_compressed(path, **content)
    for part in ("test", "validation"):
        options = {"part": part, "steps": 8, "encoder": "rate"}
        assert load_data(f"fsdd:{path}", **options).digest() == load_data(f"fsdd:{spoken}", **options).digest()
    for changed, message in [
        ({"rate": np.array(16000)}, "found int16 audio of 16000 Hz; expected int16 of 8000 Hz in one row"),
        ({"audio": content["audio"].astype(np.int32)}, "found int32 audio of 8000 Hz"),
        ({"offset": content["offset"][:-1]}, r"offset: found shape \(60,\); expected \(61\)"),
        ({"index": content["index"] * 0}, "found 60 clips with a number below 5, 0 others; expected both"),
    ]:
        np.savez(path, **(content | changed))
        with pytest.raises(FileError, match=message):
            load_data(f"fsdd:{path}")


@pytest.fixture(scope="module")
def two_speakers(tmp_path_factory):
    """Ten digits of Anna and Ben, six recordings each; every clip of Ben is a little higher and longer than Anna's."""
    place = speech_folder(tmp_path_factory.mktemp("fsdd") / "two")
    for digit in range(10):
        for number in range(6):
            content = wav(tone(350 + 300 * digit, 0.21 + 0.02 * number))
            (place / "recordings" / f"{digit}_ben_{number}.wav").write_bytes(content)
    return place


def packed(place, path, **more):
    """Write the clips of a folder as an npz; the speakers' names are those of the files."""
    files = sorted((place / "recordings").glob("*.wav"))
    names = sorted({file.stem.split("_")[1] for file in files})
    clips = [read_wav(file) for file in files]
    content = {
        "audio": np.concatenate(clips),
        "offset": np.cumsum([0, *map(len, clips)]),
        "label": np.array([int(file.stem[0]) for file in files], np.uint8),
        "speaker": np.array([names.index(file.stem.split("_")[1]) for file in files], np.uint8),
        "index": np.array([int(file.stem[-1]) for file in files], np.uint8),
        "rate": np.array(8000),
        "speakers": np.array(names),
    }
    np.savez_compressed(path, **(content | more))
    return path


def test_a_named_speaker_is_the_test_part_and_nowhere_else(two_speakers, tmp_path):
    path = packed(two_speakers, tmp_path / "fsdd.npz")
    ben = load_data(f"fsdd:{two_speakers}@ben", steps=40)
    assert data_set(f"fsdd:{two_speakers}@ben").sizes == (60, 0, 60)
    assert ben.labels.tolist() == [digit for _ in range(6) for digit in range(10)]
    learned = {part: load_data(f"fsdd:{two_speakers}@ben", part=part, steps=40) for part in ("train", "validation")}
    spoken = {one.tobytes() for one in ben.spikes}
    for part in learned.values():
        assert not spoken & {one.tobytes() for one in part.spikes}
    # Anna, the other speaker, is what Ben was trained on, and the other way round.
    anna = load_data(f"fsdd:{two_speakers}@anna", steps=40)
    heard = {one.tobytes() for part in learned.values() for one in part.spikes}
    assert heard == {one.tobytes() for one in anna.spikes}
    for part in ("train", "validation", "test"):
        options = {"part": part, "steps": 40}
        assert (
            load_data(f"fsdd:{path}@ben", **options).digest()
            == load_data(f"fsdd:{two_speakers}@ben", **options).digest()
        )
    # Without a name the parts are the published ones.
    assert data_set(f"fsdd:{two_speakers}").sizes == data_set(f"fsdd:{path}").sizes == (20, 0, 100)


def test_a_speaker_who_is_not_there_is_told(two_speakers, tmp_path):
    path = packed(two_speakers, tmp_path / "fsdd.npz")
    for place in (two_speakers, path):
        with pytest.raises(
            FileError, match="found 0 clips of the speaker 'cleo', 120 others; expected one of anna, ben"
        ):
            data_set(f"fsdd:{place}@cleo")
    packed(two_speakers, path, speakers=np.array(["anna"]))
    with pytest.raises(FileError, match="speaker: found 0 to 1; expected 0 to 0"):
        data_set(f"fsdd:{path}@anna")
    with pytest.raises(FileError, match="no such folder"):
        data_set(f"fsdd:{tmp_path / 'nowhere'}@anna")


def test_a_folder_may_have_the_sign_in_its_name(tmp_path):
    place = speech_folder(tmp_path / "with@anna")
    assert data_set(f"fsdd:{place}").sizes == (10, 0, 50)


def test_a_tone_is_loudest_in_its_band():
    loudest = [int(cochlea(tone(hertz), frames=1, duration_us=400_000)[0].argmax()) for hertz in (150, 500, 1500, 3500)]
    assert loudest == sorted(set(loudest))
    assert loudest[0] < 4
    assert loudest[-1] > 28


def test_levels_do_not_depend_on_loudness_and_silence_is_nothing():
    clip = tone(700)
    levels = cochlea(clip, frames=10, duration_us=800_000)
    assert levels.shape == (10, BANDS)
    assert levels.max() == 255
    assert not levels[6:].any()
    quiet = cochlea((clip // 8).astype(np.int16), frames=10, duration_us=800_000)
    assert np.abs(quiet.astype(int) - levels)[levels > 150].max() <= 2
    assert not cochlea(np.zeros(100, np.int16), frames=4, duration_us=800_000).any()
    assert not cochlea(np.zeros(0, np.int16), frames=4, duration_us=800_000).any()
    assert cochlea(clip, frames=200, duration_us=400_000).any(axis=1).all()


def test_all_sums_are_whole_numbers_that_float64_holds():
    loud = np.where(np.arange(4000) % 2, 32767, -32768).astype(np.int16)
    for clip in (loud, np.full(4000, -32768, np.int16), tone(1000) * 2):
        powers = band_powers(clip)
        assert powers.max() < 2**53 / 80
        assert np.array_equal(powers, np.floor(powers))


def test_the_cochlea_is_pinned():
    # Philox, not libm, makes the sound: only whole numbers of the filters can change these bits.
    clip = (np.random.Philox(key=[1, 2]).random_raw(8000) >> np.uint64(49)).astype(np.int16)
    found = hashlib.sha256(cochlea(clip, frames=32, duration_us=800_000).tobytes()).hexdigest()
    assert found == "a04f3783acf7ed428571fb44f29fb8a3287aa9493cd883490a6016be3cc81f91"


def test_series_have_encoders_of_their_own(spoken):
    name = f"fsdd:{spoken}"
    delta, rate = load_data(name, steps=16, encoder="delta"), load_data(name, steps=16, encoder="rate")
    assert rate.spikes.shape == (50, 16, 32)
    assert load_data(name, steps=16).digest() == delta.digest()
    late = load_data(name, steps=16, encoder="latency", window=4)
    assert late.spikes.reshape(50, 4, 4, 32).sum(axis=2).max() == 1
    direct = load_data(name, steps=16, encoder="direct", threshold=1.0)
    assert direct.spikes.sum(axis=(1, 2)).min() >= 1
    with pytest.raises(UsageError, match="window: found 5; expected a divisor of the 16 steps"):
        load_data(name, steps=16, encoder="latency", window=5)
    samples = load_samples(name, "test", Encoding(steps=16, encoder="rate"))
    np.testing.assert_array_equal(samples.encode(steps=16, seed=0), rate.spikes)
    with pytest.raises(UsageError, match="steps: found 8; expected 16, with which the samples were read"):
        samples.encode(steps=8, seed=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (wav([1, 2], rate=16000), "found 16000 Hz, 16 bits, 1 channels; expected 8000 Hz, 16 bits, 1"),
        (wav([1, 2], bits=8), "found 8000 Hz, 8 bits, 1 channels; expected 8000 Hz, 16 bits, 1"),
        (wav([1, 2], channels=2), "found 8000 Hz, 16 bits, 2 channels; expected 8000 Hz, 16 bits, 1"),
        (wav(range(100))[:-6], "found 194 bytes of sound; expected 200"),
        (wav(range(9000))[:100], "found 100 bytes; expected 18000 of sound"),
        (wav([1, 2])[:30], "is not a whole WAV file ("),
        (b"", "is not a whole WAV file (it ends early)"),
        (b"ID3 no wave at all", "is not a whole WAV file (file does not start with RIFF id)"),
    ],
)
def test_wrong_wav_files_are_told(tmp_path, content, message):
    path = tmp_path / "0_anna_0.wav"
    path.write_bytes(content)
    (tmp_path / "1_anna_9.wav").write_bytes(wav(tone(300)))
    with pytest.raises(FileError) as caught:
        load_data(f"fsdd:{tmp_path}")
    assert str(caught.value).startswith(f"{path}: {message}")


def test_other_chunks_of_a_wav_file_are_skipped(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav([5, -6], extra=b"LIST" + (4).to_bytes(4, "little") + b"INFO"))
    assert read_wav(tmp_path / "a.wav").tolist() == [5, -6]
    with pytest.raises(FileError, match=r"holds no WAV file with a name such as 7_jackson_32\.wav"):
        load_data(f"fsdd:{tmp_path}")
