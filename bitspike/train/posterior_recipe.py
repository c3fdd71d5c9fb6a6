"""The posterior's part of a recipe. No torch here."""

import dataclasses
from typing import Literal

from bitspike.errors import UsageError
from bitspike.train.schema import Checked, Rule, choice, flag, real, ruled, whole


def _within(value: object) -> bool:
    """Whether `value` is a probability that leaves both outcomes possible."""
    return isinstance(value, float) and 0 < value < 1


_USERS = {
    "prior": ("bernoulli", "bernoulli01"),
    "prior_scale": ("gaussian",),
    "kl": ("bernoulli", "bernoulli01", "gaussian"),
    "bits": ("gaussian",),
    "mean": ("gaussian",),
    "scale": ("gaussian",),
    "scale_rate": ("gaussian",),
    "clip": ("latent",),
    "natural": ("bernoulli", "bernoulli01"),
}
"""The families that use each setting."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PosteriorRecipe(Checked):
    """The posterior of all weights. A setting that its `family` does not use is refused unless it has its default.

    Attributes:
        family: ``bernoulli`` has weights of -1 and +1, ``bernoulli01`` of 0 and 1; ``gaussian`` has a mean for each
            weight, rounded to an integer in the forward pass, and one deviation a matrix; ``latent`` is the sign of a
            latent weight, without noise. ``gaussian`` divides its deviation by the sharpness, ``latent`` ignores it.
        prior: probability of a 1 under the prior of a one-bit weight.
        prior_scale: deviation of the prior of a ``gaussian`` weight, in weights; 0 for each weight's own best.
        kl: factor of the divergence from the prior, in nats. The loss is a mean over samples, so the divergence is
            divided by the number of training samples: 1 is the variational posterior, less is a colder one. A finish,
            whose network is certain, has none.
        bits: of the integer weights of ``gaussian``, -2**(bits - 1) to 2**(bits - 1) - 1.
        mean: means of ``gaussian`` start uniformly in -mean to mean, in weights, instead of ``training.spread``; 16,
            the default, stands for half of the smallest integer's magnitude where that is less: 1 with 2 bits.
        scale: deviation of ``gaussian`` at the start, in units of `mean`; 0.5 makes the mean of mu**2 / sigma**2 4/3.
        scale_rate: learning rate of rho, deviation = softplus(rho), in units of that of the means; estimators with
            noise train it.
        clip: whether gradients of ``latent`` stop where a latent weight is above 1 in magnitude.
        natural: whether natural parameters take the gradient to the mean, a natural gradient, which does not vanish
            where a weight is nearly certain.
    """

    family: Literal["bernoulli", "bernoulli01", "gaussian", "latent"] = ruled(
        choice("bernoulli", "bernoulli01", "gaussian", "latent"), "bernoulli"
    )
    prior: float = ruled(Rule("a number above 0 and below 1", _within), 0.5)
    prior_scale: float = ruled(real(0, 1e6), 0.0)
    kl: float = ruled(real(0, 1e6), 0.0)
    bits: int = ruled(whole(2, 8), 8)
    mean: float = ruled(real(0, 128, above=True), 16.0)
    scale: float = ruled(real(0, 1e3, above=True), 0.5)
    scale_rate: float = ruled(real(0, 1e3), 1.0)
    clip: bool = ruled(flag(), True)
    natural: bool = ruled(flag(), False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, users in _USERS.items():
            if self.family not in users:
                self.expect_default(key, f"with family {self.family}; expected {' or '.join(users)}")
        for key in ("prior", "prior_scale") if self.kl == 0 else ():
            self.expect_default(key, "with kl 0; expected kl above 0")
        if self.mean > self.reach and self.mean != type(self).mean:
            raise UsageError(f"mean: found {self.mean!r} with {self.bits} bits; expected at most {self.reach}")

    @property
    def reach(self) -> int:
        """Magnitude of the smallest integer weight of ``gaussian``."""
        return 1 << self.bits - 1

    @property
    def start(self) -> float:
        """How far from 0 the means of ``gaussian`` start at most, in weights."""
        return float(self.mean if self.mean != type(self).mean else min(self.mean, self.reach / 2))
