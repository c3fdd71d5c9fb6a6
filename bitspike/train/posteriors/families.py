"""The families of posteriors by name, and their options as a value."""

from dataclasses import dataclass

from bitspike.errors import UsageError
from bitspike.train.posteriors.base import Posterior
from bitspike.train.posteriors.bernoulli import Bernoulli, Bernoulli01
from bitspike.train.posteriors.gaussian import GaussianWeights
from bitspike.train.posteriors.latent import Latent

FAMILIES: dict[str, type[Posterior]] = {kind.family: kind for kind in (Bernoulli, Bernoulli01, GaussianWeights, Latent)}


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of posteriors with its options; the matrices of one network usually share it.

    Attributes:
        name: ``bernoulli``, ``bernoulli01``, ``gaussian`` or ``latent``.
        bits: of the integers of ``gaussian``, 2 to 8.
        clip: whether gradients of ``latent`` stop where a latent weight is above 1 in magnitude.
        natural: whether gradients of one-bit families are natural ones, those to the mean.
    """

    name: str = "bernoulli"
    bits: int = 8
    clip: bool = True
    natural: bool = False

    def __post_init__(self) -> None:
        if self.name not in FAMILIES:
            raise UsageError(f"family: found {self.name!r}; expected one of {', '.join(FAMILIES)}")
        if not 2 <= self.bits <= 8:
            raise UsageError(f"bits: found {self.bits!r}; expected a whole number from 2 to 8")

    def make(self, rows: int, columns: int) -> Posterior:
        """Return the posterior of a matrix, untrained: all locations are 0."""
        if self.name == GaussianWeights.family:
            return GaussianWeights(rows, columns, bits=self.bits)
        if self.name == Latent.family:
            return Latent(rows, columns, clip=self.clip)
        one_bit = Bernoulli01 if self.name == Bernoulli01.family else Bernoulli
        return one_bit(rows, columns, natural=self.natural)


BERNOULLI = Family()
"""What a layer has by default."""
