"""Placement: cores on the mesh, so that messages go over as few and as cheap hops as can be found.

With ``messages[i, j]`` from core `i` to core `j`, placed at ``p[i]`` and ``p[j]``, what is to be small is

    sum over i, j of messages[i, j] * (east_west * columns(p[i], p[j]) + north_south * rows(p[i], p[j]))

a quadratic assignment problem, for which no quick exact method is known. Rules:

1. Empty places are cores without messages, so that every placement is a permutation of the places.
2. The fast approximate method (FAQ: Vogelstein et al., PLOS ONE 10(4), 2015) of scipy runs from the flat start and
   from seeded random ones; a start more costs the time of one gradient descent on permutations.
3. Each result is improved by the exchange of two places, the best of all pairs first, until none helps.
4. The cheapest is taken, of equal ones the first. The row-major placement takes part, improved like the others, so
   that the result is never worse than that.

Measured against the best of three simulated annealings of two million exchanges, with prices of 3 and 4: convolutional
networks cut into 29 and 54 cores of Loihi, equal and 1.1 % dearer; made-up layers of 6 to 128 cores, from 0.9 % cheaper
to 2.8 % dearer; in about the same time. scipy's own pairwise exchange from a random start took up to three minutes for
worse ones. Exchanging a few places at random and improving again, 300 times, gained 0.4 % at most and was left out.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from bitspike.errors import UsageError
from bitspike.targets.mesh import Integers, Mesh

Costs = npt.NDArray[np.float64]
#: Starts of the search, the flat one included.
STARTS = 20
#: Random placements that the mean is taken of.
DRAWS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What all messages together cost on a mesh.

    Attributes:
        placed: as the search placed the cores.
        row_major: where the cores are placed in their order.
        random: mean over :data:`DRAWS` random placements.
        random_sd: standard deviation over them.
    """

    placed: float
    row_major: float
    random: float
    random_sd: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Placement:
    """Where each core sits.

    Attributes:
        mesh: the chip's.
        places: the place of each core, all different, (cores,).
        weights: what an east-west and a north-south hop counted for in the search: picojoules, or 1 and 1.
        seed: of the search.
        cost: hops of all messages, weighted so: what the search made small.
        spike_hops: hops of all messages.
    """

    mesh: Mesh
    places: Integers
    weights: tuple[float, float]
    seed: int
    cost: Compared
    spike_hops: Compared

    def hops(self) -> tuple[Integers, Integers]:
        """East-west and north-south hops from each core to each, two arrays (cores, cores)."""
        return self.mesh.hops(self.places)

    @property
    def tiles(self) -> int:
        """Tiles that hold at least one core."""
        return len(np.unique(self.mesh.tile(self.places)))

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values; costs and hops are of all messages that the search was given."""
        mesh = {"rows": self.mesh.rows, "columns": self.mesh.columns, "cores_per_tile": self.mesh.cores_per_tile}
        return {
            "mesh": mesh,
            "seed": self.seed,
            "weights": list(self.weights),
            "places": self.places.tolist(),
            "tiles": self.tiles,
            "cost": asdict(self.cost),
            "spike_hops": asdict(self.spike_hops),
        }

    def told(self, samples: int) -> str:
        """One line, with hops for one of `samples` inferences."""
        placed, row_major, random, sd = (value / samples for value in asdict(self.spike_hops).values())
        weighed = (
            "" if self.weights[0] == self.weights[1] else f", hops weighed {self.weights[0]:g} to {self.weights[1]:g}"
        )
        return (
            f"placement on {self.mesh}, seed {self.seed}{weighed}: {placed:,.1f} spike-hops an inference; row-major "
            f"{row_major:,.1f}, random {random:,.1f} (mean of {DRAWS}, sd {sd:,.1f})"
        )


def place(
    messages: npt.ArrayLike,
    mesh: Mesh,
    *,
    weights: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
    starts: int = STARTS,
) -> Placement:
    """Place cores by the `messages` between them, (cores, cores), from row to column; the diagonal costs no hops.

    Raises:
        UsageError: more cores than places, weights below 0, or messages that are no square of numbers of 0 or more.
    """
    between = _checked(messages, mesh, weights, starts)
    flow = np.zeros((mesh.places, mesh.places))
    flow[: len(between), : len(between)] = between + between.T
    np.fill_diagonal(flow, 0.0)
    distance = _distance(mesh, np.arange(mesh.places), weights)
    # Matrices of a hundred rows: threads would cost more than they help, and could change sums in the last bits.
    with threadpool_limits(1):
        found = [_exchanged(flow, distance, start) for start in _starts(flow, distance, seed, starts)]
    costs = [_cost(flow, distance, places) for places in found]
    best = found[int(np.argmin(costs))]
    one = _distance(mesh, np.arange(mesh.places), (1.0, 1.0))
    cost, spike_hops = (_compared(flow, each, best, seed) for each in (distance, one))
    places = best[: len(between)]
    places.flags.writeable = False
    return Placement(mesh=mesh, places=places, weights=weights, seed=seed, cost=cost, spike_hops=spike_hops)


def _compared(flow: Costs, distance: Costs, best: Integers, seed: int) -> Compared:
    rng = np.random.default_rng(seed)
    random = [_cost(flow, distance, rng.permutation(len(flow))) for _ in range(DRAWS)]
    return Compared(
        placed=_cost(flow, distance, best),
        row_major=_cost(flow, distance, np.arange(len(flow))),
        random=float(np.mean(random)),
        random_sd=float(np.std(random, ddof=1)),
    )


def _checked(messages: npt.ArrayLike, mesh: Mesh, weights: tuple[float, float], starts: int) -> Costs:
    between = np.asarray(messages, np.float64)
    if between.ndim != 2 or between.shape[0] != between.shape[1] or not np.all(between >= 0):
        raise UsageError(f"messages of shape {between.shape}; expected (cores, cores), 0 or more")
    if len(between) > mesh.places:
        raise UsageError(f"{len(between)} cores on a mesh of {mesh}; expected {mesh.places} or fewer")
    if min(weights) < 0 or starts < 1:
        raise UsageError(f"weights {weights}, starts {starts}; expected weights of 0 or more and a start")
    return between


def _distance(mesh: Mesh, places: Integers, weights: tuple[float, float]) -> Costs:
    east_west, north_south = mesh.hops(places)
    return weights[0] * east_west + weights[1] * north_south


def _cost(flow: Costs, distance: Costs, places: Integers) -> float:
    """Weighted hops; `flow` counts both ways, and so each message twice."""
    return float((flow * distance[np.ix_(places, places)]).sum() / 2)


def _starts(flow: Costs, distance: Costs, seed: int, starts: int) -> Iterator[Integers]:
    """Rules 2 and 4."""
    from scipy.optimize import quadratic_assignment

    yield np.arange(len(flow))
    if not flow.any():
        return
    # The method's step lengths are those of a problem of order one.
    unit, length = flow / flow.max(), distance / max(distance.max(), 1.0)
    for number in range(starts):
        options = {"P0": "barycenter" if number == 0 else "randomized", "rng": np.random.default_rng((seed, number))}
        yield quadratic_assignment(unit, length, method="faq", options=options).col_ind.astype(np.int64)


def _exchanged(flow: Costs, distance: Costs, start: Integers) -> Integers:
    """Rule 3. What the exchange of cores `i` and `j` saves follows for all pairs from one product of matrices."""
    places = start.copy()
    while True:
        between = distance[np.ix_(places, places)]
        cross = flow @ between
        own = np.diagonal(cross)
        change = cross + cross.T - own[:, None] - own + 2 * flow * between
        first, second = np.unravel_index(int(np.argmin(change)), change.shape)
        if change[first, second] >= -1e-9 * max(own.sum(), 1.0):
            return places
        places[[first, second]] = places[[second, first]]
