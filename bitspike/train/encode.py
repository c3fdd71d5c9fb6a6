"""Random bits that stay the same for ever: a counter-based generator, and the Bernoulli encoder made from it.

Only the raw 64-bit words of Philox are used. numpy promises their stream; it does not promise the streams of its
distribution functions. The key is (seed, stream) and the counter starts at the index of the sample (or of the layer),
so the words of one sample depend neither on the order nor on the batch in which samples are asked for.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError

SEED_LIMIT = 2**63
_PROBABILITY_BITS = 32
_MANY = 1 << 18
"""So many spikes at once are made by compiled code, with the same bits."""
_MANY_ITEMS = 16
"""Words of so many items at once likewise: fewer are made before the code is read from its cache."""


class Stream(IntEnum):
    """First stream of each use of a seed; the uses never share a word.

    An epoch's number (1 or more) is added to the streams that change from epoch to epoch.
    """

    SPIKES = 0
    ORDER = 1 << 32
    NOISE = 2 << 32
    INITIAL = 3 << 32
    BITS = 4 << 32
    SPLIT = 5 << 32
    MOVES = 6 << 32
    DROPS = 12 << 32


def checked_seed(seed: int) -> int:
    """Return `seed` where it is a whole number from 0 to 2**63 - 1; raise UsageError otherwise."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < SEED_LIMIT:
        raise UsageError(f"seed: found {seed!r}; expected a whole number from 0 to 2**63 - 1")
    return int(seed)


def words(seed: int, stream: int, index: int, count: int) -> npt.NDArray[np.uint64]:
    """Return the first `count` raw words of item `index`, shape (count,)."""
    key = np.array([checked_seed(seed), stream], dtype=np.uint64)
    counter = np.array([0, 0, 0, index], dtype=np.uint64)
    raw: npt.NDArray[np.uint64] = np.random.Philox(key=key, counter=counter).random_raw(count)
    return raw


def words_of(seed: int, stream: int, indices: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.uint64]:
    """Return the first `count` raw words of each item, shape (items, count): :func:`words` for a batch."""
    if len(indices) >= _MANY_ITEMS:
        # A generator of numpy's for each item costs far more than a few words do.
        from bitspike.train.philox import words_of_items

        return words_of_items(indices, count, seed=checked_seed(seed), stream=stream)
    found = np.empty((len(indices), count), dtype=np.uint64)
    for row, index in enumerate(indices):
        found[row] = words(seed, stream, int(index), count)
    return found


def below(raw: npt.NDArray[np.uint64], probability: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return for each word whether its event of the given probability happens.

    The probability is rounded to 32 bits: a multiple of 2**-32 is met exactly, 0 never happens and 1 always does.
    """
    happens: npt.NDArray[np.bool_] = (raw >> np.uint64(64 - _PROBABILITY_BITS)) < _limits(probability)
    return happens


def _limits(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Return probabilities as multiples of 2**-32."""
    limits: npt.NDArray[np.uint64] = np.rint(probability * 2.0**_PROBABILITY_BITS).astype(np.uint64)
    return limits


def uniform(raw: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Return numbers in [0, 1) made of the 53 high bits of each word."""
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(count: int, *, seed: int, stream: int) -> npt.NDArray[np.intp]:
    """Return the numbers 0 to `count` - 1 in the order of their words."""
    return np.argsort(words(seed, stream, 0, count), kind="stable")


def bernoulli_spikes(
    intensity: npt.NDArray[np.float64],
    indices: npt.NDArray[np.intp],
    *,
    steps: int,
    seed: int,
    stream: int = Stream.SPIKES,
) -> npt.NDArray[np.uint8]:
    """Encode intensities as independent spikes with that probability in every step.

    Args:
        intensity: probability of a spike in one step, shape (samples, neurons).
        indices: index of each sample in its whole data set, shape (samples,); it sets the counter.
        steps: algorithmic time steps.
        seed: seed of the encoder.
        stream: 0 for the fixed encoding of a data set, the epoch's number for the fresh spikes of an epoch.

    Returns:
        0 or 1, shape (samples, steps, neurons).
    """
    samples, neurons = intensity.shape
    if samples * steps * neurons >= _MANY:
        # Its import takes longer than a few spikes do.
        from bitspike.train.philox import spikes_below

        return spikes_below(_limits(intensity), indices, steps=steps, seed=checked_seed(seed), stream=stream)
    spikes = np.empty((samples, steps, neurons), dtype=np.uint8)
    for row, (probability, index) in enumerate(zip(intensity, indices, strict=True)):
        raw = words(seed, stream, int(index), steps * neurons).reshape(steps, neurons)
        spikes[row] = below(raw, probability)
    return spikes
