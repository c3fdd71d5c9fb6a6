"""Everything that a report says is found here, once: runs, comparison, counts, cores, prices and trade-offs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.convert.collapse import collapse
from bitspike.convert.network import IntegerNetwork
from bitspike.pareto import Pareto, bench_pareto
from bitspike.reports.proof import Beside, certified, proved
from bitspike.samples import SpikeData
from bitspike.sim.certificate import Certificate
from bitspike.sim.count_run import records
from bitspike.sim.energy import price_run
from bitspike.sim.estimate import Energy
from bitspike.sim.placed import CountedRun, counted_run
from bitspike.sim.verify import Verification
from bitspike.targets.chips import chip as chip_named
from bitspike.targets.prices import DEFAULTS, price_list
from bitspike.train.run import Run

#: Values of each engine that are compared by default: spikes, currents and membranes.
PROOF_VALUES = 1 << 25
#: Neurons times steps times samples that the trade-offs run by default, over all their networks.
PARETO_UPDATES = 1 << 27

Notify = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Findings:
    """What was found of a run.

    Attributes:
        run: as it was trained.
        data: the samples that everything here ran on, and `data_name`, what the user named in place of the recipe's.
        samples: the first so many were asked for; None for all.
        chip: whose cores and prices are meant.
        network: the most probable bits.
        scores: the integer read-out, (samples, classes).
        accuracy: share of samples that the integer network has right.
        verification: engines side by side, on all of `data` or on its first samples.
        beside: where the files of the certificate lie; None where no page is written.
        certificate: of `verification`; None where there is no page, or no command could make it again.
        counted: counts, partition and placement.
        estimate: None where no prices of the chip are published.
        pareto: energy against accuracy and calibration; None where it was not wanted, or there are no prices.
    """

    run: Run
    data: SpikeData
    data_name: str | None
    samples: int | None
    chip: str
    network: IntegerNetwork
    scores: npt.NDArray[np.int64]
    accuracy: float
    verification: Verification
    beside: Beside | None
    certificate: Certificate | None
    counted: CountedRun
    estimate: Energy | None
    pareto: Pareto | None


def find(
    run: Run,
    *,
    data: str | SpikeData | None = None,
    chip: str = "loihi1",
    samples: int | None = None,
    verification: Verification | None = None,
    pareto: bool | None = None,
    page: Path | None = None,
    notify: Notify | None = None,
) -> Findings:
    """Collapse `run` and measure it.

    Args:
        run: a trained run.
        data: replaces the name of the recipe's data, whose test part is then taken, or encoded samples; default: the
            test part.
        chip: a chip with figures or prices.
        samples: how many of the first samples are taken; default: all, for the comparison as many as make
            :data:`PROOF_VALUES`.
        verification: an earlier outcome for this network and these data, to show in place of a new one.
        pareto: whether energy is put beside accuracy, of shorter windows, committees and pruned weights; default: on
            the first samples of the validation and the test part, as many as make :data:`PARETO_UPDATES`; where it is
            True on `samples`.
        page: where the page will lie, for the certificate.
        notify: called before each part with its name, its number from 0, and how many there are.
    """
    tell = notify or _silent
    whole = _data(run, data)
    found = whole if samples is None else whole.first(samples)
    name = data if isinstance(data, str) else None
    where = chip if chip in DEFAULTS else chip_named(chip).name
    network = collapse(run.model, "map", name=run.recipe.name)
    tell("verify", 0, 4)
    compared = found
    if samples is None and verification is None:
        compared = found.first(max(1, PROOF_VALUES // (3 * network.steps * sum(p.size for p in network.populations))))
    proof = proved(network, run, compared, verification=verification)
    beside, certificate = None if page is None else Beside.of(page), None
    if beside is not None and not isinstance(data, SpikeData):
        taken = len(compared) if len(compared) < len(whole) else None
        certificate = certified(proof, run, beside, data_name=name, samples=taken)
    tell("count", 1, 4)
    counted = counted_run(network, data=found, chip=where)
    estimate = price_run(counted, price_list(where)) if where in DEFAULTS else None
    tell("score", 2, 4)
    scores = np.concatenate([record.scores(network) for record in records(network, found)])
    tell("trade-offs", 3, 4)
    wanted = pareto is not False and estimate is not None and not isinstance(data, SpikeData)
    return Findings(
        run=run,
        data=found,
        data_name=name,
        samples=samples,
        chip=where,
        network=network,
        scores=scores,
        accuracy=float(np.mean(scores.argmax(axis=1) == found.labels)),
        verification=proof,
        beside=beside,
        certificate=certificate,
        counted=counted,
        estimate=estimate,
        pareto=_pareto(run, network, name, where, samples=samples, whole=pareto is True) if wanted else None,
    )


def _pareto(
    run: Run, network: IntegerNetwork, data: str | None, chip: str, *, samples: int | None, whole: bool
) -> Pareto:
    """Trade-offs on `samples`, or on fewer, where not the `whole` is wanted."""
    named = run if data is None else replace(run, recipe=run.recipe.with_data(data))
    if not whole:
        # Nine combinations of windows and pruned weights, five networks and two parts.
        few = max(1, PARETO_UPDATES // (90 * network.steps * sum(p.size for p in network.populations)))
        samples = min(few, few if samples is None else samples)
    if samples is not None and samples >= max(len(named.validation), len(named.test)):
        samples = None
    return bench_pareto([named], prices=price_list(chip), samples=samples)


def _data(run: Run, data: str | SpikeData | None) -> SpikeData:
    if isinstance(data, SpikeData):
        return data
    return run.test if data is None else run.recipe.with_data(data).data.load("test")


def _silent(label: str, number: int, total: int) -> None:
    """What `notify` is where nobody wants to know."""
