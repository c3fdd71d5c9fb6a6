"""The Bernoulli posterior over weights of -1 and +1.

Each weight is +1 with probability sigmoid(2 w), w its natural parameter (Jang, Skatchkovsky, Simeone, arXiv
2012.08300); its mean is tanh(w) and its variance 1 - tanh(w)**2. In training w is multiplied by a sharpness that grows,
so that the mean network becomes the network of its most probable bits and collapsing loses nothing.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from bitspike.errors import UsageError
from bitspike.train.encode import Stream, below, words

Bits = npt.NDArray[np.int8]


def means_and_variances(natural: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    """Return mean mu = tanh(sharpness * w) and variance 1 - mu**2 of each weight, the shape of `natural`."""
    mu = torch.tanh(sharpness * natural)
    return mu, 1.0 - mu.square()


def local_moments(spikes: Tensor, natural: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    """Return mean and variance of the summed synaptic input (local reparameterisation).

    With mu = tanh(sharpness * w): mean = x @ mu, variance = x**2 @ (1 - mu**2), no gradient from the variance to x.

    Args:
        spikes: x, shape (..., inputs).
        natural: w, shape (neurons, inputs).
        sharpness: factor on the natural parameters.

    Returns:
        Two tensors of shape (..., neurons), in weights and weights squared.
    """
    mu, spread = means_and_variances(natural, sharpness)
    mean = functional.linear(spikes, mu)
    variance = functional.linear(spikes.detach().square(), spread)
    return mean, variance


def map_bits(natural: npt.NDArray[np.float32]) -> Bits:
    """Return the most probable weights: the sign of the natural parameter, +1 at 0."""
    return np.where(natural >= 0, 1, -1).astype(np.int8)


def sample_bits(natural: npt.NDArray[np.float32], *, seed: int, index: int) -> Bits:
    """Draw weights from the posterior: +1 with probability sigmoid(2 w), one Philox word a weight.

    Args:
        natural: w, shape (neurons, inputs).
        seed: seed of the draw.
        index: number of the weights in their network, so that they differ.
    """
    probability = 0.5 * (1.0 + np.tanh(natural.astype(np.float64)))
    raw = words(seed, Stream.BITS, index, natural.size).reshape(natural.shape)
    return np.where(below(raw, probability), 1, -1).astype(np.int8)


def checked_bits(bits: object, *, shape: tuple[int, int], name: str) -> Bits:
    """Return `bits` as int8; raise UsageError unless it is an array of -1 and +1 of the given shape."""
    array = np.asarray(bits)
    if array.shape != shape:
        raise UsageError(f"weights of {name}: found shape {array.shape}; expected {shape}")
    if not np.isin(array, (-1, 1)).all():
        raise UsageError(f"weights of {name}: found a value other than -1 and +1")
    return array.astype(np.int8)
