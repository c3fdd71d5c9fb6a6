"""Accuracy and calibration of a trained network: of its posterior, a committee, its most probable bits, one noisy pass.

| kind | probabilities | on a chip |
|---|---|---|
| ``posterior`` | the mean of the probabilities of M networks drawn from the posterior | M networks, M soft-maxes |
| ``committee`` | of the summed integer read-outs of the first K of them, K at most 16 | K networks, one sum |
| ``map`` | of the integer read-outs of the most probable bits | one network |
| ``noisy`` | of one pass with posterior noise, and the membranes' own where training has it | cannot run there |

Member k is ``model.sample_bits(seed + k)``, the same for all samples: the members that ``bitspike collapse --members``
writes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.train.calibration import Calibration, calibration, softmax
from bitspike.train.encode import Stream, words
from bitspike.train.estimators import IWST
from bitspike.train.loop import time_first
from bitspike.train.model import SpikingNetwork
from bitspike.train.temperature import fit_temperature, heated

COMMITTEE = 16
"""Members of a committee, or as many as there are. Chosen on the validation part of the digits with three seeds: 2, 4,
8 and 16 members have an ECE of 1.8, 1.8, 1.7 and 1.4 %, and the most probable bits have 1.8 %. 16 networks of one-bit
weights are half as large as one of 32 bits.
"""

_AT_ONCE = 1 << 29
"""Numbers of the largest population over all steps in a noisy pass; more samples make it in parts."""

Predictions = dict[str, npt.NDArray[np.float64]]


def member_readouts(
    model: SpikingNetwork, spikes: npt.NDArray[np.uint8], *, members: int, seed: int = 0
) -> npt.NDArray[np.int64]:
    """Return the integer read-outs of networks drawn from the posterior, shape (members, samples, classes)."""
    if members < 1:
        raise UsageError(f"members: found {members}; expected 1 or more")
    return np.stack([model.predict(spikes, model.sample_bits(seed + member))[0] for member in range(members)])


def averaged(model: SpikingNetwork, readouts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the members' mean class probabilities, (samples, classes), of read-outs (members, samples, classes)."""
    total = np.zeros(readouts.shape[1:])
    for member in readouts:
        total += softmax(model.logits(member))
    return total / len(readouts)


def summed(model: SpikingNetwork, readouts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return class probabilities, (samples, classes), of the members' read-outs summed as integers."""
    return softmax(model.logits(readouts.sum(axis=0)) / len(readouts))


def posterior_predictive(
    model: SpikingNetwork, spikes: npt.NDArray[np.uint8], *, members: int, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return class probabilities averaged over networks drawn from the posterior, shape (samples, classes).

    Each member is a network of real bits, evaluated exactly; its integer read-outs are divided by the temperature of
    the training loss and go through a softmax. Member k is ``model.sample_bits(seed + k)``.
    """
    return averaged(model, member_readouts(model, spikes, members=members, seed=seed))


def noisy_logits(
    model: SpikingNetwork, spikes: npt.NDArray[np.uint8], *, floor: float, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Return the logits of one pass with posterior noise, shape (samples, classes)."""
    device = next(model.parameters()).device
    generator = torch.Generator(device=device).manual_seed(int(words(seed, Stream.NOISE, 0, 1)[0] >> np.uint64(1)))
    largest = spikes.shape[1] * max(model.input_size, *(layer.neurons for layer in model.populations))
    chunk = max(1, _AT_ONCE // largest)
    found: list[npt.NDArray[np.float32]] = []
    with torch.no_grad():
        for start in range(0, max(1, len(spikes)), chunk):
            some = time_first(spikes[start : start + chunk]).to(device)
            logits, _ = model.noisy(some, generator, estimator=IWST(), floor=floor)
            found.append(logits.cpu().numpy())
    return np.concatenate(found)


def collapsed_predictions(
    model: SpikingNetwork, spikes: npt.NDArray[np.uint8], *, members: int, seed: int = 0
) -> Predictions:
    """Return class probabilities, (samples, classes), of what a chip can run: ``posterior``, ``committee``, ``map``."""
    readouts = member_readouts(model, spikes, members=members, seed=seed)
    return {
        "posterior": averaged(model, readouts),
        "committee": summed(model, readouts[:COMMITTEE]),
        "map": softmax(model.logits(model.predict(spikes)[0])),
    }


def predictions(
    model: SpikingNetwork, data: SpikeData, *, members: int, floor: float, seed: int = 0
) -> dict[str, npt.NDArray[np.float64]]:
    """Return class probabilities, shape (samples, classes), under each kind; see the module's docstring."""
    return {
        **collapsed_predictions(model, data.spikes, members=members, seed=seed),
        "noisy": softmax(noisy_logits(model, data.spikes, floor=floor, seed=seed).astype(np.float64)),
    }


def accuracies(model: SpikingNetwork, data: SpikeData, *, members: int, floor: float, seed: int = 0) -> dict[str, Any]:
    """Return the fractions of samples classified right under each kind of prediction, and how far each can be trusted.

    Returns:
        ``posterior``, ``committee``, ``map``, ``noisy``: accuracies; ``calibration``: NLL, ECE, Brier score and
        reliability of each; ``wrong``: the rows that each has wrong.
    """
    return _scored(predictions(model, data, members=members, floor=floor, seed=seed), data)


def measured(
    model: SpikingNetwork, parts: Mapping[str, SpikeData], *, members: int, floor: float, seed: int = 0
) -> dict[str, Any]:
    """Return :func:`accuracies` of each part, and what a temperature fitted on the validation part makes of them.

    Args:
        model: a trained network.
        parts: ``validation`` and others by name.
        members: networks drawn from the posterior.
        floor: standard deviation of the membranes' own noise, of ``noisy``, in weights; 0 for none.
        seed: of the first member.

    Returns:
        By part what `accuracies` returns and ``fitted``, the scores of each kind at its temperature; besides
        ``temperature`` by kind, and ``committee``, the size of the committee.
    """
    found = {part: predictions(model, data, members=members, floor=floor, seed=seed) for part, data in parts.items()}
    labels = parts["validation"].labels
    temperature = {kind: fit_temperature(each, labels) for kind, each in found["validation"].items()}
    return {
        **{
            part: {**_scored(found[part], data), "fitted": fitted(found[part], data.labels, temperature)}
            for part, data in parts.items()
        },
        "temperature": temperature,
        "committee": min(COMMITTEE, members),
    }


def fitted(
    found: Predictions, labels: npt.NDArray[np.int64], temperature: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Return accuracy, NLL, ECE and Brier score of each kind at its temperature."""
    return {kind: totals(calibration(heated(each, temperature[kind]), labels)) for kind, each in found.items()}


def totals(scores: Calibration) -> dict[str, float]:
    """Return the scores without the reliability diagram."""
    return {"accuracy": scores.accuracy, "nll": scores.nll, "ece": scores.ece, "brier": scores.brier}


def wrong_rows(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> list[int]:
    """Return the rows, from 0, whose most probable class, the lowest of equal ones, is not their label."""
    found: list[int] = np.flatnonzero(probabilities.argmax(axis=1) != labels).tolist()
    return found


def _scored(found: Predictions, data: SpikeData) -> dict[str, Any]:
    scores = {kind: calibration(each, data.labels) for kind, each in found.items()}
    shares = {kind: each.accuracy for kind, each in scores.items()}
    return {
        **shares,
        "calibration": {kind: each.as_json() for kind, each in scores.items()},
        "wrong": {kind: wrong_rows(each, data.labels) for kind, each in found.items()},
    }
