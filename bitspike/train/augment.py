"""Small random moves of images, made before they become spikes. This module does not import torch.

Each image is turned, zoomed and shifted about its centre, and read between its pixels bilinearly; outside it is 0. The
numbers come from the counter-based generator, so an image's move depends on seed, epoch and its index alone.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitspike.train.data_recipe import DataRecipe
from bitspike.train.dataset import FoldedSamples, LevelSamples, Samples
from bitspike.train.encode import Stream, uniform, words_of

Intensity = npt.NDArray[np.float64]


def moved_images(samples: Samples, data: DataRecipe, *, seed: int, epoch: int) -> Samples:
    """Return a batch with its images as they are moved in an epoch; the same where a recipe moves none.

    Args:
        samples: the batch; what are no images stay as they are.
        data: says how far what moves.
        seed: of the run.
        epoch: its number, from 1.
    """
    if isinstance(samples, FoldedSamples):
        return replace(samples, finer=moved_images(samples.finer, data, seed=seed, epoch=epoch))
    if data.shift == data.turn == data.zoom == 0 or not isinstance(samples, LevelSamples) or samples.kind != "stills":
        return samples
    height, width = samples.sensor[-2:]
    images = (samples.levels / samples.full).reshape(-1, height, width)
    moves = random_moves(samples.indices, seed=seed, epoch=epoch)
    # The planes of a colour image move together.
    moves = np.repeat(moves, len(images) // len(samples), axis=0)
    if data.turn == data.zoom == 0:
        images = shifted(images, moves, shift=data.shift)
    else:
        images = moved(images, moves, shift=data.shift, turn=data.turn, zoom=data.zoom)
    return replace(samples, levels=images.reshape(samples.levels.shape) * samples.full)


def moved(images: Intensity, moves: Intensity, *, shift: float, turn: float, zoom: float) -> Intensity:
    """Return moved images.

    Args:
        images: shape (samples, height, width).
        moves: how far down and right the place that is read lies, turn and zoom, from -1 to 1, shape (samples, 4).
        shift: pixels of a shift of 1.
        turn: degrees of a turn of 1.
        zoom: change of scale of a zoom of 1.
    """
    samples, height, width = images.shape
    down, right, angle, scale = (moves[:, column, None, None] for column in range(4))
    cosine, sine = np.cos(np.deg2rad(turn) * angle), np.sin(np.deg2rad(turn) * angle)
    row = np.arange(height)[:, None] - (height - 1) / 2
    column = np.arange(width)[None, :] - (width - 1) / 2
    # One pixel of margin, so that what lies outside is 0 and every place has four neighbours.
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    at_row = (cosine * row - sine * column) * (1 + zoom * scale) + shift * down + (height + 1) / 2
    at_column = (sine * row + cosine * column) * (1 + zoom * scale) + shift * right + (width + 1) / 2
    at_row, at_column = at_row.clip(0, height + 1), at_column.clip(0, width + 1)
    top = np.minimum(np.floor(at_row).astype(np.intp), height)
    left = np.minimum(np.floor(at_column).astype(np.intp), width)
    below, beside = at_row - top, at_column - left
    sample = np.arange(samples)[:, None, None]
    upper = (1 - beside) * padded[sample, top, left] + beside * padded[sample, top, left + 1]
    lower = (1 - beside) * padded[sample, top + 1, left] + beside * padded[sample, top + 1, left + 1]
    return ((1 - below) * upper + below * lower).clip(0.0, 1.0)


def shifted(images: Intensity, moves: Intensity, *, shift: float) -> Intensity:
    """Return images that are only shifted, bit for bit as :func:`moved` does it: columns first, then rows.

    Args:
        images: shape (samples, height, width).
        moves: how far down and right the place that is read lies, from -1 to 1, shape (samples, 2 or more).
        shift: pixels of a shift of 1.
    """
    from bitspike.train.kernels.images import shift as shift_images

    _, height, width = images.shape
    moved_ones = np.empty(images.shape)
    top, below = _between(height, shift * moves[:, 0])
    left, beside = _between(width, shift * moves[:, 1])
    shift_images(np.ascontiguousarray(images, np.float64), top, below, left, beside, moved_ones)
    return moved_ones


def _between(size: int, shifts: Intensity) -> tuple[npt.NDArray[np.intp], Intensity]:
    """Return for each place of an axis, with a margin of one, the place that it reads and how far beyond it."""
    at = (np.arange(size) - (size - 1) / 2 + shifts[:, None] + (size + 1) / 2).clip(0, size + 1)
    first = np.minimum(np.floor(at).astype(np.intp), size)
    return first, at - first


def random_moves(indices: npt.NDArray[np.intp], *, seed: int, epoch: int) -> Intensity:
    """Return four numbers from -1 to 1 for each sample of an epoch, shape (samples, 4)."""
    return 2.0 * uniform(words_of(seed, Stream.MOVES + epoch, indices, 4)) - 1.0
