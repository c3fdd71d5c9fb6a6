"""Small random moves of spikes in training, after they are encoded. This module does not import torch.

What images get before they become spikes (:mod:`bitspike.train.augment`), but for the mirror, recordings get here: each
place of a sensor that is turned, zoomed and shifted about its centre reads its nearest neighbour, and nothing spikes
outside. A sample may also come earlier or later, run slower or faster, and lose spikes; and it may be seen in a mirror
or run backwards, which can make it one of another class: a left hand becomes a right one. All numbers come from the
counter-based generator, so the move of a sample depends on seed, epoch and its index alone.
"""

import math

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError
from bitspike.train.data import family
from bitspike.train.data_recipe import DROP_LEVELS, DataRecipe
from bitspike.train.dataset import Samples
from bitspike.train.encode import Stream, uniform, words_of
from bitspike.train.motion import MovingSamples

Spikes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.float64]
Chosen = npt.NDArray[np.bool_]
_NUMBERS = 8


def fresh_spikes(samples: Samples, data: DataRecipe, *, seed: int, epoch: int) -> Spikes:
    """Return the spikes of a batch as an epoch sees them, encoded anew and moved, shape (samples, steps, neurons).

    Motion is seen in what has moved: in a mirror to the other side.
    """
    stream = Stream.SPIKES + epoch
    if not isinstance(samples, MovingSamples):
        spikes = samples.encode(steps=data.steps, seed=seed, stream=stream)
        return moved_spikes(spikes, samples, data, seed=seed, epoch=epoch)
    parts = samples.finer.encode(steps=data.steps * data.fold, seed=seed, stream=stream)
    return samples.seen(moved_spikes(parts, samples.finer, data, seed=seed, epoch=epoch))


def moved_spikes(spikes: Spikes, samples: Samples, data: DataRecipe, *, seed: int, epoch: int) -> Spikes:
    """Return the spikes of a batch as an epoch sees them; the same array where the recipe moves none.

    Args:
        spikes: of the batch, 0 or 1, shape (samples, steps, neurons); each part of a step is one where the recipe has
            `motion`.
        samples: the batch, likewise.
        data: says how far what moves. Images were moved before they became spikes.
        seed: of the run.
        epoch: its number, from 1.

    Raises:
        UsageError: a shift, turn, zoom or mirror of events of a sensor without rows and columns, or events to run
            backwards of a sensor without ON and OFF.
    """
    kind = family(data.name)[0].kind
    in_space = kind != "stills" and (data.shift or data.turn or data.zoom)
    in_time = data.delay or data.stretch or data.backwards
    if not (in_space or in_time or data.mirror or data.drop):
        return spikes
    numbers = random_numbers(samples.indices, seed=seed, epoch=epoch)
    if in_space and kind == "series":
        spikes = shifted_bands(spikes, numbers[:, 0], bands=samples.shape[-1], shift=data.shift)
    elif in_space:
        spikes = turned(
            spikes, numbers[:, :4], space=_space(samples.shape), shift=data.shift, turn=data.turn, zoom=data.zoom
        )
    if data.mirror:
        width = samples.shape[-1] if kind == "stills" else _space(samples.shape)[1]
        spikes = mirrored(spikes, _happens(numbers[:, 6]), width=width)
    if in_time:
        bands = samples.shape[-1] if kind == "series" else None
        fold = 1 if data.motion else data.fold
        parts = in_parts(spikes, fold=fold, bands=bands)
        # A delay of speech counts parts, any other steps.
        delay = data.delay * (1 if kind == "series" else data.fold)
        parts = retimed(parts, numbers[:, 4:6], delay=delay, stretch=data.stretch)
        if data.backwards:
            parts = turned_back(parts, _happens(numbers[:, 7]), shape=_polar(samples.shape, fold))
        spikes = in_steps(parts, fold=fold, bands=bands)
    return thinned(spikes, samples.indices, drop=data.drop, seed=seed, epoch=epoch) if data.drop else spikes


