"""Section: where the network lies on the chip, how full its cores are, and what they send each other."""

from collections.abc import Sequence

from bitspike.reports.findings import Findings
from bitspike.reports.parts import Cell, Drawing, Form, Headline, Section, Table, Text, counted, number, word
from bitspike.sim.mapped import Mapped
from bitspike.sim.mesh_figure import describe, draw_mesh
from bitspike.targets.partition import Core, Partition
from bitspike.targets.partition.loads import RESOURCES
from bitspike.targets.partition.utilisation import headline as partition_headline


def section(found: Findings) -> Section:
    """Mesh and utilisation; or why there is none."""
    assigned, mapped = found.counted.assigned, found.counted.mapped
    if assigned is None or mapped is None:
        said = (f"The network was not put on cores of {found.chip}: {found.counted.why}.",)
        return Section(name="cores", title=f"On the cores of {found.chip}", said=said)
    full = occupancy(assigned)
    return Section(
        name="cores",
        title=f"On the cores of {found.chip}",
        said=(f"{partition_headline(assigned)}.",),
        tables=(_table(assigned, mapped, full),),
        drawings=(_mesh(mapped, full),) if mapped.placement is not None else (),
        texts=(
            Text(title="Messages, placement and time of a step", lines=str(mapped)),
            Text(title="Limits and where they come from", lines=str(assigned), long=True),
        ),
    )


def headline(found: Findings) -> Headline | None:
    """Cores in use."""
    assigned = found.counted.assigned
    if assigned is None:
        return None
    return Headline(
        label=f"in use on {found.chip}",
        figure=counted(assigned.core_count, "core"),
        detail=f"of {assigned.chip.cores.value:,}; lower bound {assigned.lower_bound}",
    )


def occupancy(assigned: Partition) -> tuple[float, ...]:
    """How full each core is: the share in use of its scarcest resource, 0 to 1."""
    return tuple(max(_shares(assigned, core), default=0.0) for core in assigned.cores)


def _shares(assigned: Partition, core: Core) -> list[float]:
    limits = {name: assigned.chip.limit(name) for name in RESOURCES}
    return [used / limit for name, used in core.used().items() if (limit := limits[name])]


def _table(assigned: Partition, mapped: Mapped, full: Sequence[float]) -> Table:
    received = (mapped.traffic.between().sum(axis=0) + mapped.traffic.into()) / mapped.traffic.samples
    rows = tuple(
        (
            Cell(text=str(place), value=place),
            Cell(text=f"{100 * share:.0f}", value=share),
            *(_cell(assigned, name, used) for name, used in core.used().items()),
            number(float(messages), ",.1f"),
            word(", ".join(map(str, core.pieces))),
        )
        for place, (core, share, messages) in enumerate(zip(assigned.cores, full, received, strict=True))
    )
    heads = ("core", "full, %", *(name.replace("_", " ") for name in RESOURCES), "messages in", "holds")
    return Table(
        name="utilisation",
        caption="What each core uses, with the share of its limit; full: of the scarcest resource; messages in: that "
        "arrive in an inference.",
        heads=heads,
        rows=rows,
    )


def _cell(assigned: Partition, name: str, used: int) -> Cell:
    limit = assigned.chip.limit(name)
    return Cell(text=f"{used:,} ({100 * used / limit:.0f}%)" if limit else f"{used:,}", value=used)


def _mesh(mapped: Mapped, full: Sequence[float]) -> Drawing:
    title = f"Cores on the mesh of {mapped.chip}"

    def render(form: Form) -> bytes:
        return draw_mesh(mapped, full, "", form)

    return Drawing(name="mesh", title=title, description=describe(mapped, full), render=render, paper=True)
