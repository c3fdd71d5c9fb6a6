"""Posteriors over matrices of weights: what a layer owns instead of plain weights.

| family | weights | trained parameters | variance of a weight |
|---|---|---|---|
| ``bernoulli`` | -1, +1 | natural w, P(+1) = sigmoid(2 w) | 1 - tanh(w)**2 |
| ``bernoulli01`` | 0, 1 | natural w, P(1) = sigmoid(2 w) | p (1 - p) |
| ``gaussian`` | integers of 2 to 8 bits | mean of each weight, one deviation a matrix | sigma**2 |
| ``latent`` | -1, +1 | latent w, weight sign(w) | none |
"""

from bitspike.train.posteriors.base import Bits, Posterior, summed_moments
from bitspike.train.posteriors.bernoulli import Bernoulli, Bernoulli01
from bitspike.train.posteriors.divergence import Prior
from bitspike.train.posteriors.families import BERNOULLI, FAMILIES, Family
from bitspike.train.posteriors.gaussian import GaussianWeights
from bitspike.train.posteriors.latent import Latent

__all__ = [
    "BERNOULLI",
    "FAMILIES",
    "Bernoulli",
    "Bernoulli01",
    "Bits",
    "Family",
    "GaussianWeights",
    "Latent",
    "Posterior",
    "Prior",
    "summed_moments",
]