def moved_labels(samples: Samples, data: DataRecipe, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the classes of a batch as an epoch sees it: those of its mirror images and of what runs backwards."""
    labels = samples.labels.copy()
    if data.mirror or data.backwards:
        numbers = random_numbers(samples.indices, seed=seed, epoch=epoch)
        for pairs, column in ((data.mirror, 6), (data.backwards, 7)):
            if pairs:
                labels = np.where(_happens(numbers[:, column]), np.array(pairs, dtype=np.int64)[labels], labels)
    return labels


def turned(spikes: Spikes, moves: Numbers, *, space: tuple[int, int], shift: float, turn: float, zoom: float) -> Spikes:
    """Return spikes that are shifted, turned and zoomed in space.

    Args:
        spikes: 0 or 1, shape (samples, steps, neurons); the last axes of the neurons are `space`, in C order.
        moves: how far down and right the place that is read lies, turn and zoom, from -1 to 1, shape (samples, 4).
        space: height and width of the sensor.
        shift: places of a shift of 1.
        turn: degrees of a turn of 1.
        zoom: change of scale of a zoom of 1.
    """
    samples, steps, neurons = spikes.shape
    size = math.prod(space)
    planes = np.zeros((samples, steps, neurons // size, size + 1), dtype=np.uint8)
    planes[..., :size] = spikes.reshape(samples, steps, -1, size)
    places = _places(moves, space, shift=shift, turn=turn, zoom=zoom)
    moved = np.stack([plane[..., place] for plane, place in zip(planes, places, strict=True)])
    return moved.reshape(spikes.shape)


def shifted_bands(spikes: Spikes, moves: Numbers, *, bands: int, shift: float) -> Spikes:
    """Return spikes that are shifted by whole places along the last axis of the neurons, of `bands` places."""
    moved = np.zeros_like(spikes)
    for row, by in enumerate(np.rint(moves * shift).astype(np.intp)):
        one = spikes[row].reshape(len(spikes[row]), -1, bands)
        there = moved[row].reshape(one.shape)
        there[..., max(0, by) : bands + min(0, by)] = one[..., max(0, -by) : bands - max(0, by)]
    return moved


def mirrored(spikes: Spikes, chosen: Chosen, *, width: int) -> Spikes:
    """Return spikes of which the chosen samples have left and right exchanged; the sensor has `width` columns."""
    moved = spikes.copy()
    moved[chosen] = spikes[chosen].reshape(-1, width)[:, ::-1].reshape(-1, *spikes.shape[1:])
    return moved


def in_parts(spikes: Spikes, *, fold: int, bands: int | None) -> Spikes:
    """Return spikes with each part of a step as a step, shape (samples, steps * fold, neurons of a part).

    Args:
        spikes: shape (samples, steps, neurons).
        fold: parts of a step.
        bands: of speech, of which the neurons of a step are images of `fold` rows of `bands`, in C order; None for
            events, of which they are those of the first part, then those of the next.
    """
    samples, steps, _ = spikes.shape
    if bands is not None:
        spikes = spikes.reshape(samples, steps, -1, fold, bands).swapaxes(2, 3)
    return spikes.reshape(samples, steps * fold, -1)


def in_steps(parts: Spikes, *, fold: int, bands: int | None) -> Spikes:
    """Return what :func:`in_parts` was made of."""
    samples, count, _ = parts.shape
    if bands is not None:
        parts = parts.reshape(samples, count // fold, fold, -1, bands).swapaxes(2, 3)
    return parts.reshape(samples, count // fold, -1)


def retimed(parts: Spikes, moves: Numbers, *, delay: float, stretch: float) -> Spikes:
    """Return spikes that come earlier or later and run slower or faster; what leaves the window is lost.

    Each part shows what was at its place: a sample that runs faster leaves parts out between those that it shows, and
    one that runs slower shows some twice.

    Args:
        parts: shape (samples, parts, neurons).
        moves: delay and speed, from -1 to 1, shape (samples, 2).
        delay: whole parts, rounded, of a delay of 1.
        stretch: change of speed, about the middle of the window, of a speed of 1.
    """
    length = parts.shape[1]
    middle = (length - 1) / 2
    moved = np.zeros_like(parts)
    read = np.rint((np.arange(length) - middle) * (1 + stretch * moves[:, 1, None]) + middle)
    read = (read - np.rint(moves[:, 0, None] * delay)).astype(np.intp)
    for row, places in enumerate(read):
        there = (places >= 0) & (places < length)
        moved[row, there] = parts[row, places[there]]
    return moved


def turned_back(parts: Spikes, chosen: Chosen, *, shape: tuple[int, ...]) -> Spikes:
    """Return spikes of which the chosen samples run backwards.

    What grows brighter then grows darker: ON and OFF, the first axis of `shape`, the shape of a part, are exchanged.
    """
    moved = parts.copy()
    moved[chosen] = parts[chosen][:, ::-1].reshape(-1, *shape)[:, ::-1].reshape(-1, *parts.shape[1:])
    return moved


def thinned(spikes: Spikes, indices: npt.NDArray[np.intp], *, drop: float, seed: int, epoch: int) -> Spikes:
    """Return spikes of which each is lost with probability `drop`, rounded to a multiple of 1/256."""
    size = math.prod(spikes.shape[1:])
    limit = round(drop * DROP_LEVELS)
    raw = words_of(seed, Stream.DROPS + epoch, indices, (size + 7) // 8).astype("<u8").view(np.uint8)
    return spikes & (raw[:, :size] >= limit).reshape(spikes.shape)


def random_numbers(indices: npt.NDArray[np.intp], *, seed: int, epoch: int) -> Numbers:
    """Return eight numbers from -1 to 1 for each sample of an epoch, shape (samples, 8).

    They are for down, right, turn, zoom, delay, speed, mirror and backwards. The first four are those of
    :func:`bitspike.train.augment.random_moves`.
    """
    return 2.0 * uniform(words_of(seed, Stream.MOVES + epoch, indices, _NUMBERS)) - 1.0


def _happens(numbers: Numbers) -> Chosen:
    """Return what happens to one of two samples."""
    return numbers < 0


def _polar(shape: tuple[int, ...], fold: int) -> tuple[int, ...]:
    """Return the shape of one part of a sensor (2, height, width)."""
    if len(shape) != 3 or shape[0] != 2 * fold:
        raise UsageError(f"backwards: found events of shape {shape}; expected ({2 * fold}, height, width)")
    return 2, *shape[1:]


def _space(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of a sensor (polarity, height, width)."""
    if len(shape) != 3:
        raise UsageError(
            f"shift, turn, zoom, mirror: found events of shape {shape}; expected (polarity, height, width)"
        )
    return shape[1], shape[2]


def _places(moves: Numbers, space: tuple[int, int], *, shift: float, turn: float, zoom: float) -> npt.NDArray[np.intp]:
    """Return the place that each place reads, shape (samples, height * width); height * width stands for outside."""
    height, width = space
    down, right, angle, scale = (moves[:, column, None, None] for column in range(4))
    cosine, sine = np.cos(np.deg2rad(turn) * angle), np.sin(np.deg2rad(turn) * angle)
    row = np.arange(height)[:, None] - (height - 1) / 2
    column = np.arange(width)[None, :] - (width - 1) / 2
    at_row = np.rint((cosine * row - sine * column) * (1 + zoom * scale) + shift * down + (height - 1) / 2)
    at_column = np.rint((sine * row + cosine * column) * (1 + zoom * scale) + shift * right + (width - 1) / 2)
    inside = (at_row >= 0) & (at_row < height) & (at_column >= 0) & (at_column < width)
    place = np.where(inside, at_row * width + at_column, height * width)
    return place.astype(np.intp).reshape(len(moves), -1)
