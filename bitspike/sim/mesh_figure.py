"""The mesh of a chip as a picture: how full each core is, and how much it is sent.

matplotlib is optional and is imported at the first use. The text that says the same stands in the SVG as its title and
description, for those who do not see it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.errors import MissingDependencyError, UsageError
from bitspike.files import replacing
from bitspike.sim.mapped import Mapped
from bitspike.targets.mesh import Mesh
from bitspike.targets.placement import Placement

INSTALL = "python -m pip install 'bitspike[plot]'"
ENDINGS = (".svg", ".png")
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Panel:
    """One heat map: a value for each core, 0 to `top`, and the name of matplotlib's colours."""

    title: str
    values: Reals
    colours: str
    top: float


def check_figure(path: Path) -> Path:
    """Return `path`; UsageError where its ending is not one of :data:`ENDINGS`, before anything is computed."""
    if path.suffix not in ENDINGS:
        raise UsageError(f"figure {path}; expected a name that ends in {' or '.join(ENDINGS)}")
    _matplotlib()
    return path


def write_mesh(mapped: Mapped, occupancy: Sequence[float], path: Path, *, title: str) -> Path:
    """Draw into `path`, an SVG or a PNG.

    Args:
        mapped: a run on the cores of a chip.
        occupancy: how full each core is, 0 to 1.
        path: ends in one of :data:`ENDINGS`.
        title: above the picture.

    Raises:
        UsageError: another ending, or a chip without a published mesh.
        MissingDependencyError: where matplotlib is not installed.
    """
    check_figure(path)
    with replacing(path) as temporary:
        if path.suffix == ".svg":
            temporary.write_text(mesh_svg(mapped, occupancy, title=title), encoding="utf-8")
        else:
            temporary.write_bytes(draw_mesh(mapped, occupancy, title, "png"))
    return path


def mesh_svg(mapped: Mapped, occupancy: Sequence[float], *, title: str) -> str:
    """The picture as an ``svg`` element, with its title and description, to stand in a page or in a file."""
    text = draw_mesh(mapped, occupancy, title, "svg").decode("utf-8")
    begin = text.index("<svg")
    end = text.index(">", begin)
    said = f"<title>{escape(title)}</title>\n <desc>{escape(describe(mapped, occupancy))}</desc>"
    return f'{text[begin:end]} role="img">\n {said}{text[end + 1 :]}'


def describe(mapped: Mapped, occupancy: Sequence[float]) -> str:
    """What the picture shows, in words."""
    placement, received = _placement(mapped), _received(mapped)
    fullest, loudest = int(np.argmax(occupancy)), int(np.argmax(received))
    rows = [
        f"Core {core} in row {row + 1}, column {column + 1}: {share:.0%} full, {messages:,.1f} messages an inference."
        for core, (row, column, share, messages) in enumerate(
            zip(*placement.mesh.position(placement.places), occupancy, received, strict=True)
        )
    ]
    return " ".join(
        [
            f"{len(rows)} cores on a mesh of {placement.mesh}.",
            f"The fullest is core {fullest}, {occupancy[fullest]:.0%}.",
            f"Most messages arrive at core {loudest}, {received[loudest]:,.1f} an inference.",
            *rows,
        ]
    )


def _placement(mapped: Mapped) -> Placement:
    if mapped.placement is None:
        raise UsageError(f"chip {mapped.chip}: its mesh is not published; expected one with a mesh for a figure")
    return mapped.placement


def _received(mapped: Mapped) -> Reals:
    """Messages that arrive at each core in one inference, from other cores, itself and outside."""
    return (mapped.traffic.between().sum(axis=0) + mapped.traffic.into()) / mapped.traffic.samples


def _matplotlib() -> Any:
    try:
        import_module("matplotlib.figure")
        return import_module("matplotlib")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{error.name} is not installed; run: {INSTALL}") from None


def draw_mesh(mapped: Mapped, occupancy: Sequence[float], title: str, form: str) -> bytes:
    """The bytes of the picture, as ``svg`` or ``png``; without a `title` there is no room for one."""
    matplotlib = _matplotlib()
    placement = _placement(mapped)
    full, received = 100 * np.asarray(occupancy, np.float64), _received(mapped)
    panels = (
        Panel(title="occupancy: share of the scarcest resource, %", values=full, colours="YlGnBu", top=100.0),
        Panel(
            title="traffic: messages that arrive in an inference",
            values=received,
            colours="YlOrRd",
            top=max(float(received.max()), 1.0),
        ),
    )
    # Letters become paths, so that the picture looks the same everywhere; the words are in its description.
    with matplotlib.rc_context({"svg.hashsalt": "bitspike", "font.size": 8}):
        mesh, (rows, columns) = placement.mesh, _inner(placement.mesh)
        height = (1.6 if title else 1.0) + 5.2 * mesh.rows * rows / (mesh.columns * columns)
        figure = matplotlib.figure.Figure(figsize=(11.0, min(height, 9.0)), layout="constrained")
        for axis, panel in zip(figure.subplots(1, 2), panels, strict=True):
            _panel(figure, axis, placement, panel)
        if title:
            figure.suptitle(title)
        content = BytesIO()
        figure.savefig(content, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
    return content.getvalue()


def _panel(figure: Any, axis: Any, placement: Placement, panel: Panel) -> None:
    """One heat map; cores that hold nothing stay grey."""
    mesh = placement.mesh
    rows, columns = _inner(mesh)
    cells = np.full((mesh.rows * rows, mesh.columns * columns), np.nan)
    spots = [_spot(mesh, int(place)) for place in placement.places]
    for spot, value in zip(spots, panel.values, strict=True):
        cells[spot] = value
    axis.set_facecolor("0.93")
    image = axis.imshow(cells, cmap=panel.colours, vmin=0.0, vmax=panel.top)
    for core, ((row, column), value) in enumerate(zip(spots, panel.values, strict=True)):
        ink = "white" if value > 0.6 * panel.top else "black"
        axis.text(column, row, str(core), ha="center", va="center", color=ink, fontsize=7)
    for number in range(mesh.rows + 1):
        axis.axhline(number * rows - 0.5, color="0.4", linewidth=0.8)
    for number in range(mesh.columns + 1):
        axis.axvline(number * columns - 0.5, color="0.4", linewidth=0.8)
    axis.set_xticks([(n + 0.5) * columns - 0.5 for n in range(mesh.columns)], [str(n + 1) for n in range(mesh.columns)])
    axis.set_yticks([(n + 0.5) * rows - 0.5 for n in range(mesh.rows)], [str(n + 1) for n in range(mesh.rows)])
    axis.tick_params(length=0)
    axis.set_title(panel.title)
    figure.colorbar(image, ax=axis, orientation="horizontal", shrink=0.7, aspect=40)


def _inner(mesh: Mesh) -> tuple[int, int]:
    """Rows and columns in which the cores of a tile are drawn."""
    columns = math.isqrt(mesh.cores_per_tile - 1) + 1
    return -(-mesh.cores_per_tile // columns), columns


def _spot(mesh: Mesh, place: int) -> tuple[int, int]:
    """Row and column of the cell of a place."""
    rows, columns = _inner(mesh)
    tile, within = divmod(place, mesh.cores_per_tile)
    (row, column), (inner_row, inner_column) = divmod(tile, mesh.columns), divmod(within, columns)
    return row * rows + inner_row, column * columns + inner_column
