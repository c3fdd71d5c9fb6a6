"""Recordings as counts: how many events each place has in each step. Not for chips, whose input is a bit or a spike."""

import math
from typing import Literal

import numpy as np

from bitspike.errors import UsageError
from bitspike.samples import SignalData
from bitspike.train.data import data_set
from bitspike.train.encoders import Encoding
from bitspike.train.packing import check_size

#: What becomes of events at the end of the time that the steps divide, and later.
Late = Literal["drop", "last"]
MAX_COUNT = (1 << 16) - 1


def load_counts(
    name: str, *, part: str = "test", steps: int = 16, duration_ms: float = 0.0, late: Late = "drop"
) -> SignalData:
    """Return one part of a data set of recordings as counts of events, uint8 or uint16 where they need it.

    Args:
        name: name of the data set, as in a recipe: ``nmnist:FILE.zip``, ``events:FILE.npz``.
        part: ``train``, ``validation``, ``test`` or ``all``.
        steps: step = time * steps // duration.
        duration_ms: what the steps divide; 0 for what is usual for the data set.
        late: events at its end and later are left out (``drop``, as spikes are made), or belong to the ``last`` step.

    Raises:
        UsageError: an unknown name or part, or a data set whose samples are no events with times.
    """
    if late not in ("drop", "last"):
        raise UsageError(f"late {late!r}; expected drop or last")
    encoding = Encoding(steps=steps, duration_ms=duration_ms)
    known = data_set(name)
    if known.recordings is None:
        raise UsageError(f"data {name}: has no events with times to count; expected such as nmnist or events")
    rows = known.rows(part)
    places = math.prod(known.shape)
    check_size(len(rows), steps, 2 * places)
    duration = encoding.duration_us(known.usual_us)
    counts = np.zeros((len(rows), steps * places), np.uint16)
    for start in range(0, len(rows), 256):
        for number, (times, addresses) in enumerate(known.recordings(rows[start : start + 256]), start):
            inside = (times >= 0) & ((times < duration) | (late == "last"))
            step = np.minimum(times[inside] * steps // duration, steps - 1)
            found = np.bincount(step * places + addresses[inside], minlength=steps * places)
            if found.max() > MAX_COUNT:
                raise UsageError(
                    f"data {name}: {found.max()} events in one place and step; expected fewer, take more steps"
                )
            counts[number] = found
    small = counts.astype(np.uint8) if counts.max(initial=0) < 256 else counts
    labels = known.read(rows, Encoding(steps=1)).labels
    return SignalData(
        name=f"{name}:{part}", values=small.reshape(len(rows), steps, places), labels=labels, shape=known.shape
    )
