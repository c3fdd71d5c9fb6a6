"""Counts as a file, sample by sample: JSON or CSV, by the ending.

The CSV has one row for each sample and for each of its parts, and with ``total`` in the column `sample` the sums over
the samples. A quantity that a part does not have is left empty.

| column | of |
|---|---|
| ``sample``, ``part``, ``name`` | the row: a number from 0 or ``total``; ``network``, ``input``, ``population``, ``connection`` or ``core``; its name |
| ``spikes_in``, ``spikes`` | spikes that arrive (of a connection: that it carries), spikes sent |
| ``synaptic_operations``, ``effective_operations`` | with and without synapses of weight 0 |
| ``updates``, ``active_updates``, ``inactive_updates``, ``resets`` | neurons |
| ``messages`` | spikes times connections that carry them |
| ``weight_bits_read``, ``state_bits_read``, ``state_bits_written`` | memory |
| ``barrier_steps`` | the network |
| ``core_messages``, ``entering``, ``hops_east_west``, ``hops_north_south`` | each core: messages that arrive there, and their hops; the network: in all; where it is placed |

The JSON has the same numbers as lists with an entry a sample.
"""  # noqa: E501 - a table's row is a line

import csv
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitspike.errors import UsageError
from bitspike.files import replacing
from bitspike.sim.counts import QUANTITIES, Counts, PerSample
from bitspike.sim.traffic import Arrivals

FORMAT = "bitspike counts 1"
#: Columns that only a placement fills: messages from cores, and from outside, and the hops of the former.
PLACED = ("core_messages", "entering", "hops_east_west", "hops_north_south")
#: Columns of numbers.
COLUMNS = (*QUANTITIES[:8], "messages", *QUANTITIES[8:], "barrier_steps", *PLACED)
_CARRIED = ("synaptic_operations", "effective_operations", "weight_bits_read")

#: One part of a network: what it is, its name, and its quantities with an entry a sample.
Part = tuple[str, str, dict[str, PerSample]]


def check_path(path: str | os.PathLike[str]) -> Path:
    """`path`, where its ending says how counts are to be written; UsageError otherwise."""
    found = Path(path)
    if found.suffix.lower() not in (".csv", ".json"):
        raise UsageError(f"counts file {found}: ending {found.suffix!r}; expected .csv or .json")
    return found


def write_counts(counts: Counts, path: str | os.PathLike[str], *, arrivals: Sequence[Arrivals] = ()) -> Path:
    """Write `counts`, and what each core was sent in the same run, as the ending of `path` says."""
    target = check_path(path)
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if target.suffix.lower() == ".json":
            json.dump(per_sample(counts, arrivals=arrivals), file, indent=1)
            file.write("\n")
        else:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(("sample", "part", "name", *COLUMNS))
            table.writerows(_rows(counts, arrivals))
    return target


def per_sample(counts: Counts, *, arrivals: Sequence[Arrivals] = ()) -> dict[str, Any]:
    """The counts as plain JSON values, with a list entry a sample; facts of connections beside them."""
    facts = {
        c.name: {
            "kind": c.kind,
            "synapses": c.synapses,
            "nonzero_synapses": c.nonzero_synapses,
            "weight_bits": c.weight_bits,
            "graded": c.graded,
        }
        for c in counts.connections
    }
    return {
        "format": FORMAT,
        "network": counts.network,
        "samples": counts.samples,
        "steps": counts.steps,
        "parts": [
            {"part": part, "name": name}
            | (facts[name] if part == "connection" else {})
            | {quantity: values.tolist() for quantity, values in quantities.items()}
            for part, name, quantities in _parts(counts, arrivals)
        ],
    }


def _parts(counts: Counts, arrivals: Sequence[Arrivals]) -> Iterator[Part]:
    whole = {quantity: counts.total(quantity) for quantity in QUANTITIES}
    steps = counts.none + counts.barrier_steps
    cores = {one.core: _arrived(one) for one in arrivals}
    placed = {name: np.sum([core[name] for core in cores.values()], axis=0) for name in PLACED if cores}
    yield "network", counts.network, whole | {"messages": counts.messages, "barrier_steps": steps} | placed
    yield "input", "input", {"spikes": counts.input_spikes}
    for p in counts.populations:
        yield "population", p.population, {quantity: getattr(p, quantity) for quantity in QUANTITIES}
    for c in counts.connections:
        carried = {quantity: getattr(c, quantity) for quantity in _CARRIED}
        yield "connection", c.name, {"spikes_in": c.spikes, "messages": c.spikes} | carried
    for name, arrived in cores.items():
        yield "core", name, arrived


def _arrived(one: Arrivals) -> dict[str, PerSample]:
    return dict(zip(PLACED, (one.messages, one.entering, one.east_west, one.north_south), strict=True))


def _rows(counts: Counts, arrivals: Sequence[Arrivals]) -> Iterator[tuple[object, ...]]:
    parts = list(_parts(counts, arrivals))
    for sample in range(counts.samples):
        for part, name, quantities in parts:
            yield sample, part, name, *(int(quantities[q][sample]) if q in quantities else "" for q in COLUMNS)
    for part, name, quantities in parts:
        yield "total", part, name, *(int(np.sum(quantities[q])) if q in quantities else "" for q in COLUMNS)
