r"""snnTorch's surrogate gradients, as the baseline of the estimators.

The bit is 1[z + s * eps > 0] as elsewhere, and the gradient is that of a smooth step h at the noisy ratio:

    J = h'(x),   x = r + eps

so that dL/ds = -r * dL/dz holds here too. With no noise this is the usual deterministic surrogate; with logistic noise
and the sigmoid it is the straight-through Gumbel-softmax estimator at temperature 1 / slope. h' is snnTorch's own,
called and not copied; snnTorch is imported at the first use.

Without noise s decides no bit and is only the width of h'. It may then be the membranes' floor alone: the network of
the posterior's means is trained as any other network is, and the variances, half of all matrix products, are not made.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from bitspike.errors import MissingDependencyError, UsageError
from bitspike.train.estimators import Estimator
from bitspike.train.noise import Gaussian, Noise, Silent

INSTALL = "python -m pip install 'bitspike[snntorch]'"
#: What snnTorch calls the steepness of each function.
STEEPNESS = {"atan": "alpha", "fast_sigmoid": "slope", "sigmoid": "slope"}
_LARGEST_EXPONENT = 40.0


@dataclass(frozen=True, kw_only=True)
class Surrogate(Estimator):
    """A surrogate gradient of snnTorch.

    Attributes:
        function: ``atan``, ``fast_sigmoid`` or ``sigmoid``.
        slope: its steepness, per standard noise; above 0.
        noise: any, or none.
        width: what s is: ``posterior``, with the posterior's deviation; ``floor``, without it, where there is no noise.
    """

    function: str = "atan"
    slope: float = 2.0
    noise: Noise = field(default_factory=Gaussian)
    width: Literal["posterior", "floor"] = "posterior"
    uses_noise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.function not in STEEPNESS:
            raise UsageError(f"surrogate: found {self.function!r}; expected one of {', '.join(STEEPNESS)}")
        if not self.slope > 0:
            raise UsageError(f"slope: found {self.slope!r}; expected a number above 0")
        if self.width == "floor" and not isinstance(self.noise, Silent):
            raise UsageError("width: found 'floor'; expected 'posterior' where there is noise")

    @property
    def reads_variance(self) -> bool:
        """Whether s is more than the floor."""
        return self.width == "posterior"

    def check_installed(self) -> None:
        """Raise MissingDependencyError, with the command to install it, where snnTorch is missing."""
        _snntorch()

    def factor(self, ratio: Tensor, bits: Tensor, noise: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return h'(r + eps); without noise h'(r)."""
        return self.derivative(ratio if noise is None else ratio + noise)

    def derivative(self, value: Tensor) -> Tensor:
        """Return h'(value), elementwise, from snnTorch's backward pass.

        snnTorch's sigmoid divides two exponentials that both overflow in float32 where slope * |value| is above 88; the
        value is limited to a product of 40, where h' is below 1e-15.
        """
        if self.function == "sigmoid":
            limit = _LARGEST_EXPONENT / self.slope
            value = value.clamp(-limit, limit)
        with torch.enable_grad():
            point = value.detach().clone().requires_grad_()
            step = _step(self.function, self.slope)(point)
            (slope,) = torch.autograd.grad(step.sum(), point)
        return slope


@cache
def _step(function: str, slope: float) -> Callable[[Tensor], Tensor]:
    """Return snnTorch's step function with its surrogate backward pass."""
    made: Callable[[Tensor], Tensor] = getattr(_snntorch(), function)(**{STEEPNESS[function]: slope})
    return made


def _snntorch() -> Any:
    """Return the module of surrogates; raise MissingDependencyError where snnTorch is not installed."""
    try:
        return import_module("snntorch.surrogate")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{error.name} is not installed; run: {INSTALL}") from None
