"""Names that an integer network may have, for cells that were named elsewhere."""

from dataclasses import replace

from bitspike.convert.floating.cells import Lattice
from bitspike.convert.rules import NAME
from bitspike.errors import UnsupportedError


def named(plan: Lattice) -> Lattice:
    """The lattice with letters, digits and _ in all names; the same object where it has no others.

    Raises:
        UnsupportedError: two names become the same.
    """
    found = [*(entry.name for entry in plan.inputs), *(cell.name for cell in plan.cells)]
    names = {name: _plain(name) for name in found}
    if all(old == new for old, new in names.items()):
        return plan
    if len(set(names.values())) < len(names):
        raise UnsupportedError(f"names {', '.join(names)}: the same when only letters, digits and _ are kept")
    cells = tuple(
        replace(c, name=names[c.name], links=tuple(replace(link, source=names[link.source]) for link in c.links))
        for c in plan.cells
    )
    inputs = tuple(replace(entry, name=names[entry.name]) for entry in plan.inputs)
    return replace(plan, inputs=inputs, cells=cells, outputs=tuple(names[name] for name in plan.outputs))


def _plain(name: str) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)[:64]
    return kept if NAME.fullmatch(kept) else f"n_{kept}"[:64]
