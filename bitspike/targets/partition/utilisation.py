"""The utilisation table: what each core uses of each resource, and all of them, beside the limits."""

from collections.abc import Iterable
from typing import Any

from bitspike.targets.partition import Core, Partition
from bitspike.targets.partition.limits import CHECKED
from bitspike.targets.partition.loads import RESOURCES

_HEADS = {
    "neurons": "neurons",
    "synapse_bits": "synapse bits",
    "input_axons": "input axons",
    "output_axons": "output axons",
    "decay_groups": "decays",
    "threshold_groups": "thresholds",
    "synapse_formats": "formats",
}
#: Resources that are counted core by core and have no sum.
#: Figures that say how synapses are stored.
STORAGE = (
    "shared_axon_slots", "shared_places", "synapses_per_block", "block_header_bits", "memory_word_bits", "index_widths",
)  # fmt: skip
_DIFFERENT = ("decay_groups", "threshold_groups", "synapse_formats")
_RULES = {"spread": "one population alone"}


def table(partition: Partition) -> str:
    """The table as text."""
    chip = partition.chip
    rows = [["core", *_HEADS.values(), "holds"]]
    for number, core in enumerate(partition.cores):
        cells = [_cell(used, chip.limit(name)) for name, used in core.used().items()]
        rows.append([str(number), *cells, ", ".join(map(str, core.pieces))])
    rows.append(["all", *(_sum(partition, name) for name in RESOURCES), _all_pieces(partition)])
    rows.append(["limit", *(_limit(partition, name) for name in RESOURCES), "a core"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    return "\n".join([headline(partition), *lines, *_notes(partition)])


def headline(partition: Partition) -> str:
    """Cores used, of how many, beside the lower bound and first-fit."""
    by = _RULES.get(partition.bound_by, partition.bound_by.replace("_", " "))
    first = "finds none" if partition.first_fit is None else str(partition.first_fit)
    return (
        f"{partition.network.name} on {partition.chip.name}: {_cores(partition.core_count)} of "
        f"{partition.chip.cores.value}; lower bound {partition.lower_bound} (by {by}); first-fit {first}"
    )


def as_json(partition: Partition) -> dict[str, Any]:
    """The table for machines."""
    return {
        "network": partition.network.name,
        "chip": partition.chip.name,
        "cores": partition.core_count,
        "cores_limit": partition.chip.cores.value,
        "lower_bound": {"cores": partition.lower_bound, "by": partition.bound_by},
        "first_fit": partition.first_fit,
        "limits": {name: partition.chip.limit(name) for name in RESOURCES},
        "total": {name: _total(partition, name) for name in RESOURCES if name not in _DIFFERENT},
        "unchecked": list(partition.unchecked()),
        "per_core": [_core_json(core) for core in partition.cores],
    }


def _core_json(core: Core) -> dict[str, Any]:
    pieces = [
        {"population": p.population, "start": p.start, "stop": p.stop, "neurons": len(p.neurons)}
        | ({} if p.index is None else {"index": p.index.tolist()})
        for p in core.pieces
    ]
    return {**core.used(), "pieces": pieces, "storage": dict(core.storage)}


def _cell(used: int, limit: int | None) -> str:
    return f"{used:,}" if limit is None else f"{used:,} {_percent(used, limit)}"


def _percent(used: int, limit: int) -> str:
    return f"{100 * used / limit:.0f}%"


def _total(partition: Partition, name: str) -> int:
    return sum(core.used()[name] for core in partition.cores)


def _sum(partition: Partition, name: str) -> str:
    if name in _DIFFERENT:
        return ""
    limit = partition.chip.limit(name)
    return _cell(_total(partition, name), None if limit is None else limit * partition.core_count)


def _limit(partition: Partition, name: str) -> str:
    limit = partition.chip.limit(name)
    return "-" if limit is None else f"{limit:,}"


def _all_pieces(partition: Partition) -> str:
    return f"{sum(len(core.pieces) for core in partition.cores)} pieces on {_cores(partition.core_count)}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _cores(count: int) -> str:
    return f"{count} core" if count == 1 else f"{count} cores"


def _notes(partition: Partition) -> list[str]:
    chip = partition.chip
    notes = []
    if partition.unchecked():
        notes.append(f"not published of {chip.name}, and not checked: {_names(partition.unchecked())}")
    for grade in ("assumed", "differs between sources"):
        names = [name for name in (*CHECKED, *STORAGE) if (f := chip.figures()[name]) is not None and f.grade == grade]
        if names:
            notes.append(f"{grade}: {_names(names)}")
    return notes
