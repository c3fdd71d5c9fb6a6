"""Everything that a report says is found here, once: runs, comparison, counts, cores and prices."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitspike.convert.collapse import collapse
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.count_run import chunk_size, records
from bitspike.sim.energy import price_run
from bitspike.sim.engines import ENGINES
from bitspike.sim.estimate import Energy
from bitspike.sim.placed import CountedRun, counted_run
from bitspike.sim.verify import Verification, verify
from bitspike.targets.chips import chip as chip_named
from bitspike.targets.prices import DEFAULTS, price_list
from bitspike.train.run import Run

#: The baseline, then what is compared with it; the trained model comes last.
PROOF_ENGINES = ("reference", "fast", "onnx")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Findings:
    """What was found of a run.

    Attributes:
        run: as it was trained.
        data: the samples that everything here ran on, and `data_name`, what the user named in their place, or nothing.
        chip: whose cores and prices are meant.
        network: the most probable bits.
        scores: the integer read-out, (samples, classes).
        accuracy: share of samples that the integer network has right.
        verification: engines side by side, on all of `data` or on its first samples.
        counted: counts, partition and placement.
        estimate: None where no prices of the chip are published.
    """

    run: Run
    data: SpikeData
    data_name: str | None
    chip: str
    network: IntegerNetwork
    scores: npt.NDArray[np.int64]
    accuracy: float
    verification: Verification
    counted: CountedRun
    estimate: Energy | None


def find(
    run: Run,
    *,
    data: str | SpikeData | None = None,
    chip: str = "loihi1",
    samples: int | None = None,
    verification: Verification | None = None,
    notify: Callable[[str, int, int], None] | None = None,
) -> Findings:
    """Collapse `run` and measure it.

    Args:
        run: a trained run.
        data: replaces the name of the recipe's data, whose test part is then taken, or encoded samples; default: the
            test part.
        chip: a chip with figures or prices.
        samples: how many of the first samples are taken; default: all. The comparison keeps every membrane of two
            engines in memory; by default it takes as many as fit.
        verification: an earlier outcome for this network, to show in place of a new one.
        notify: called before each part with its name, its number from 0, and how many there are.
    """
    tell = notify or _silent
    found = _data(run, data)
    found = found if samples is None else found.first(samples)
    name = data if isinstance(data, str) else None
    where = chip if chip in DEFAULTS else chip_named(chip).name
    network = collapse(run.model, "map", name=run.recipe.name)
    if verification is not None and verification.digest != network.digest():
        raise UsageError(f"verification: of network {verification.digest[:12]}; expected {network.digest()[:12]}")
    tell("verify", 0, 3)
    proof = verification or _verified(network, run, found, samples)
    tell("count", 1, 3)
    counted = counted_run(network, data=found, chip=where)
    estimate = price_run(counted, price_list(where)) if where in DEFAULTS else None
    tell("score", 2, 3)
    scores = np.concatenate([record.scores(network) for record in records(network, found)])
    return Findings(
        run=run,
        data=found,
        data_name=name,
        chip=where,
        network=network,
        scores=scores,
        accuracy=float(np.mean(scores.argmax(axis=1) == found.labels)),
        verification=proof,
        counted=counted,
        estimate=estimate,
    )


def _data(run: Run, data: str | SpikeData | None) -> SpikeData:
    if isinstance(data, SpikeData):
        return data
    return run.test if data is None else run.recipe.with_data(data).data.load("test")


def _verified(network: IntegerNetwork, run: Run, data: SpikeData, samples: int | None) -> Verification:
    engines = [name for name in PROOF_ENGINES if ENGINES[name].available]
    some = data if samples is not None else data.first(chunk_size(network, data.steps))
    return verify(network, run.model, data=some, engines=engines)


def _silent(label: str, number: int, total: int) -> None:
    """What `notify` is where nobody wants to know."""
