"""What the compiled kernels of a noisy population, on a processor or a GPU, need beside tensors."""

from dataclasses import dataclass

from bitspike.train.estimators import IWST, Estimator
from bitspike.train.noise import Gaussian, Logistic, Noise, Silent
from bitspike.train.processes import Share
from bitspike.train.registers import Neuron
from bitspike.train.surrogates import Surrogate


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """A population's neuron, estimator and place.

    Attributes:
        neuron: decays, threshold and reset.
        estimator: one that :func:`known` knows.
        floor: standard deviation of the membrane's own noise, in weights, above 0.
        summed: whether the auxiliary sum is wanted.
        share: which samples of a batch these are, where others have the rest; None for all.
    """

    neuron: Neuron
    estimator: Estimator
    floor: float
    summed: bool
    share: Share | None

    @property
    def noise(self) -> Noise:
        """What decides a bit."""
        return self.estimator.noise

    @property
    def alpha(self) -> float:
        """Alpha of the estimator, below 0 for p; the slope of the arctangent where there is no noise."""
        if isinstance(self.estimator, Surrogate):
            return self.estimator.slope
        alpha = self.estimator.alpha if isinstance(self.estimator, IWST) else "p"
        return -1.0 if alpha == "p" else alpha


def known(estimator: Estimator) -> bool:
    """Whether there are kernels for an estimator: importance-weighted straight-through with one alpha, plain
    straight-through included, and the arctangent without noise."""
    if isinstance(estimator, Surrogate):
        return estimator.function == "atan" and isinstance(estimator.noise, Silent)
    return isinstance(estimator, IWST) and type(estimator.noise) in (Gaussian, Logistic)
