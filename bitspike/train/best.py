"""What training remembers of the epoch that was best on the validation part."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Best:
    """The epoch of the best accuracy on the validation part so far.

    Attributes:
        epoch: its number.
        accuracy: of the most probable bits.
        state: the network's parameters after it; empty where the recipe keeps the last epoch.
    """

    epoch: int
    accuracy: float
    state: dict[str, Tensor]
