"""Random moves of spikes in training: where places go, what stays, and what an epoch's number changes."""

import dataclasses
import math

import numpy as np
import pytest
from dataset_files import cifar_folder
from hypothesis import given
from hypothesis import strategies as st

from bitspike.errors import UsageError
from bitspike.train.augment import random_moves
from bitspike.train.data import load_samples
from bitspike.train.data_recipe import DataRecipe
from bitspike.train.dataset import SpikeSamples
from bitspike.train.encoders import Encoding
from bitspike.train.moves import (
    fresh_spikes,
    in_parts,
    in_steps,
    mirrored,
    moved_labels,
    moved_spikes,
    random_numbers,
    retimed,
    shifted_bands,
    thinned,
    turned,
    turned_back,
)

SPACE = (5, 4)


def random_spikes(samples: int, steps: int, neurons: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 2, (samples, steps, neurons), dtype=np.uint8)


def events(spikes: np.ndarray, shape: tuple[int, ...]) -> SpikeSamples:
    return SpikeSamples(
        bits=np.packbits(spikes, axis=2),
        labels=np.zeros(len(spikes), np.int64),
        indices=np.arange(len(spikes)),
        shape=shape,
        encoding=Encoding(steps=spikes.shape[1]),
    )


def test_no_move_changes_nothing():
    spikes = random_spikes(3, 2, 40)
    assert np.array_equal(turned(spikes, np.zeros((3, 4)), space=SPACE, shift=2, turn=30, zoom=0.5), spikes)
    assert np.array_equal(retimed(spikes, np.zeros((3, 2)), delay=2, stretch=0.5), spikes)
    none = np.zeros(3, np.bool_)
    assert np.array_equal(mirrored(spikes, none, width=4), spikes)
    assert np.array_equal(turned_back(spikes, none, shape=(2, *SPACE)), spikes)
    assert np.array_equal(thinned(spikes, np.arange(3), drop=0.0, seed=0, epoch=1), spikes)


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_a_whole_shift_reads_the_neighbour_and_nothing_outside(down, right):
    spikes = random_spikes(1, 2, 40)
    found = turned(spikes, np.array([[down / 5, right / 5, 0, 0]]), space=SPACE, shift=5, turn=0, zoom=0)
    images, moved = spikes.reshape(2, 2, *SPACE), found.reshape(2, 2, *SPACE)
    for row in range(SPACE[0]):
        for column in range(SPACE[1]):
            y, x = row + down, column + right
            inside = 0 <= y < SPACE[0] and 0 <= x < SPACE[1]
            assert np.array_equal(moved[:, :, row, column], images[:, :, y, x] if inside else np.zeros((2, 2)))


def test_a_quarter_turn_turns_a_square():
    spikes = random_spikes(1, 1, 18)
    found = turned(spikes, np.array([[0, 0, 1.0, 0]]), space=(3, 3), shift=0, turn=90, zoom=0)
    assert np.array_equal(found.reshape(2, 3, 3), np.rot90(spikes.reshape(2, 3, 3), k=-1, axes=(1, 2)))


@given(st.integers(-6, 6))
def test_a_delay_moves_time_and_a_shift_moves_bands(by):
    spikes = random_spikes(1, 4, 6)
    later = retimed(spikes, np.array([[by / 6, 0]]), delay=6, stretch=0)
    for step in range(4):
        source = step - by
        assert np.array_equal(later[0, step], spikes[0, source] if 0 <= source < 4 else np.zeros(6))
    bands = min(2, max(-2, by))
    moved = shifted_bands(spikes, np.array([bands / 2]), bands=3, shift=2).reshape(4, 2, 3)
    for band in range(3):
        source = band - bands
        expected = spikes.reshape(4, 2, 3)[:, :, source] if 0 <= source < 3 else np.zeros((4, 2))
        assert np.array_equal(moved[:, :, band], expected)


