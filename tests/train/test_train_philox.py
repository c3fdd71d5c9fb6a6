"""Compiled spikes have the bits of numpy's Philox."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitspike.train import encode
from bitspike.train.philox import spikes_below, words_of_items

WORD = st.integers(0, 2**63 - 1)
LIMIT = st.one_of(st.just(0), st.just(2**32), st.integers(0, 2**32))


@settings(max_examples=60)
@given(
    st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(LIMIT, min_size=9, max_size=9), min_size=n, max_size=n)),
    st.integers(1, 9),
    st.integers(1, 7),
    WORD,
    WORD,
    st.integers(0, 2**62),
)
def test_compiled_spikes_are_those_of_numpy(limits, neurons, steps, seed, stream, first):  # noqa: PLR0917
    limit = np.array(limits, dtype=np.uint64)[:, :neurons]
    indices = np.arange(len(limit), dtype=np.intp) + first
    found = spikes_below(limit, indices, steps=steps, seed=seed, stream=stream)
    for row, index in enumerate(indices):
        raw = encode.words(seed, stream, int(index), steps * neurons).reshape(steps, neurons)
        assert np.array_equal(found[row], (raw >> np.uint64(32)) < limit[row])
    assert found.dtype == np.uint8


def test_a_large_batch_has_the_bits_of_a_small_one(monkeypatch):
    intensity = np.random.default_rng(0).random((3, 50)) * np.arange(50) / 50
    options = {"steps": 6, "seed": 7, "stream": encode.Stream.SPIKES + 2}
    small = encode.bernoulli_spikes(intensity, np.array([5, 0, 9]), **options)
    monkeypatch.setattr(encode, "_MANY", 3 * 50 * 6)
    assert np.array_equal(encode.bernoulli_spikes(intensity, np.array([5, 0, 9]), **options), small)
    assert 0 < small.sum() < small.size
    from bitspike.errors import UsageError

    with pytest.raises(UsageError, match="seed: found -1"):
        encode.bernoulli_spikes(intensity, np.arange(3), steps=6, seed=-1)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=20), st.integers(1, 9), WORD, WORD)
def test_compiled_words_are_those_of_numpy(items, count, seed, stream):
    indices = np.array(items, dtype=np.intp)
    found = words_of_items(indices, count, seed=seed, stream=stream)
    assert np.array_equal(found, [encode.words(seed, stream, item, count) for item in items])
    # A batch has them however large it is.
    assert np.array_equal(encode.words_of(seed, stream, indices, count), found)


def test_words_of_no_item_have_a_shape():
    assert encode.words_of(0, 1, np.arange(0), 4).shape == (0, 4)
