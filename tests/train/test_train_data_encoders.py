"""Encoders: what each one says, in whole numbers, the same for ever."""

import hashlib

import numpy as np
import pytest
from dataset_files import cifar_folder
from hypothesis import given
from hypothesis import strategies as st

from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.train.data import load_data, load_samples
from bitspike.train.dataset import DataSet
from bitspike.train.encoders import Encoding, encode_levels
from bitspike.train.packing import pack_events, pack_frames


def encode(levels, encoder, *, steps, full=255, **options):
    encoding = Encoding(steps=steps, encoder=encoder, **options)
    return encode_levels(
        np.array(levels, np.uint8),
        np.arange(len(levels)),
        full=full,
        encoder=encoder,
        encoding=encoding,
        steps=steps,
        seed=0,
        stream=0,
    )


def test_digits_are_the_same_for_ever():
    data = load_data("digits", part="test", steps=16, seed=0)
    assert data.digest() == "afb1a2d8fc56fcaa353ee11a4f6d3fbe5b0194fd0e1015da598107f72a484e36"
    assert data.shape == (8, 8)
    assert load_data("digits", part="test", encoder="rate").digest() == data.digest()


@pytest.mark.parametrize(
    ("encoder", "digest"),
    [
        ("burst", "193543c7917f8b2e8c37522e2cc404f5331b879a7fcd40896cf93866feacde38"),
        ("latency", "5ac88a4dc2e81e4b3bc13386e94d579a7e00871d7e0fcea86bf2456c5319468b"),
        ("current", "0c6053815b5e942f69713443d11f656d2e20b180a15b795b0aeda2aeb34b93b0"),
        ("direct", "c8b9136013ac70fa680ab6b41f2e8d34eb8b424b606427188d0d3ff8e8c8cdf0"),
        ("rate", "de1278181350b5093ff3f06bc15dcf0ca5f32267b698bfc231975802e4cb5375"),
    ],
)
def test_the_encoders_of_images_are_pinned(encoder, digest):
    spikes = load_data("digits", part="validation", steps=8, seed=3, encoder=encoder).spikes
    assert hashlib.sha256(np.packbits(spikes).tobytes()).hexdigest() == digest


def test_current_adds_levels_up_and_starts_anew_after_a_spike():
    assert encode([[[255, 128, 86, 85, 0]]], "current", steps=6).transpose(0, 2, 1).tolist() == [
        [[0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1], [0, 0, 1, 0, 0, 1], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]]
    ]
    assert encode([[[200], [56], [0], [255]]], "current", steps=4).tolist() == [[[0], [1], [0], [0]]]


def test_latency_spikes_once_the_earlier_the_higher():
    spikes = encode([[[255, 128, 127, 1, 0]]], "latency", steps=8)
    assert spikes.sum(axis=1).tolist() == [[1, 1, 1, 1, 0]]
    assert spikes.argmax(axis=1).tolist() == [[0, 3, 4, 7, 0]]


@given(steps=st.integers(1, 300), full=st.integers(1, 255))
def test_latency_never_leaves_its_window(steps, full):
    spikes = encode([[np.arange(full + 1)]], "latency", steps=steps, full=full)[0]
    assert spikes.sum(axis=0).tolist() == [0] + [1] * full
    first = spikes[:, 1:].argmax(axis=0)
    assert first[-1] == 0
    assert (np.diff(first) <= 0).all()


def test_a_burst_is_as_long_as_its_level_is_high():
    spikes = encode([[[0, 63, 64, 127, 128, 191, 192, 255]]], "burst", steps=3)
    assert spikes.sum(axis=1).tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]]
    assert (np.diff(spikes.astype(np.int8), axis=1) <= 0).all()
    between = encode_levels(
        np.array([[[63.9, 64.0]]]),
        np.arange(1),
        full=255,
        encoder="burst",
        encoding=Encoding(),
        steps=3,
        seed=0,
        stream=0,
    )
    assert between[0, :, 0].tolist() == [0, 0, 0]
    assert between[0, :, 1].tolist() == [1, 0, 0]


@given(steps=st.integers(1, 300), full=st.integers(1, 255))
def test_bursts_divide_the_levels_equally(steps, full):
    """All lengths from none to all steps stand for as many levels, but for one more or less."""
    lengths = encode([[np.arange(full + 1)]], "burst", steps=steps, full=full)[0].sum(axis=0)
    assert (lengths[0], lengths[-1] == steps) == (0, full >= steps)
    shares = np.bincount(lengths, minlength=steps + 1)
    assert shares.max() - shares.min() <= 1


def test_latency_of_a_series_spikes_in_each_window():
    spikes = encode([[[255, 0], [1, 128]]], "latency", steps=8, window=4)
    assert np.argwhere(spikes[0]).tolist() == [[0, 0], [5, 1], [7, 0]]