@given(st.integers(-7, 7), st.integers(1, 3), st.booleans())
def test_folded_samples_come_later_by_parts_of_a_step(by, channels, speech):
    """A delay moves the recording in its parts, whatever step they are in."""
    parts = random_spikes(1, 6, channels * 2)
    steps, fold = 2, 3
    bands = 2 if speech else None
    folded = parts.reshape(1, steps, -1)
    if speech:
        folded = parts.reshape(1, steps, fold, channels, 2).swapaxes(2, 3).reshape(1, steps, -1)
    assert np.array_equal(in_parts(folded, fold=fold, bands=bands), parts)
    later = retimed(parts, np.array([[by / 7, 0]]), delay=7, stretch=0)
    for part in range(6):
        source = part - by
        expected = parts[0, source] if 0 <= source < 6 else np.zeros(channels * 2)
        assert np.array_equal(later[0, part], expected)
    assert np.array_equal(in_steps(in_parts(folded, fold=fold, bands=bands), fold=fold, bands=bands), folded)


def test_a_recording_that_runs_faster_reads_further_from_its_middle():
    parts = random_spikes(1, 9, 5)
    fast = retimed(parts, np.array([[0, 1.0]]), delay=0, stretch=1.0)
    assert np.array_equal(fast[0, 2:7], parts[0, ::2])
    assert not fast[0, :2].any()
    assert not fast[0, 7:].any()
    slow = retimed(parts, np.array([[0, -1.0]]), delay=0, stretch=0.5)
    # Halves are rounded to even places.
    assert np.array_equal(slow[0], parts[0, [2, 2, 3, 4, 4, 4, 5, 6, 6]])


def test_a_mirror_exchanges_left_and_right_of_the_chosen():
    spikes = random_spikes(2, 3, 40)
    found = mirrored(spikes, np.array([False, True]), width=4)
    assert np.array_equal(found[0], spikes[0])
    assert np.array_equal(found[1].reshape(3, 2, 5, 4), spikes[1].reshape(3, 2, 5, 4)[..., ::-1])


def test_images_are_seen_in_a_mirror_in_all_their_parts(tmp_path):
    data = DataRecipe(
        name=f"cifar10:{cifar_folder(tmp_path)}", steps=2, fold=2, encoder="burst", mirror=(1, 0, *range(2, 10))
    )
    samples = load_samples(data.name, "train", data.encoding)
    spikes = samples.encode(steps=2, seed=0)
    found = fresh_spikes(samples, data, seed=3, epoch=1)
    planes, seen = (one.reshape(len(one), 12, 32, 32) for one in (spikes, found))
    classes = moved_labels(samples, data, seed=3, epoch=1)
    chosen = random_numbers(samples.indices, seed=3, epoch=1)[:, 6] < 0
    assert 0 < chosen.sum() < len(chosen)
    for one, before, after, label, called in zip(chosen, planes, seen, samples.labels, classes, strict=True):
        assert np.array_equal(after, before[..., ::-1] if one else before)
        assert called == (data.mirror[label] if one else label)


def test_what_runs_backwards_has_on_and_off_exchanged():
    parts = random_spikes(2, 4, 40)
    found = turned_back(parts, np.array([True, False]), shape=(2, *SPACE))
    for part in range(4):
        on, off = parts[0, 3 - part].reshape(2, 20)
        assert np.array_equal(found[0, part], np.concatenate([off, on]))
    assert np.array_equal(found[1], parts[1])


def test_classes_follow_mirror_and_time():
    """Of many samples some are moved by neither, some by one of both, and some by both; spikes and classes agree."""
    data = DataRecipe(name="nmnist:x", steps=2, fold=2, mirror=(1, 0, 2, 3), backwards=(0, 1, 3, 2))
    spikes = np.zeros((60, 2, 2, 2, *SPACE), np.uint8)
    spikes[:, 0, 0, 0, 0, 0] = 1  # the first part, ON, on the left
    samples = dataclasses.replace(events(spikes.reshape(60, 2, -1), (4, *SPACE)), labels=np.arange(60) % 4)
    found = moved_spikes(spikes.reshape(60, 2, -1), samples, data, seed=5, epoch=3).reshape(spikes.shape)
    labels = moved_labels(samples, data, seed=5, epoch=3)
    kinds = set()
    for one, before, after in zip(found, samples.labels, labels, strict=True):
        (place,) = np.argwhere(one)
        reflected, reversed_ = place[-1] == 3, place[0] == 1
        assert place.tolist() == [reversed_, reversed_, reversed_, 0, 3 * reflected]
        expected = (1, 0, 2, 3)[before] if reflected else before
        assert after == ((0, 1, 3, 2)[expected] if reversed_ else expected)
        kinds.add((bool(reflected), bool(reversed_)))
    assert len(kinds) == 4
    assert samples.labels.tolist() == (np.arange(60) % 4).tolist()


