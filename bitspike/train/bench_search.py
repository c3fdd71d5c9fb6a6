"""The search for the other sides' learning rates and widths: on the validation part, with one seed, the best is taken.

A baseline with values from another data set says little. Each candidate is trained as the side itself is; the one with
the best accuracy on the validation part, the first of equal ones, is used with every seed. The test part has no say.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from bitspike.errors import UsageError
from bitspike.train.accuracy_table import Outcome, Trial
from bitspike.train.recipe import Recipe
from bitspike.train.snntorch_side import RATE
from bitspike.train.straight_through import RATE as STRAIGHT_RATE
from bitspike.train.straight_through import WIDTH, straight_through

SEARCHED = ("straight-through", "snntorch")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SideOptions:
    """What the other sides need besides the recipe.

    Attributes:
        snntorch_rate: learning rate of Adam for snnTorch.
        straight_rate: learning rate of the latent weights; None for what the module recommends.
        straight_width: width of the surrogate gradient of straight-through, in weights; None likewise.
        factors: of the two rates, to be tried; none for no search.
        widths: to be tried in place of `straight_width`; none for that one alone.
    """

    snntorch_rate: float = RATE
    straight_rate: float | None = None
    straight_width: float | None = None
    factors: tuple[float, ...] = ()
    widths: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for key, value in (
            ("snntorch rate", self.snntorch_rate),
            ("straight rate", self.straight_rate),
            ("straight width", self.straight_width),
        ):
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{key}: found {value}; expected a number above 0")
        for key, values in (("rates", self.factors), ("widths", self.widths)):
            if len(set(values)) < len(values) or not all(0 < value < math.inf for value in values):
                raise UsageError(f"{key}: found {','.join(map(str, values))}; expected numbers above 0, each once")

    @property
    def searches(self) -> bool:
        """Whether rates or widths are given to choose from."""
        return bool(self.factors or self.widths)

    def straight(self, recipe: Recipe) -> Recipe:
        """Return the recipe of the straight-through side."""
        given = {"rate": self.straight_rate, "width": self.straight_width}
        return straight_through(recipe, **{key: value for key, value in given.items() if value is not None})

    def of(self, side: str) -> dict[str, float]:
        """Return the values of one side by name: its rate, and a width where it has one."""
        if side == "snntorch":
            return {"rate": self.snntorch_rate}
        return {"rate": self.straight_rate or STRAIGHT_RATE, "width": self.straight_width or WIDTH}

    def candidates(self, side: str) -> tuple["SideOptions", ...]:
        """Return the options to be tried for a side; a single one is taken as it is."""
        now = self.of(side)
        rates = [now["rate"] * factor for factor in self.factors or (1.0,)]
        if side == "snntorch":
            return tuple(dataclasses.replace(self, snntorch_rate=rate) for rate in rates)
        pairs = product(rates, self.widths or (now["width"],))
        return tuple(dataclasses.replace(self, straight_rate=rate, straight_width=width) for rate, width in pairs)


def search(
    options: SideOptions, sides: Sequence[str], run: Callable[[str, SideOptions], Outcome]
) -> tuple[SideOptions, tuple[Trial, ...]]:
    """Return the options with each side's best values, and what was tried.

    Args:
        options: where the search starts.
        sides: those that run; the others keep their values.
        run: trains a side with given options, with one seed.
    """
    trials: list[Trial] = []
    found: dict[str, Any] = {}
    for side in SEARCHED:
        if side not in sides or not options.searches:
            continue
        candidates = options.candidates(side)
        best = 0
        if len(candidates) > 1:
            accuracies = [run(side, one).validation["map"] for one in candidates]
            best = accuracies.index(max(accuracies))
            for at, (one, accuracy) in enumerate(zip(candidates, accuracies, strict=True)):
                trials.append(Trial(side=side, values=one.of(side), validation=accuracy, taken=at == best))
        prefix = "snntorch" if side == "snntorch" else "straight"
        found |= {f"{prefix}_{key}": value for key, value in candidates[best].of(side).items()}
    return dataclasses.replace(options, **found), tuple(trials)
