"""An update that is recorded once and then played again, on a GPU.

An update asks a GPU for some hundred small pieces of work, and Python takes longer to ask than the GPU to do them. A
CUDA graph holds them all: the first update of a kind is made as usual, the second is recorded, and it and all that
follow with batches of the same size are played. What is played are the same kernels with the same arguments; batches
are copied to where the recorded ones lay, and a generator goes on drawing. What is not a tensor on the GPU when it is
recorded stays as it was, so that a new kind has to be begun wherever such a thing changes.
"""

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from bitspike.train.processes import Share

Batch = tuple[Tensor, Tensor]
Update = Callable[[Tensor, Tensor, Share], tuple[Tensor, Tensor]]


class Plain:
    """Makes each update when it is asked for.

    Attributes:
        generator: the one that updates draw from.
    """

    def __init__(self, device: torch.device) -> None:
        self.generator = torch.Generator(device=device)

    def begin(self, kind: Hashable) -> None:
        """Begin with updates of a kind."""

    def __call__(self, update: Update, spikes: Tensor, labels: Tensor, share: Share) -> tuple[Tensor, Tensor]:
        """Make an update; return what it does."""
        return update(spikes, labels, share)


class Replay(Plain):
    """Makes the first update of a kind, and plays those that follow.

    Attributes:
        generator: the one that updates draw from.
        played: updates that were played so far.
        refusal: why updates cannot be recorded; empty where they can.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.played = 0
        self.refusal = ""
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._kind: Hashable = None
        self._recorded: tuple[torch.cuda.CUDAGraph, Batch, Batch] | None = None
        self._shape: torch.Size | None = None

    def begin(self, kind: Hashable) -> None:
        """Begin with updates of a kind: what was recorded for another one is let go."""
        if kind != self._kind:
            self._kind, self._recorded, self._shape = kind, None, None

    def __call__(self, update: Update, spikes: Tensor, labels: Tensor, share: Share) -> tuple[Tensor, Tensor]:
        """Make an update; return what it does, two tensors that hold until the next."""
        here = torch.cuda.current_stream(spikes.device)
        self._stream.wait_stream(here)
        # All on one stream of its own: a recording may not depend on what others have been asked for.
        with torch.cuda.stream(self._stream):
            known = spikes.shape == self._shape
            if known and self._recorded is None and not self.refusal:
                self._record(update, spikes, labels, share)
            if known and self._recorded is not None:
                graph, batch, found = self._recorded
                for there, one in zip(batch, (spikes, labels), strict=True):
                    there.copy_(one)
                graph.replay()
                self.played += 1
            else:
                self._shape = self._shape or spikes.shape
                found = update(spikes, labels, share)
        here.wait_stream(self._stream)
        return found

    def _record(self, update: Update, spikes: Tensor, labels: Tensor, share: Share) -> None:
        """Record an update, which is not made; where it cannot be, updates are made as usual from then on."""
        batch = spikes.clone(), labels.clone()
        before = self.generator.get_state()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        try:
            # Other threads make batches meanwhile, and may.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                found = update(*batch, share)
        except RuntimeError as error:
            # Something that only a processor can do. A generator that was to be recorded is of no use afterwards.
            self.refusal = str(error) or type(error).__name__
            self.generator = torch.Generator(device=spikes.device)
            self.generator.set_state(before)
            return
        self._recorded = graph, batch, found


def updates_on(device: torch.device, *, alone: bool = True) -> Plain:
    """Return what makes the updates on a device; several processes would have to talk within what is recorded."""
    return Replay(device) if device.type == "cuda" and alone else Plain(device)
