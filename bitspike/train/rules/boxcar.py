"""The boxcar derivative of a spike.

With U = (v - vth) / sqrt(fan-in) the paper of :mod:`bitspike.train.rules` takes dS/dU = 1[-0.5 < U <= 0.5]. Sums of n
weights of -1 and +1 spread as sqrt(n), so U has the same spread in every layer. In weights that is

    dS/dv = 1[-width / 2 < v - vth <= width / 2] / width,   width = sqrt(fan-in)

of area 1, as every estimator's factor. It is an estimator without noise, of scale s = width.
"""

import math
from dataclasses import dataclass, field

from torch import Tensor

from bitspike.train.estimators import Estimator
from bitspike.train.layers import Layer, PoolLayer
from bitspike.train.noise import Noise, Silent


@dataclass(frozen=True)
class Boxcar(Estimator):
    """The factor J = 1[-1/2 < r <= 1/2], where r is the distance from the threshold in widths.

    Attributes:
        noise: none.
    """

    noise: Noise = field(default_factory=Silent)

    def factor(self, ratio: Tensor, bits: Tensor, noise: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return J."""
        return ((ratio > -0.5) & (ratio <= 0.5)).to(ratio.dtype)


def fan_in(layer: Layer) -> int:
    """Return how many synapses each neuron has, those at an edge of an image apart."""
    if isinstance(layer, PoolLayer):
        return layer.window.kernel**2
    return int(next(iter(layer.posteriors().values())).location.shape[1])


def boxcar_width(layer: Layer, multiple: float) -> float:
    """Return the width of a layer's boxcar in weights: `multiple` * sqrt(fan-in)."""
    return multiple * math.sqrt(fan_in(layer))