def test_the_numbers_of_a_sample_do_not_depend_on_what_is_moved():
    assert np.array_equal(
        random_numbers(np.arange(3), seed=1, epoch=2)[:, :4], random_moves(np.arange(3), seed=1, epoch=2)
    )


def test_drop_loses_its_share_and_adds_nothing():
    spikes = np.ones((4, 50, 100), np.uint8)
    kept = thinned(spikes, np.arange(4), drop=0.25, seed=3, epoch=1)
    share = kept.mean()
    # 20000 draws: four standard deviations are 0.0122.
    assert abs(share - 0.75) < 0.0123
    assert not thinned(np.zeros_like(spikes), np.arange(4), drop=0.25, seed=3, epoch=1).any()
    assert not np.array_equal(kept, thinned(spikes, np.arange(4), drop=0.25, seed=3, epoch=2))


def test_a_sample_is_moved_alike_in_any_batch_and_anew_in_each_epoch():
    data = DataRecipe(name="nmnist:x", steps=6, shift=2.0, turn=10.0, zoom=0.1, delay=2.0, drop=0.2)
    spikes = random_spikes(4, 6, 40)
    samples = events(spikes, (2, *SPACE))
    first = moved_spikes(spikes, samples, data, seed=1, epoch=1)
    alone = moved_spikes(spikes[2:3], samples.take(np.array([2])), data, seed=1, epoch=1)
    assert np.array_equal(first[2:3], alone)
    assert not np.array_equal(first, moved_spikes(spikes, samples, data, seed=1, epoch=2))
    assert not np.array_equal(first, moved_spikes(spikes, samples, data, seed=2, epoch=1))
    still = DataRecipe(name="nmnist:x", steps=6)
    assert moved_spikes(spikes, samples, still, seed=1, epoch=1) is spikes


def test_events_without_rows_and_columns_are_not_turned():
    spikes = random_spikes(1, 2, 24)
    data = DataRecipe(name="braille:x.npz", steps=2, turn=5.0)
    expected = r"shift, turn, zoom, mirror: found events of shape \(12, 2\); expected \(polarity, height, width\)"
    with pytest.raises(UsageError, match=expected):
        moved_spikes(spikes, events(spikes, (12, 2)), data, seed=0, epoch=1)
    back = DataRecipe(name="braille:x.npz", steps=2, backwards=(0,))
    with pytest.raises(UsageError, match=r"backwards: found events of shape \(12, 2\); expected \(2, height, width\)"):
        moved_spikes(spikes, events(spikes, (12, 2)), back, seed=0, epoch=1)
    later = DataRecipe(name="braille:x.npz", steps=2, delay=1.0, stretch=0.5)
    assert moved_spikes(spikes, events(spikes, (12, 2)), later, seed=0, epoch=1).shape == spikes.shape


def test_speech_is_shifted_over_bands():
    spikes = random_spikes(3, 4, math.prod((2, 32)))
    data = DataRecipe(name="fsdd:x", steps=4, shift=3.0)
    found = moved_spikes(spikes, events(spikes, (2, 32)), data, seed=0, epoch=1)
    assert not np.array_equal(found, spikes)
    # A band's history stays whole wherever it goes.
    before = {tuple(one) for one in spikes[0].T}
    assert all(tuple(one) in before for one in found[0].T if any(one))