def test_direct_repeats_what_reaches_the_threshold():
    assert encode([[[16, 8, 7, 0]]], "direct", steps=3, full=16).tolist() == [[[1, 1, 0, 0]] * 3]
    assert encode([[[16, 8, 7, 0]]], "direct", steps=2, full=16, threshold=0.01).tolist() == [[[1, 1, 1, 0]] * 2]
    assert encode([[[255], [127], [128]]], "direct", steps=3).tolist() == [[[1], [0], [1]]]


def test_delta_follows_by_one_change_a_step():
    series = np.array([0, 30, 60, 60, 60, 0, 0, 0]).reshape(1, 8, 1)
    spikes = encode(series, "delta", steps=8, change=20 / 255)
    assert spikes[0, :, 0].tolist() == [0, 1, 1, 1, 0, 0, 0, 0]
    assert spikes[0, :, 1].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]


def test_rate_of_a_series_has_the_probability_of_each_step():
    spikes = encode(np.repeat([[[255, 0, 51]]], 4000, axis=1), "rate", steps=4000)[0]
    assert spikes.mean(axis=0)[:2].tolist() == [1.0, 0.0]
    assert abs(spikes[:, 2].mean() - 0.2) < 0.03


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"encoder": "delta"},
            "encoder: found 'delta'; expected one of auto, rate, latency, burst, direct, current for stills",
        ),
        (
            {"encoder": "phase"},
            "encoder: found 'phase'; expected one of auto, rate, latency, burst, direct, current, delta",
        ),
        ({"threshold": 0}, "threshold: found 0; expected a number above 0 and up to 1"),
        ({"change": 1.5}, "change: found 1.5; expected a number above 0 and up to 1"),
        ({"window": 0}, "window: found 0; expected a whole number from 1 to 4096"),
        ({"duration_ms": -1}, "duration_ms: found -1; expected a number from 0 to 1e+06"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(UsageError) as caught:
        load_data("digits", **options)
    assert str(caught.value) == message


def test_images_are_held_as_bytes():
    samples = load_samples("digits", "train")
    assert samples.levels.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        samples.levels[0] = 0


def test_events_are_binned_by_whole_numbers():
    times = np.array([-1, 0, 9, 10, 99, 100], np.int64)
    bits = pack_events([(times, np.arange(6))], 1, shape=(6,), encoding=Encoding(steps=10), duration_us=100)
    assert np.argwhere(np.unpackbits(bits, axis=2, count=6)[0]).tolist() == [[0, 1], [0, 2], [1, 3], [9, 4]]


def test_more_steps_than_frames_leave_steps_empty():
    frames = np.ones((2, 3), np.uint8)
    assert np.unpackbits(pack_frames(frames, encoding=Encoding(steps=4)), axis=1, count=3).tolist() == [
        [1, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 0]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((1797, 0, 0), [1257, 180, 360]), ((60000, 0, 10000), [54000, 6000, 10000]), ((5, 6, 7), [5, 6, 7])],
)
def test_parts_are_disjoint_and_whole(sizes, expected):
    known = DataSet(kind="stills", shape=(1,), classes=2, sizes=sizes, read=None)
    rows = [known.rows(part) for part in ("train", "validation", "test")]
    assert [len(one) for one in rows] == expected
    assert np.array_equal(np.sort(np.concatenate(rows)), known.rows("all"))


def test_the_shape_of_neurons_stays_with_the_samples_and_out_of_the_digest():
    spikes, labels = np.zeros((3, 2, 6), np.uint8), np.zeros(3, np.int64)
    flat = SpikeData(name="x", spikes=spikes, labels=labels)
    deep = SpikeData(name="x", spikes=spikes, labels=labels, shape=(2, 3))
    assert flat.shape == (6,)
    assert deep.first(2).shape == (2, 3)
    assert flat.digest() == deep.digest()
    with pytest.raises(UsageError, match=r"data x: shape \(2, 2\); expected that of 6 neurons"):
        SpikeData(name="x", spikes=spikes, labels=labels, shape=(2, 2))


def test_events_are_counted_in_windows():
    """Events of 2 x 2 places are those of one neuron, and `least` of them in a step make a spike."""
    times, addresses = np.array([0, 1, 2, 50, 51]), np.array([0, 1, 5, 15, 15])
    options = {"steps": 2, "pool": 2}
    for least, expected in ((1, [[1, 0, 0, 0], [0, 0, 0, 1]]), (2, [[1, 0, 0, 0], [0, 0, 0, 1]])):
        encoding = Encoding(least=least, **options)
        bits = pack_events([(times, addresses)], 1, shape=(1, 4, 4), encoding=encoding, duration_us=100)
        assert np.unpackbits(bits[0], axis=1, count=4).tolist() == expected
    three = pack_events(
        [(times, addresses)], 1, shape=(1, 4, 4), encoding=Encoding(least=3, **options), duration_us=100
    )
    assert np.unpackbits(three[0], axis=1, count=4).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]


