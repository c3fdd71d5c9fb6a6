"""Residual stages: pairs of 3 x 3 convolutions with a sum around each, as plain layers with names. No torch here.

A stage named S of b blocks over a sum of spikes x (arXiv 2505.17962, without normalisation) is

    S_1a = conv(x)           S_1b = conv(S_1a)          x = x + S_1b
    ...
    S_ba = conv(x)           S_bb = conv(S_ba)          x = x + S_bb

where a sum is a list of sources and no neuron of its own. A stage of stride 2 has stride 2 in S_1a, and the x that
goes round the first block is ``S_pool``: neurons that fire where more than `vth` spikes of x fall into a 2 x 2 window.
The paper takes the average of the window, which has quarters; the lattice of whole weights cannot hold those, and a
spike is one bit, so the sum that goes round starts anew at each such stage with one bit a channel. Missing channels
are silent, as in the paper.

Thresholds that are not given follow from the rate r that neurons shall have. With weights of mean 0 and variance 1, the
membrane is Gaussian and its variance that of its input, the sum of E[x**2] over the fan-in, carried along by the
decays; in a sum of K populations of rate r, E[x**2] = K r (1 - r) + (K r)**2. A threshold grows with the sum that it
reads, so the rate neither dies out nor fills up with depth; what a padded border lacks is not counted. If the rates
before a layer are a factor f off, its own is F(-k / sqrt(f)) instead of r = F(-k), F the Gaussian distribution: this
map brings deviations back, but low rates die out, below about 0.05 for r = 0.2 and below 0.02 for r = 0.3. A pool's
threshold is the mean of what it counts.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, TypeVar

from bitspike.errors import UsageError
from bitspike.train.registers import FORGETS, NEVER

T = TypeVar("T")
KIND = "residual"
KERNEL = 3
_STEPS = 8
"""Steps over which a threshold gives the rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A population in a sum.

    Attributes:
        name: of the population.
        channels: 0 where it is not known to have any.
        rate: that is expected of it, in spikes a step; 0 for that of the stage that reads it.
    """

    name: str
    channels: int = 0
    rate: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A residual stage; see the module's docstring.

    Attributes:
        name: start of its layers' names.
        channels: of its convolutions.
        blocks: pairs of convolutions.
        stride: 1 or 2.
        rate: that its neurons shall have, in spikes a step; above 0 and at most 0.5.
        vth, du, dv, reset: of its convolutions; a `vth` of 131071 takes each one's from the rate.
    """

    name: str
    channels: int
    blocks: int
    stride: int
    rate: float
    vth: int
    du: int
    dv: int
    reset: str

    def layers(self, before: Sequence[Source]) -> tuple[list[dict[str, Any]], tuple[Source, ...]]:
        """Return its layers as tables of a recipe, and the sum behind it, from the sum before it."""
        tables: list[dict[str, Any]] = []
        before = tuple(dataclasses.replace(one, rate=one.rate or self.rate) for one in before)
        around = before
        if self.stride == 2:
            pool = Source(name=f"{self.name}_pool", channels=max(one.channels for one in before), rate=0.5)
            tables.append(_pool(pool.name, before))
            around = (pool,)
        read = before
        for block in range(1, self.blocks + 1):
            inner = Source(name=f"{self.name}_{block}a", channels=self.channels, rate=self.rate)
            outer = Source(name=f"{self.name}_{block}b", channels=self.channels, rate=self.rate)
            tables.append(self._conv(inner.name, read, self.stride if block == 1 else 1))
            tables.append(self._conv(outer.name, (inner,), 1))
            around = read = (*around, outer)
        return tables, around

    def _conv(self, name: str, sources: Sequence[Source], stride: int) -> dict[str, Any]:
        vth = self.vth
        if vth == NEVER:
            vth = threshold(KERNEL**2 * squares(sources), rate=self.rate, du=self.du, dv=self.dv)
        names = tuple(one.name for one in sources)
        table: dict[str, Any] = {"kind": "conv", "name": name, "sources": names}
        table |= {"channels": self.channels, "kernel": KERNEL, "stride": stride, "padding": 1}
        return table | {"vth": vth, "du": self.du, "dv": self.dv, "reset": self.reset}


