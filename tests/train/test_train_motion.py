"""Motion as spikes: which way, from where, in which step, and that training's moves come before it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitspike.errors import UsageError
from bitspike.train.data import data_set, load_data, load_samples
from bitspike.train.data_recipe import DataRecipe
from bitspike.train.dataset import SpikeSamples
from bitspike.train.encoders import Encoding
from bitspike.train.motion import MovingSamples, with_motion
from bitspike.train.moves import fresh_spikes, moved_spikes

DOWN, UP, RIGHT, LEFT = 1, 2, 3, 4
SENSOR = (2, 5, 6)


def moving(parts: np.ndarray, *, fold: int, reach: int = 1) -> MovingSamples:
    flat = parts.reshape(*parts.shape[:2], -1)
    finer = SpikeSamples(
        bits=np.packbits(flat, axis=2),
        labels=np.zeros(len(parts), np.int64),
        indices=np.arange(len(parts)),
        shape=parts.shape[2:],
        encoding=Encoding(steps=parts.shape[1]),
    )
    return MovingSamples(finer=finer, fold=fold, reach=reach)


def random_parts(samples: int, parts: int) -> np.ndarray:
    return (np.random.default_rng(3).random((samples, parts, *SENSOR)) < 0.3).astype(np.uint8)


@pytest.mark.parametrize(
    ("start", "end", "way"),
    [((1, 2), (2, 2), DOWN), ((2, 2), (1, 2), UP), ((2, 2), (2, 3), RIGHT), ((2, 3), (2, 2), LEFT)],
)
def test_an_event_that_moves_is_seen_where_it_comes_to(start, end, way):
    parts = np.zeros((1, 2, *SENSOR), np.uint8)
    parts[0, 0, 1][start] = parts[0, 1, 1][end] = 1
    found = with_motion(parts, reach=1).reshape(2, 5, *SENSOR)
    assert np.argwhere(found[0]).tolist() == [[0, 1, *start]]
    assert np.argwhere(found[1]).tolist() == [[0, 1, *end], [way, 1, *end]]


def test_what_stays_or_lies_on_both_sides_does_not_move():
    parts = np.zeros((1, 2, *SENSOR), np.uint8)
    parts[0, :, 0, 2, 2] = 1
    assert not with_motion(parts, reach=1)[:, :, 2:].any()
    parts[0, 0, 0, 2] = [0, 1, 0, 1, 0, 0]
    assert not with_motion(parts, reach=1)[:, :, 2:].any()


@given(st.integers(1, 7))
def test_motion_is_its_definition(reach):
    parts = random_parts(2, 3)
    found = with_motion(parts, reach=reach).reshape(2, 3, 5, *SENSOR)

    def lit(sample: int, part: int, kind: int, row: int, column: int) -> bool:
        inside = part >= 0 and 0 <= row < SENSOR[1] and 0 <= column < SENSOR[2]
        return bool(inside and parts[sample, part, kind, row, column])

    ways = {DOWN: (reach, 0), UP: (-reach, 0), RIGHT: (0, reach), LEFT: (0, -reach)}
    for sample, part, kind, row, column in np.ndindex(parts.shape):
        now = lit(sample, part, kind, row, column)
        assert found[sample, part, 0, kind, row, column] == now
        for way, (down, right) in ways.items():
            came = lit(sample, part - 1, kind, row - down, column - right)
            ahead = lit(sample, part - 1, kind, row + down, column + right)
            assert found[sample, part, way, kind, row, column] == (now and came and not ahead)


def test_a_step_has_what_any_of_its_parts_has():
    parts = random_parts(2, 6)
    samples = moving(parts, fold=3)
    assert samples.shape == (10, 5, 6)
    spikes = samples.encode(steps=2, seed=0)
    assert np.array_equal(
        spikes.reshape(2, 2, 10, 5, 6), with_motion(parts, reach=1).reshape(2, 2, 3, 10, 5, 6).any(axis=2)
    )
    assert np.array_equal(samples.take(np.array([1])).encode(steps=2, seed=0), spikes[1:])


def test_training_sees_the_motion_of_what_has_moved():
    parts = random_parts(12, 6)
    samples = moving(parts, fold=3)
    pairs = tuple(range(10))
    data = DataRecipe(name="nmnist:x", steps=2, fold=3, motion=1, shift=1.0, delay=0.5, mirror=pairs, backwards=pairs)
    moved = moved_spikes(parts.reshape(12, 6, -1), samples.finer, data, seed=2, epoch=1)
    assert not np.array_equal(moved, parts.reshape(12, 6, -1))
    expected = moving(moved.reshape(parts.shape), fold=3).encode(steps=2, seed=0)
    assert np.array_equal(fresh_spikes(samples, data, seed=2, epoch=1), expected)
    still = DataRecipe(name="nmnist:x", steps=2, fold=3, motion=1)
    assert np.array_equal(fresh_spikes(samples, still, seed=2, epoch=1), samples.encode(steps=2, seed=0))


def test_a_data_set_with_motion(tmp_path):
    frames = random_parts(20, 6)
    split = np.repeat([0, 1, 2], [12, 4, 4]).astype(np.uint8)
    np.savez(tmp_path / "f.npz", counts=frames, label=(np.arange(20) % 11).astype(np.uint8), split=split)
    name = f"dvsgesture:{tmp_path / 'f.npz'}"
    found = load_data(name, part="test", steps=3, fold=2, motion=1)
    assert found.shape == (10, 5, 6)
    expected = with_motion(frames[16:], reach=1).reshape(4, 3, 2, -1).any(axis=2)
    assert np.array_equal(found.spikes, expected)
    samples = load_samples(name, "test", Encoding(steps=3, fold=2, motion=1))
    assert (samples.labels.tolist(), samples.indices.tolist()) == ([5, 6, 7, 8], [16, 17, 18, 19])
    recipe = DataRecipe(name=name, steps=3, fold=2, motion=1)
    assert data_set(name).shape_for(recipe.encoding) == (10, 5, 6)


def test_motion_is_refused_where_nothing_has_a_place(tmp_path):
    with pytest.raises(UsageError, match="motion: found 1; expected 0: stills have no events that move"):
        Encoding(motion=1).encoder_for("stills")
    np.savez(tmp_path / "f.npz", counts=np.ones((4, 3, 7), np.uint8), label=np.zeros(4, np.uint8))
    expected = r"motion: found events of shape \(7,\); expected \(polarity, height, width\)"
    with pytest.raises(UsageError, match=expected):
        load_data(f"dvsgesture:{tmp_path / 'f.npz'}", part="all", steps=3, motion=1)
    with pytest.raises(UsageError, match=expected):
        data_set(f"dvsgesture:{tmp_path / 'f.npz'}").shape_for(Encoding(motion=1))
