"""How levels become spikes, and how time becomes steps: the encoders and their options. No torch here.

A level is a whole number from 0 to `full` (only images that training moves have levels between), so that every encoder
but ``rate`` is integer arithmetic and gives the same bits on every machine; ``rate`` draws raw words of Philox, see
:mod:`bitspike.train.encode`. Levels come as still values (one frame) or as a series of frames.

| encoder | a neuron spikes | frames of a series |
|---|---|---|
| ``rate`` | in each step with probability level / full, independently | one a step |
| ``latency`` | once in each window, the earlier the higher its level; level 0 never | one a window of `window` steps |
| ``burst`` | from the first step on in as many steps as its level says; full in all of them | images only |
| ``direct`` | in each step in which its level is at least `threshold` * full | one a step |
| ``current`` | when its levels, added up step by step since its last spike, exceed full | one a step |
| ``delta`` | when its level has moved by `change` * full since its last spike; ON and OFF neurons | one a step |

*Direct current.* Where a chip takes graded input, a pixel can be a constant current. Input here is one bit a step, and
a constant current of one bit is either nothing or a spike in every step: ``direct`` says exactly that, by a threshold
on the level, and keeps no more than that one bit of the pixel. ``current`` is what an input neuron without leak and
with a reset to zero makes of a constant current: regular spikes, the more the higher the level. Whoever wants the grey
values uses it, ``rate``, ``latency`` or ``burst``. Repeating the bits of the level in several steps was rejected: the
neuron would have to weight steps by powers of two, which it cannot.

*Folding.* Where consecutive steps are parts of one step (`fold`), each with neurons of its own, a ``burst`` is a
thermometer: the neuron of part k spikes from its own level on. A weight then tells levels apart, which over steps it
cannot, and the difference of two places is a sum with weights of +1 and -1.

*Delta* follows the level by at most one `change` a step, up (ON) or down (OFF), and starts from 0: a jump becomes a
burst. A still image does not change after its first step, so ``delta`` is refused for one.
"""

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError
from bitspike.train.encode import bernoulli_spikes
from bitspike.train.schema import check, choice, real, ruled, whole

Encoder = Literal["auto", "rate", "latency", "burst", "direct", "current", "delta"]
Kind = Literal["stills", "series", "events"]
Levels = npt.NDArray[np.uint8] | npt.NDArray[np.float64]