def squares(sources: Sequence[Source]) -> float:
    """Return E[x**2] summed over the channels of a sum x of independent populations."""
    edges = sorted({0, *(one.channels for one in sources)})
    total = 0.0
    for low, high in itertools.pairwise(edges):
        rates = [one.rate for one in sources if one.channels > low]
        total += (high - low) * (sum(rate * (1 - rate) for rate in rates) + sum(rates) ** 2)
    return total


def threshold(variance: float, *, rate: float, du: int = FORGETS, dv: int = 0) -> int:
    """Return the threshold, 1 or more whole weights, that gives this rate over the first 8 steps.

    The membrane has the variance of fresh input since its last spike, which clears it, and mean 0.

    Args:
        variance: of the summed input of a step, in weights squared.
        rate: wanted, in spikes a step; above 0 and at most 0.5.
        du: current decay.
        dv: voltage decay.
    """
    keep_u, keep_v = (FORGETS - du) / FORGETS, (FORGETS - dv) / FORGETS
    current, response = 1.0, 1.0
    variances: list[float] = []
    for _ in range(_STEPS):
        variances.append(response**2 + (variances[-1] if variances else 0.0))
        current *= keep_u
        response = response * keep_v + current
    low, high = 0.0, 10.0 * math.sqrt(variances[-1])
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _mean_rate(middle, variances) > rate else (low, middle)
    return max(1, round(low * math.sqrt(variance)))


def _mean_rate(level: float, variances: Sequence[float]) -> float:
    """Return the mean rate of neurons of this threshold, `variances` being those 1, 2, ... steps after a spike."""
    chances = [NormalDist(0, math.sqrt(variance)).cdf(-level) for variance in variances]
    ages, fired = [1.0], 0.0
    for _ in variances:
        now = [share * chance for share, chance in zip(ages, chances, strict=False)]
        ages = [sum(now), *(share - spikes for share, spikes in zip(ages, now, strict=True))]
        fired += sum(now)
    return fired / len(variances)


def _pool(name: str, sources: Sequence[Source]) -> dict[str, Any]:
    """Return a pool over 2 x 2 windows of a sum; it has no memory and is trained as it runs."""
    vth = math.floor(4 * sum(one.rate for one in sources))
    names = tuple(one.name for one in sources)
    table: dict[str, Any] = {"kind": "pool", "name": name, "sources": names, "kernel": 2, "stride": 2}
    return table | {"vth": vth, "dv": FORGETS, "exact": True}


def expand(layers: tuple[T, ...], make: Callable[[dict[str, Any]], T]) -> tuple[T, ...]:
    """Return recipes of layers, those of each residual stage in the stage's place; the same tuple where there is none.

    A layer after a stage reads the stage's whole sum, and so does one that names the stage among its sources.

    Raises:
        UsageError: a stage that has no population with channels before it.
    """
    given: Any = layers
    if all(layer.kind != KIND for layer in given):
        return layers
    found: list[Any] = []
    sums: dict[str, tuple[Source, ...]] = {}
    before: tuple[Source, ...] = ()
    for at, layer in enumerate(given):
        stages = sum(one.kind == KIND for one in given[: at + 1])
        name = layer.name or (f"stage{stages}" if layer.kind == KIND else f"hidden{len(found) + 1}")
        # A name that is not known is told, with what is, by the network of plain layers.
        read = tuple(one for wanted in layer.sources for one in sums.get(wanted, (Source(name=wanted),))) or before
        if layer.kind == KIND:
            if not read or min(one.channels for one in read) < 1:
                raise UsageError(f"layers[{at}].kind: found 'residual'; expected convolutions or pools in front of it")
            tables, before = _stage(layer, name).layers(read)
            found.extend(make(table) for table in tables)
        else:
            spread = len(read) > 1 or layer.sources
            found.append(dataclasses.replace(layer, sources=tuple(one.name for one in read) if spread else ()))
            before = (Source(name=name, channels=_channels(layer, read)),)
        sums[name] = before
    return tuple(found)


def _stage(layer: Any, name: str) -> Stage:
    keys = (field.name for field in dataclasses.fields(Stage) if field.name != "name")
    return Stage(name=name, **{key: getattr(layer, key) for key in keys})


def _channels(layer: Any, read: Sequence[Source]) -> int:
    """Return the channels of a layer that is no stage; 0 where it has none, or only the data tell."""
    if layer.kind == "pool":
        return max((one.channels for one in read), default=0)
    return int(layer.channels) if layer.kind == "conv" else 0
