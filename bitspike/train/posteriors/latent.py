"""Latent weights: the plain straight-through network of one-bit weights, without a distribution.

The weight is sign(w), +1 at 0. The gradient passes straight to w, where `clip` is set only while |w| <= 1 (Courbariaux
and others, arXiv 1602.02830); without it this is ST-BiSNN of Jang, Skatchkovsky, Simeone (arXiv 2012.08300). There is
no weight noise, so that with the estimator ``surrogate`` and noise ``none`` training is deterministic given its data.
"""

from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bitspike.errors import UsageError
from bitspike.train.posteriors.base import Bits, Posterior
from bitspike.train.posteriors.divergence import Prior


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, clip: bool) -> Tensor:
        ctx.save_for_backward(values if clip else None)
        return torch.where(values >= 0, 1.0, -1.0).to(values.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (values,) = ctx.saved_tensors
        return (gradient if values is None else gradient * (values.abs() <= 1)), None


class Latent(Posterior):
    """Weights of -1 and +1 that are the signs of latent ones; the sharpness changes nothing.

    Attributes:
        clip: whether gradients stop where |w| is above 1.
    """

    family: ClassVar[str] = "latent"
    location_name: ClassVar[str] = "latent"

    def __init__(self, rows: int, columns: int, *, clip: bool = True) -> None:
        super().__init__(rows, columns)
        self.clip = clip

    def means_and_variances(self, sharpness: float) -> tuple[Tensor, None]:  # noqa: ARG002
        """Return the signs, without noise."""
        return cast(Tensor, _Sign.apply(self.location, self.clip)), None  # type: ignore[no-untyped-call]

    def fold(self, sharpness: float) -> None:
        """Leave the latent weights as they are."""

    def most_probable(self) -> Bits:
        """Return the signs, +1 at 0."""
        return np.where(self.location.detach().cpu().numpy() >= 0, 1, -1).astype(np.int8)

    def sample(self, *, seed: int, index: int) -> Bits:  # noqa: ARG002
        """Return the signs: there is only one network."""
        return self.most_probable()

    def kl(self, prior: Prior, *, sharpness: float = 1.0) -> Tensor:  # noqa: ARG002
        """Return 0: there is no distribution that could leave its prior."""
        return torch.zeros(())

    def check_values(self, weights: npt.NDArray[np.int64], *, name: str) -> None:
        """Refuse anything but -1 and +1."""
        if not np.isin(weights, (-1, 1)).all():
            raise UsageError(f"weights of {name}: found a value other than -1 and +1")
