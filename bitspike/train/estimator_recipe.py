"""The estimator's part of a recipe, ``[estimator]``. No torch here."""

import dataclasses
from typing import Literal

from bitspike.errors import UsageError
from bitspike.train.schema import Checked, choice, either, real, ruled

_SETTINGS = {
    "iwst": ("alpha",),
    "tempered": ("temper",),
    "gumbel_rao": ("temperature",),
    "surrogate": ("surrogate", "slope"),
}
"""The settings that only one estimator uses."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EstimatorRecipe(Checked):
    """The gradient estimator. A setting that its `name` does not use is refused unless it has its default value.

    Attributes:
        name: ``iwst`` is importance-weighted straight-through; ``tempered`` the same with alpha = p**k /
            (p**k + (1 - p)**k); ``gumbel_rao`` needs logistic noise; ``surrogate`` is snnTorch's surrogate gradient.
        noise: of the units, of the posterior's standard deviation; ``none`` only with ``surrogate``.
        alpha: of ``iwst``: ``p`` is plain straight-through, 0.5 has the least bias.
        temper: k of ``tempered``: 0 is alpha = 0.5, 1 is alpha = p.
        temperature: of ``gumbel_rao``: 0 is alpha = 0.5.
        surrogate: function of ``surrogate``.
        slope: its steepness, per standard noise.
        floor: standard deviation of the membranes' own noise in training, in weights; without noise a width alone.
        width: of the surrogate without noise: ``posterior`` is ``floor`` and the posterior's deviation together;
            ``floor`` is that alone, in half of the time, since no variances are computed.
        auxiliary: factor of the auxiliary loss, the sum of (v / s)**2.
    """

    name: Literal["iwst", "tempered", "gumbel_rao", "surrogate"] = ruled(choice(*_SETTINGS), "iwst")
    noise: Literal["gaussian", "logistic", "none"] = ruled(choice("gaussian", "logistic", "none"), "gaussian")
    alpha: float | Literal["p"] = ruled(either(choice("p"), real(0, 1)), "p")
    temper: float = ruled(real(0, 1), 0.5)
    temperature: float = ruled(real(0, 100), 1.0)
    surrogate: Literal["atan", "fast_sigmoid", "sigmoid"] = ruled(choice("atan", "fast_sigmoid", "sigmoid"), "atan")
    slope: float = ruled(real(0, 1e3, above=True), 2.0)
    floor: float = ruled(real(0.01, 1e6), 0.5)
    width: Literal["posterior", "floor"] = ruled(choice("posterior", "floor"), "posterior")
    auxiliary: float = ruled(real(0, 1e6), 0.0)

    @property
    def membrane_noise(self) -> float:
        """Standard deviation of the membranes' own noise in training, in weights; 0 without noise."""
        return 0.0 if self.noise == "none" else float(self.floor)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "gumbel_rao" and self.noise != "logistic":
            raise UsageError(f"noise: found {self.noise!r}; expected 'logistic' with gumbel_rao")
        if self.name != "surrogate" and self.noise == "none":
            raise UsageError("noise: found 'none'; expected gaussian or logistic, or name surrogate")
        if self.noise != "none" and self.width == "floor":
            raise UsageError(f"width: found 'floor' with noise {self.noise}; expected noise none")
        for owner, keys in _SETTINGS.items():
            for key in keys if owner != self.name else ():
                self.expect_default(key, f"with name {self.name}; expected name {owner}")
