"""The batches of an epoch, on the device that trains."""

import os
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from bitspike.train.ahead import ahead
from bitspike.train.augment import moved_images
from bitspike.train.dataset import Samples
from bitspike.train.encode import Stream, permutation
from bitspike.train.moves import fresh_spikes, moved_labels
from bitspike.train.processes import Processes, Share
from bitspike.train.recipe import Recipe

_MOST_WORKERS = 12


def batches(
    samples: Samples, recipe: Recipe, processes: Processes, *, epoch: int, see: Callable[[Samples], None] | None = None
) -> Iterator[tuple[Tensor, Tensor, Share]]:
    """Yield this process's share of each batch, in the epoch's own order.

    Args:
        samples: the training part.
        recipe: seed, size of a batch, encoder and moves.
        processes: this process, those that it trains with, and its device.
        epoch: number of the epoch, from 1.
        see: called with the samples of each share before they are spikes.

    Yields:
        Fresh spikes, float32, shape (steps, samples, neurons), labels, and the share.
    """
    seed, size, device = recipe.seed, recipe.training.batch, processes.device
    order = permutation(len(samples), seed=seed, stream=Stream.ORDER + epoch)

    def made(start: int) -> tuple[Tensor, Tensor, Share]:
        rows = order[start : start + size]
        share = processes.share(len(rows))
        if share.start == share.stop:
            # The last batch has fewer samples than there are processes: nothing to encode or move here.
            return torch.empty((0, 0, 0)), torch.empty(0, dtype=torch.int64), share
        batch = moved_images(samples.take(rows[share.start : share.stop]), recipe.data, seed=seed, epoch=epoch)
        if see is not None:
            see(batch)
        spikes = fresh_spikes(batch, recipe.data, seed=seed, epoch=epoch)
        labels = moved_labels(batch, recipe.data, seed=seed, epoch=epoch)
        found = torch.from_numpy(np.ascontiguousarray(spikes.transpose(1, 0, 2))), torch.from_numpy(labels)
        # From pinned memory a GPU takes them by itself; bits travel as bytes.
        spikes_there, labels_there = found if device.type == "cpu" else (one.pin_memory() for one in found)
        return spikes_there, labels_there, share

    # A GPU would wait for its batches; a processor has no hands free to make them before their time.
    workers = 0 if device.type == "cpu" else min(_MOST_WORKERS, max(1, (os.cpu_count() or 1) - 1))
    for spikes, labels, share in ahead(made, range(0, len(order), size), workers=workers):
        yield spikes.to(device, non_blocking=True).float(), labels.to(device, non_blocking=True), share
