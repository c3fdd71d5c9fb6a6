"""Networks whose neurons have cores by lot, for tests of traffic and time."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Scattered:
    """Each neuron on a core of its own choice, by the seed."""

    network: object
    core_count: int
    seed: int = 0

    def core_of(self, population):
        places = [p.name for p in self.network.populations]
        random = np.random.default_rng((self.seed, places.index(population)))
        return random.integers(0, self.core_count, self.network.population(population).size)
