"""The processes that train one network together, and what of a batch is whose.

Each process holds the whole network and the whole training part, and takes its share of every batch. What it sees does
not depend on how many there are: batches, their order, moves and spikes are functions of the seed and a sample's index,
and the noise of a batch is drawn whole in each process, which keeps the rows of its own samples. Only sums of gradients
are formed in another order, and so differ in their last bits from those of one process.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitspike.errors import EngineError

_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """The samples of a batch that one process takes, in their order.

    Attributes:
        start: number of its first sample in the batch.
        stop: number after its last.
        batch: samples in the batch.
    """

    start: int
    stop: int
    batch: int

    @property
    def weight(self) -> float:
        """Fraction of the batch."""
        return (self.stop - self.start) / self.batch

    def rows(self, whole: Tensor) -> Tensor:
        """Return what a tensor of shape (steps, batch, neurons) or (batch, neurons) holds for these samples."""
        return whole[..., self.start : self.stop, :].contiguous()


def whole(batch: int) -> Share:
    """Return all of a batch as one share."""
    return Share(start=0, stop=batch, batch=batch)


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process and the others; on its own unless a subclass says more.

    Attributes:
        rank: number of this process, from 0; only process 0 writes files and shows progress.
        count: of all processes.
        device: where this process holds the parameters.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = _CPU

    def share(self, batch: int) -> Share:
        """Return this process's share of a batch; shares differ by at most one sample, and may be empty."""
        return Share(start=batch * self.rank // self.count, stop=batch * (self.rank + 1) // self.count, batch=batch)

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, the same bits in each."""
        return values

    def wait(self) -> None:
        """Wait until every process is here."""

    def sum_gradients(self, parameters: Sequence[nn.Parameter], share: Share) -> None:
        """Replace gradients of a mean over this share by those of the mean over the batch; alone there is no work."""
        if self.count == 1:
            return
        found = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
        total = self.total(torch.cat([one.flatten() for one in found]).mul_(share.weight))
        for parameter, part in zip(parameters, torch.split(total, [one.numel() for one in found]), strict=True):
            parameter.grad = part.view_as(parameter)

    def check_equal(self, text: str, *, what: str) -> None:
        """Raise EngineError, in every process, unless all processes hold the same text."""
        if self.count == 1:
            return
        digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
        numbers = torch.zeros(self.count, dtype=torch.int64, device=self.device)
        numbers[self.rank] = digest
        found = self.total(numbers).tolist()
        others = [rank for rank, number in enumerate(found) if number != found[0]]
        if others:
            ranks = ", ".join(map(str, others))
            raise EngineError(f"{what}: found others in process {ranks} than in process 0; expected the same in all")


def fingerprint(parameters: Iterable[Tensor]) -> str:
    """Return the SHA-256 of the bytes of tensors, one after the other, in hexadecimal."""
    found = hashlib.sha256()
    for parameter in parameters:
        found.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