STEPS = whole(1, 1 << 24)
ENCODER = choice("auto", "rate", "latency", "burst", "direct", "current", "delta")
THRESHOLD = real(0, 1, above=True)
CHANGE = real(0, 1, above=True)
WINDOW = whole(1, 4096)
DURATION = real(0, 1e6)
POOL = whole(1, 1024)
LEAST = whole(1, 1 << 20)
FOLD = whole(1, 256)
MOTION = whole(0, 64)
WAYS = 4
"""Ways in which events move: down, up, right and left."""
#: What ``auto`` means; events are spikes already.
_USUAL: dict[str, Encoder] = {"stills": "rate", "series": "delta", "events": "auto"}
_KNOWN: dict[str, tuple[Encoder, ...]] = {
    "stills": ("auto", "rate", "latency", "burst", "direct", "current"),
    "series": ("auto", "rate", "latency", "direct", "current", "delta"),
    "events": ("auto",),
}
_USERS: dict[str, Encoder] = {"threshold": "direct", "change": "delta", "window": "latency"}
"""The encoders that use each option."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoding:
    """How a data set becomes spikes; everything but the seed.

    Attributes:
        steps: algorithmic time steps of a sample.
        encoder: ``auto`` is ``rate`` for images, ``delta`` for speech, and the events themselves for events.
        threshold: fraction of the full level from which ``direct`` spikes.
        change: fraction of the full level that one spike of ``delta`` stands for.
        window: steps in which ``latency`` spikes once; images use all steps as one window.
        duration_ms: how much of a recording the steps divide equally; 0 for what is usual for the data set.
        pool: events of so many rows and columns of the sensor are those of one neuron; only for events.
        least: so many events of a neuron in a step make a spike; only for events.
        fold: a step is cut into so many equal parts, each of which has neurons of its own.
        motion: places that an event moves from one part to the next to be seen as moving; a step then has neurons for
            its events and for four ways instead of those of its parts, see :mod:`bitspike.train.motion`. 0 for none;
            only for events.
    """

    steps: int = ruled(STEPS, 16)
    encoder: Literal["auto", "rate", "latency", "burst", "direct", "current", "delta"] = ruled(ENCODER, "auto")
    threshold: float = ruled(THRESHOLD, 0.5)
    change: float = ruled(CHANGE, 0.1)
    window: int = ruled(WINDOW, 8)
    duration_ms: float = ruled(DURATION, 0.0)
    pool: int = ruled(POOL, 1)
    least: int = ruled(LEAST, 1)
    fold: int = ruled(FOLD, 1)
    motion: int = ruled(MOTION, 0)

    def __post_init__(self) -> None:
        check(self)

    def encoder_for(self, kind: Kind) -> Encoder:
        """Return the encoder for data of `kind`; raise UsageError where that cannot be."""
        if self.encoder not in _KNOWN[kind]:
            raise UsageError(f"encoder: found {self.encoder!r}; expected one of {', '.join(_KNOWN[kind])} for {kind}")
        for key in ("pool", "least"):
            if kind != "events" and getattr(self, key) != 1:
                raise UsageError(f"{key}: found {getattr(self, key)}; expected 1: {kind} have no events to count")
        if kind != "events" and self.motion:
            raise UsageError(f"motion: found {self.motion}; expected 0: {kind} have no events that move")
        if kind == "stills" and self.duration_ms:
            raise UsageError(f"duration_ms: found {self.duration_ms}; expected 0: stills do not run in time")
        found = _USUAL[kind] if self.encoder == "auto" else self.encoder
        for key, user in _USERS.items():
            value, default = getattr(self, key), getattr(type(self), key)
            if value != default and (found != user or (kind, key) == ("stills", "window")):
                raise UsageError(f"{key}: found {value!r} with encoder {found} of {kind}; expected {default!r}")
        return found

    def frames(self, kind: Kind) -> int:
        """Return how many frames a sample of a series is cut into."""
        if self.encoder_for(kind) != "latency":
            return self.steps
        if self.steps % self.window:
            raise UsageError(f"window: found {self.window}; expected a divisor of the {self.steps} steps")
        return self.steps // self.window

    def duration_us(self, usual_us: int) -> int:
        """Return the duration in whole microseconds, `usual_us` where none was asked for."""
        return usual_us if self.duration_ms == 0 else max(1, round(self.duration_ms * 1000))


def encode_levels(
    levels: Levels,
    indices: npt.NDArray[np.intp],
    *,
    full: int,
    encoder: Encoder,
    encoding: Encoding,
    steps: int,
    seed: int,
    stream: int,
) -> npt.NDArray[np.uint8]:
    """Return the spikes of levels, 0 or 1, shape (samples, steps, neurons); 2 * neurons for ``delta``.

    Args:
        levels: 0 to `full`, shape (samples, frames, neurons); one frame for stills.
        indices: index of each sample in its whole data set, shape (samples,); it sets the counter of ``rate``.
        full: the level of probability 1.
        encoder: one that fits, not ``auto``.
        encoding: the options.
        steps: algorithmic time steps.
        seed: seed of ``rate``.
        stream: stream of ``rate``.
    """
    if encoder == "rate":
        return _rate(levels, indices, full=full, steps=steps, seed=seed, stream=stream)
    if encoder == "latency":
        return _latency(levels, full=full, steps=steps)
    if encoder == "burst":
        return _burst(levels, full=full, steps=steps)
    if encoder == "direct":
        fires = (levels >= encoding.threshold * full).astype(np.uint8)
        return np.repeat(fires, steps, axis=1) if fires.shape[1] == 1 else fires
    if encoder == "current":
        return _current(levels, full=full, steps=steps)
    return _delta(levels, jump=max(1, round(encoding.change * full)))


def _rate(
    levels: Levels,
    indices: npt.NDArray[np.intp],
    *,
    full: int,
    steps: int,
    seed: int,
    stream: int,
) -> npt.NDArray[np.uint8]:
    if levels.shape[1] == 1:
        return bernoulli_spikes(levels[:, 0] / full, indices, steps=steps, seed=seed, stream=stream)
    flat = levels.reshape(len(levels), -1)
    return bernoulli_spikes(flat / full, indices, steps=1, seed=seed, stream=stream).reshape(levels.shape)


def _latency(levels: Levels, *, full: int, steps: int) -> npt.NDArray[np.uint8]:
    """Step of a level in its window of w steps: (full - level) * w // full; level 1 still has one, level 0 none."""
    samples, frames, neurons = levels.shape
    window = steps // frames
    at = (full - levels.astype(np.int32)) * window // full
    steps_of_window = np.arange(window, dtype=np.int32).reshape(1, 1, -1, 1)
    spikes = at[:, :, None, :] == steps_of_window
    return spikes.astype(np.uint8).reshape(samples, steps, neurons)


def _burst(levels: Levels, *, full: int, steps: int) -> npt.NDArray[np.uint8]:
    """Spikes of a level in its first level * (w + 1) // (full + 1) of w steps, which divides 0 to `full` equally."""
    from bitspike.train.kernels.images import thermometers

    samples, _, neurons = levels.shape
    spikes = np.empty((samples, steps, neurons), dtype=np.uint8)
    thermometers(np.ascontiguousarray(levels[:, 0], dtype=np.float64), full, spikes)
    return spikes


def _current(levels: Levels, *, full: int, steps: int) -> npt.NDArray[np.uint8]:
    samples, frames, neurons = levels.shape
    spikes = np.zeros((samples, steps, neurons), dtype=np.uint8)
    summed = np.zeros((samples, neurons), dtype=np.int32 if levels.dtype.kind == "u" else np.float64)
    for step in range(steps):
        summed += levels[:, 0 if frames == 1 else step]
        fires = summed > full
        spikes[:, step] = fires
        summed[fires] = 0
    return spikes


def _delta(levels: Levels, *, jump: int) -> npt.NDArray[np.uint8]:
    samples, steps, neurons = levels.shape
    spikes = np.zeros((samples, steps, 2, neurons), dtype=np.uint8)
    followed = np.zeros((samples, neurons), dtype=np.int32)
    for step in range(steps):
        moved = levels[:, step] - followed
        up, down = moved >= jump, moved <= -jump
        spikes[:, step, 0], spikes[:, step, 1] = up, down
        followed += jump * (up.astype(np.int32) - down.astype(np.int32))
    return spikes.reshape(samples, steps, 2 * neurons)
