"""Small random moves of spikes in training, after they are encoded. This module does not import torch.

What images get before they become spikes (:mod:`bitspike.train.augment`), recordings get here: each place of a sensor
that is turned, zoomed and shifted about its centre reads its nearest neighbour, and nothing spikes outside. A sample
may also come earlier or later, and lose spikes. All numbers come from the counter-based generator, so the move of a
sample depends on seed, epoch and its index alone.
"""

import math

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError
from bitspike.train.data import family
from bitspike.train.dataset import Samples
from bitspike.train.encode import Stream, uniform, words
from bitspike.train.recipe import DataRecipe

Spikes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.float64]
_LEVELS = 256


def moved_spikes(spikes: Spikes, samples: Samples, data: DataRecipe, *, seed: int, epoch: int) -> Spikes:
    """Return the spikes of a batch as an epoch sees them; the same array where the recipe moves none.

    Args:
        spikes: of the batch, 0 or 1, shape (samples, steps, neurons).
        samples: the batch.
        data: says how far what moves. Images were moved before they became spikes.
        seed: of the run.
        epoch: its number, from 1.

    Raises:
        UsageError: a shift, turn or zoom of events of a sensor without rows and columns.
    """
    kind = family(data.name)[0].kind
    in_space = kind != "stills" and (data.shift or data.turn or data.zoom)
    if not (in_space or data.delay or data.drop):
        return spikes
    numbers = random_numbers(samples.indices, seed=seed, epoch=epoch)
    if in_space and kind == "series":
        spikes = shifted_bands(spikes, numbers[:, 0], bands=samples.shape[-1], shift=data.shift)
    elif in_space:
        spikes = turned(
            spikes, numbers[:, :4], space=_space(samples.shape), shift=data.shift, turn=data.turn, zoom=data.zoom
        )
    if data.delay and kind == "series":
        spikes = delayed_parts(spikes, numbers[:, 4], parts=data.delay, fold=data.fold, bands=samples.shape[-1])
    elif data.delay:
        spikes = delayed(spikes, numbers[:, 4], steps=data.delay)
    return thinned(spikes, samples.indices, drop=data.drop, seed=seed, epoch=epoch) if data.drop else spikes


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


def delayed(spikes: Spikes, moves: Numbers, *, steps: float) -> Spikes:
    """Return spikes that come up to `steps` steps earlier or later; what leaves the window is lost.

    Args:
        spikes: shape (samples, steps, neurons).
        moves: delay in units of `steps`, from -1 to 1, shape (samples,).
        steps: of a delay of 1.
    """
    moved = np.zeros_like(spikes)
    length = spikes.shape[1]
    for row, by in enumerate(np.rint(moves * steps).astype(np.intp).clip(-length, length)):
        moved[row, max(0, by) : length + min(0, by)] = spikes[row, max(0, -by) : length - max(0, by)]
    return moved


def delayed_parts(spikes: Spikes, moves: Numbers, *, parts: float, fold: int, bands: int) -> Spikes:
    """Return speech that comes up to `parts` parts of a step earlier or later; a step has `fold` parts.

    Args:
        spikes: shape (samples, steps, neurons); the neurons of a step are images of `fold` rows of `bands`, in C order.
        moves: delay in units of `parts`, from -1 to 1, shape (samples,).
        parts: of a delay of 1.
        fold: parts of a step.
        bands: of a part.
    """
    samples, steps, neurons = spikes.shape
    images = spikes.reshape(samples, steps, -1, fold, bands).swapaxes(2, 3)
    moved = delayed(images.reshape(samples, steps * fold, -1), moves, steps=parts)
    return moved.reshape(samples, steps, fold, -1, bands).swapaxes(2, 3).reshape(samples, steps, neurons)


def thinned(spikes: Spikes, indices: npt.NDArray[np.intp], *, drop: float, seed: int, epoch: int) -> Spikes:
    """Return spikes of which each is lost with probability `drop`, rounded to a multiple of 1/256."""
    size = math.prod(spikes.shape[1:])
    limit = round(drop * _LEVELS)
    kept = np.empty_like(spikes)
    for row, index in enumerate(indices):
        raw = words(seed, Stream.DROPS + epoch, int(index), (size + 7) // 8).astype("<u8").view(np.uint8)
        kept[row] = spikes[row] & (raw[:size] >= limit).reshape(spikes.shape[1:])
    return kept


def random_numbers(indices: npt.NDArray[np.intp], *, seed: int, epoch: int) -> Numbers:
    """Return five numbers from -1 to 1 for each sample of an epoch, shape (samples, 5): down, right, turn, zoom, time.

    The first four are those of :func:`bitspike.train.augment.random_moves`.
    """
    drawn = [2.0 * uniform(words(seed, Stream.MOVES + epoch, int(index), 5)) - 1.0 for index in indices]
    return np.array(drawn).reshape(len(indices), 5)


def _space(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of a sensor (polarity, height, width)."""
    if len(shape) != 3:
        raise UsageError(f"shift, turn, zoom: found events of shape {shape}; expected (polarity, height, width)")
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
