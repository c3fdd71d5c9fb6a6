"""Data for float networks by name: encoded spikes, counts of events, real numbers."""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bitspike.errors import UsageError
from bitspike.samples import SignalData, SpikeData


def load_signals(
    name: str | os.PathLike[str],
    *,
    part: str = "test",
    steps: int | None = None,
    seed: int = 0,
    counts: bool = False,
    late: Literal["drop", "last"] = "drop",
    **options: Any,
) -> SpikeData | SignalData:
    """Samples by name, for a float network.

    Args:
        name: as for :func:`bitspike.load_data`; or an ``.npz`` with finite ``values``, (samples, steps, numbers) or
            with the numbers in their own shape, and ``labels`` or none (-1 then).
        part: as there.
        steps: window of a sample, which a float network does not know; None where the data bring their own.
        seed: as there.
        counts: count the events of a step, where a spike tells them only from none.
        late: of counts, what becomes of events after the window: left out, or in the ``last`` step.
        options: as there.

    Raises:
        UsageError: as there; no steps where they are needed; counts of data that have no events.
    """
    from bitspike.api import load_data

    text = str(name)
    if text.endswith(".npz") and ":" not in text:
        from bitspike.train.datasets.npz import headers

        if "values" in headers(Path(name)):
            return _values(Path(name))
    if steps is None and not (text.endswith(".toml") or _is_dense(text)):
        raise UsageError("steps: a float network does not know its window; give the steps of a sample (--steps)")
    if not counts:
        return load_data(name, part=part, steps=steps or 1, seed=seed, **options)
    if options:
        raise UsageError(f"counts take no {', '.join(options)}; expected none")
    from bitspike.train.event_counts import load_counts

    return load_counts(text, part=part, steps=steps or 1, late=late)


def _is_dense(text: str) -> bool:
    if not text.endswith(".npz"):
        return False
    from bitspike.train.datasets.npz import headers

    return "spikes" in headers(Path(text.removeprefix("events:")))


def _values(path: Path) -> SignalData:
    from bitspike.train.datasets.npz import arrays

    found = arrays(path, {"values": "biuf"}, optional={"labels": "iu"})
    values = found["values"]
    if values.ndim < 3:
        raise UsageError(f"{path}: values of shape {values.shape}; expected (samples, steps, numbers)")
    labels = found.get("labels", np.full(len(values), -1))
    flat = values.reshape(*values.shape[:2], -1)
    return SignalData(name=path.name, values=flat, labels=labels.astype(np.int64), shape=values.shape[2:])
