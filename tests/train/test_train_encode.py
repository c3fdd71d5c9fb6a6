"""The encoder's bits never change: pinned words, pinned spikes, no dependence on order or part."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitspike.errors import UsageError
from bitspike.train.data import KNOWN, PARTS, data_set, load_data, load_samples
from bitspike.train.encode import Stream, below, bernoulli_spikes, permutation, words


def test_raw_words_are_those_of_philox_with_key_and_counter():
    assert words(0, 0, 0, 2).tolist() == GOLDEN_ZERO
    assert words(1, 2, 5, 2).tolist() == GOLDEN_OTHER


GOLDEN_ZERO = [213000021201967259, 4455796210202625458]
GOLDEN_OTHER = [17153386023422792189, 9441044662824465068]


def test_digits_spikes_are_pinned():
    data = load_data("digits", part="all", steps=16, seed=0)
    assert data.spikes.shape == (1797, 16, 64)
    found = hashlib.sha256(np.packbits(data.spikes).tobytes() + data.labels.tobytes()).hexdigest()
    assert found == "c4eb8d491dae11bc9999cbfcdd46b57f95f642be9364c756c14c6ad37a7c57e9"


def test_split_is_fixed_disjoint_and_whole():
    rows = {part: data_set("digits").rows(part) for part in PARTS}
    assert [len(rows[part]) for part in PARTS] == [1257, 180, 360, 1797]
    together = np.concatenate([rows["train"], rows["validation"], rows["test"]])
    assert np.array_equal(np.sort(together), rows["all"])
    assert rows["test"][:8].tolist() == [934, 586, 1756, 1278, 1371, 487, 1463, 1641]


def test_spikes_of_a_sample_do_not_depend_on_order_batch_or_part():
    whole = load_data("digits", part="all", seed=3).spikes
    for part in PARTS[:3]:
        assert np.array_equal(load_data("digits", part=part, seed=3).spikes, whole[data_set("digits").rows(part)])
    samples = load_samples("digits", "test")
    some = samples.take(np.array([7, 0, 3]))
    assert np.array_equal(some.encode(steps=5, seed=1, stream=9), samples.encode(steps=5, seed=1, stream=9)[[7, 0, 3]])


def test_seeds_and_streams_differ():
    first = load_data("digits", seed=0)
    assert not np.array_equal(first.spikes, load_data("digits", seed=1).spikes)
    samples = load_samples("digits", "test")
    assert not np.array_equal(samples.encode(steps=16, seed=0, stream=1), first.spikes)
    assert len(set(Stream)) == len(Stream)


def test_a_pixel_of_sixteen_always_spikes_and_of_zero_never():
    intensity = np.array([[0.0, 1.0, 0.5]])
    spikes = bernoulli_spikes(intensity, np.array([0]), steps=4000, seed=0)[0]
    assert spikes[:, 0].sum() == 0
    assert spikes[:, 1].sum() == 4000
    assert abs(spikes[:, 2].mean() - 0.5) < 0.04


@given(value=st.integers(0, 16))
def test_multiples_of_a_sixteenth_are_met_exactly(value):
    edge = (value << 60) - 1
    raw = np.array([max(edge, 0), min(edge + 1, 2**64 - 1)], dtype=np.uint64)
    happens = below(raw, np.full(2, value / 16))
    assert happens.tolist() == [value > 0, value == 16]


@given(count=st.integers(1, 200), seed=st.integers(0, 2**63 - 1))
def test_permutation_holds_every_number_once(count, seed):
    assert sorted(permutation(count, seed=seed, stream=1).tolist()) == list(range(count))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "letters"}, f"data: found 'letters'; expected one of {KNOWN}"),
        ({"name": "digits", "part": "dev"}, "part: found 'dev'; expected one of train, validation, test, all"),
        ({"name": "digits", "steps": 0}, "steps: found 0; expected a whole number, 1 or more"),
        ({"name": "digits", "steps": 2.5}, "steps: found 2.5; expected a whole number, 1 or more"),
        ({"name": "digits", "seed": -1}, "seed: found -1; expected a whole number from 0 to 2**63 - 1"),
        ({"name": "digits", "seed": True}, "seed: found True; expected a whole number from 0 to 2**63 - 1"),
    ],
)
def test_wrong_arguments_are_told(arguments, message):
    with pytest.raises(UsageError) as caught:
        load_data(**arguments)
    assert str(caught.value) == message


def test_data_and_recipes_do_not_import_torch():
    code = (
        "import sys, bitspike.train, bitspike.train.recipe\n"
        "from bitspike.train.data import load_data\n"
        "from bitspike.train import load_recipe\n"
        "load_data('digits')\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