def test_counts_of_frames_are_added_in_windows():
    frames = np.zeros((4, 16), np.uint8)
    frames[0, 0], frames[1, 5], frames[2, 15] = 2, 1, 2
    for least, expected in ((2, [[1, 0, 0, 0], [0, 0, 0, 1]]), (3, [[1, 0, 0, 0], [0, 0, 0, 0]])):
        encoding = Encoding(steps=2, pool=2, least=least)
        packed = pack_frames(frames, encoding=encoding, shape=(1, 4, 4))
        assert np.unpackbits(packed, axis=1, count=4).tolist() == expected


@pytest.mark.parametrize("shape", [(12,), (2, 5, 4)])
def test_windows_must_fit_the_sensor(shape):
    with pytest.raises(UsageError, match="pool: found 2; expected a divisor of the rows and columns of"):
        pack_events([], 0, shape=shape, encoding=Encoding(pool=2), duration_us=1)


def test_parts_of_a_step_have_neurons_of_their_own(tmp_path):
    """Folding is a reshape of the finer steps; a sensor with channels gets more of them."""
    spikes = np.random.default_rng(0).integers(0, 2, (10, 6, 8), dtype=np.uint8)
    for shape, folded in (((2, 2, 2), (6, 2, 2)), ((8,), (3, 8))):
        path = tmp_path / f"{len(shape)}.npz"
        np.savez(path, spikes=spikes, labels=np.arange(10) % 2, shape=np.array(shape))
        finer = load_data(f"events:{path}", part="all", steps=6)
        found = load_data(f"events:{path}", part="all", steps=2, fold=3)
        assert found.shape == folded
        assert np.array_equal(found.spikes, finer.spikes.reshape(10, 2, 24))
        some = load_samples(f"events:{path}", "all", Encoding(steps=2, fold=3)).take(np.array([4, 1]))
        assert some.labels.tolist() == [0, 1]
        assert np.array_equal(some.encode(steps=2, seed=0), found.spikes[[4, 1]])


@pytest.mark.parametrize("encoder", ["rate", "burst"])
def test_images_fold_to_channels(tmp_path, encoder):
    """The neurons of a colour image's first part come first, each part with all colours; grey ones get an axis."""
    names = (("digits", (8, 8)), (f"cifar10:{cifar_folder(tmp_path)}", (3, 32, 32)))
    for name, shape in names:
        finer = load_data(name, part="all", steps=6, seed=2, encoder=encoder)
        found = load_data(name, part="all", steps=2, fold=3, seed=2, encoder=encoder)
        assert found.shape == ((9, 32, 32) if len(shape) == 3 else (3, *shape))
        assert np.array_equal(found.spikes, finer.spikes.reshape(len(finer), 2, -1))


@pytest.mark.parametrize(("encoder", "channels"), [("direct", 1), ("delta", 2)])
def test_speech_folds_to_images_of_time_and_bands(tmp_path, encoder, channels):
    path = tmp_path / "clips.npz"
    generator = np.random.default_rng(1)
    np.savez(
        path,
        audio=generator.integers(-9000, 9000, 4000 * 10, dtype=np.int16),
        offset=np.arange(11) * 4000,
        label=np.arange(10),
        speaker=np.zeros(10, dtype=np.int64),
        index=np.arange(10),
        rate=np.int64(8000),
    )
    options = {"encoder": encoder, "duration_ms": 400.0}
    finer = load_data(f"fsdd:{path}", part="all", steps=12, **options)
    found = load_data(f"fsdd:{path}", part="all", steps=3, fold=4, **options)
    assert found.shape == ((4, 32) if channels == 1 else (2, 4, 32))
    images = found.spikes.reshape(10, 3, channels, 4, 32)
    parts = finer.spikes.reshape(10, 3, 4, channels, 32)
    assert parts.any()
    for part in range(4):
        assert np.array_equal(images[:, :, :, part], parts[:, :, part])


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("stills", {"threshold": 0.9}, "threshold: found 0.9 with encoder rate of stills; expected 0.5"),
        ("stills", {"encoder": "burst", "change": 0.2}, "change: found 0.2 with encoder burst of stills; expected 0.1"),
        ("stills", {"encoder": "latency", "window": 3}, "window: found 3 with encoder latency of stills; expected 8"),
        ("stills", {"duration_ms": 9.0}, "duration_ms: found 9.0; expected 0: stills do not run in time"),
        ("series", {"window": 4}, "window: found 4 with encoder delta of series; expected 8"),
        ("events", {"threshold": 0.9}, "threshold: found 0.9 with encoder auto of events; expected 0.5"),
    ],
)
def test_options_that_the_encoder_does_not_use_are_refused(kind, options, message):
    with pytest.raises(UsageError) as caught:
        Encoding(**options).encoder_for(kind)
    assert str(caught.value) == message
