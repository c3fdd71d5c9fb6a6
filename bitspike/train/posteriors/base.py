"""What all posteriors share: one matrix of weights, its moments in training and its integers on the chip."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitspike.errors import UsageError
from bitspike.train.encode import Stream, uniform, words
from bitspike.train.posteriors.divergence import Prior
from bitspike.train.products import stacked

Bits = npt.NDArray[np.int8]


class Posterior(nn.Module, ABC):
    """A distribution over one matrix of weights.

    In training a sharpness, 1 or more, makes it narrower: it grows until the mean network is the network of the most
    probable weights, and collapsing loses nothing. An infinite one is that network itself.

    Attributes:
        family: its name in recipes and files.
        location_name: last part of the name that `location` has in files.
        location: one trained number a weight, shape (rows, columns).
    """

    family: ClassVar[str]
    location_name: ClassVar[str]

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.location = nn.Parameter(torch.zeros(rows, columns))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (targets) and columns (sources)."""
        rows, columns = self.location.shape
        return rows, columns

    @abstractmethod
    def means_and_variances(self, sharpness: float) -> tuple[Tensor, Tensor | None]:
        """Return mean and variance of each weight, with gradients.

        Returns:
            Means, shape (rows, columns); variances, the same shape, or (1, columns) where all rows share them, or None
            where the weights have no noise.
        """

    def means(self, sharpness: float) -> Tensor:
        """Return the mean of each weight alone, shape (rows, columns), with gradients."""
        return self.means_and_variances(sharpness)[0]

    def joint(self, sharpness: float, dtype: torch.dtype, *, spread: bool) -> Tensor:
        """Return means, then variances, shape (2 * rows, columns), or means alone where there are no variances.

        Args:
            sharpness: as in :meth:`means_and_variances`.
            dtype: of the result.
            spread: whether variances are wanted.
        """
        return stacked(*self.means_and_variances(sharpness), dtype) if spread else self.means(sharpness).to(dtype)

    @abstractmethod
    def fold(self, sharpness: float) -> None:
        """Take the sharpness into the parameters for good."""

    @abstractmethod
    def most_probable(self) -> Bits:
        """Return the most probable integer weights, shape (rows, columns)."""

    @abstractmethod
    def sample(self, *, seed: int, index: int) -> Bits:
        """Draw integer weights, shape (rows, columns), one Philox word a weight.

        Args:
            seed: of the draw.
            index: number of the matrix in its network, so that matrices differ.
        """

    @abstractmethod
    def kl(self, prior: Prior, *, sharpness: float = 1.0) -> Tensor:
        """Return the Kullback-Leibler divergence from the prior in nats, summed over the weights, with gradients."""

    @abstractmethod
    def check_values(self, weights: npt.NDArray[np.int64], *, name: str) -> None:
        """Raise UsageError, naming the weights, at a value that no weight of this family has."""

    def scales(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters besides `location`, by attribute."""
        return {}

    def initialise(self, *, seed: int, index: int, spread: float, scale: float) -> None:  # noqa: ARG002
        """Set locations uniformly in -spread to spread, a function of seed and index alone.

        Args:
            seed: of the initial values.
            index: number of the matrix in its network.
            spread: largest location.
            scale: deviation of a weight in units of the spread; only for families that train one.
        """
        raw = words(seed, Stream.INITIAL, index, self.location.numel())
        values = spread * (2.0 * uniform(raw) - 1.0)
        with torch.no_grad():
            self.location.copy_(torch.from_numpy(values).reshape(self.location.shape))

    def checked(self, weights: object, *, name: str) -> Bits:
        """Return integer weights as int8.

        Raises:
            UsageError: another shape, or a value that no weight of this family has.
        """
        array = np.asarray(weights)
        if array.shape != self.shape:
            raise UsageError(f"weights of {name}: found shape {array.shape}; expected {self.shape}")
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all() or not np.array_equal(array, np.trunc(array)):
            raise UsageError(f"weights of {name}: found {array.dtype} that are not whole; expected integers")
        self.check_values(array.astype(np.int64), name=name)
        return array.astype(np.int8)

    def extra_repr(self) -> str:
        """Describe the matrix in one line."""
        return f"{self.family}, {self.shape[0]} x {self.shape[1]}"


def summed_moments(
    product: Callable[[Tensor, Tensor], Tensor], spikes: Tensor, mean: Tensor, variance: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return mean and variance of the summed synaptic input (local reparameterisation, arXiv 2505.17962).

    With weights of mean M and variance V the mean is x M and the variance x**2 V; no gradient goes from the variance to
    x. Where all rows share their variances, x**2 meets one row only; where there are none, nothing.

    Args:
        product: of spikes, shape (..., inputs), and a matrix, shape (rows, columns), to (..., rows * places).
        spikes: x, shape (..., inputs).
        mean: M, shape (rows, columns).
        variance: V, as :meth:`Posterior.means_and_variances` gives it.

    Returns:
        Two tensors of shape (..., rows * places), in weights and weights squared.
    """
    sums = product(spikes, mean)
    if variance is None:
        return sums, torch.zeros_like(sums)
    spread = product(spikes.detach().square(), variance)
    if len(variance) == len(mean):
        return sums, spread
    return sums, spread.unsqueeze(-2).expand(*spread.shape[:-1], len(mean), -1).flatten(-2)
