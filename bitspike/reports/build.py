"""The report of a run, from a folder to a file."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitspike.errors import UsageError
from bitspike.files import replacing
from bitspike.reports import accuracy, commands, cores, equality, prices, rasters, tradeoffs, trained
from bitspike.reports.canvas import check_matplotlib, standalone
from bitspike.reports.findings import Findings, find
from bitspike.reports.page import page
from bitspike.reports.parts import Headline, Section, data_label
from bitspike.reports.proof import write_beside
from bitspike.reports.source import find_run
from bitspike.samples import SpikeData
from bitspike.sim.verify import Verification
from bitspike.train.run import Run

#: In the order of the page.
_SECTIONS = (trained, accuracy, equality, rasters, cores, prices, tradeoffs, commands)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was found of a run, and where its page lies.

    Attributes:
        findings: all values behind the page.
        sections: the page in plain values.
        path: of the page; None where none was written.
        figures: files of figures, where those were wanted.
    """

    findings: Findings
    sections: tuple[Section, ...]
    path: Path | None = None
    figures: tuple[Path, ...] = ()

    def html(self) -> str:
        """The page's text."""
        found = self.findings
        title = f"{found.run.recipe.name} on {found.chip}"
        lead = (
            f"A spiking network with one-bit weights, trained on {data_label(found.run.recipe.data.name)}, collapsed "
            f"to integers, compared engine by engine and priced on {found.chip}."
        )
        return page(title, lead, headlines(found), self.sections)

    def _repr_html_(self) -> str:
        """Shown in a notebook: the page in a frame of its own."""
        from html import escape

        return f'<iframe srcdoc="{escape(self.html())}" width="100%" height="800"></iframe>'

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = self.findings
        return {
            "report": None if self.path is None else str(self.path),
            "run": None if found.run.folder is None else str(found.run.folder),
            "certificate": None if found.certificate is None else found.certificate.as_json(),
            "figures": [str(path) for path in self.figures],
            "accuracy": found.accuracy,
            "verification": found.verification.as_json(),
            "energy": None if found.estimate is None else found.estimate.as_json(),
            "pareto": None if found.pareto is None else found.pareto.as_json(),
        }

    def __str__(self) -> str:
        lines = [f"{one.figure}  {one.label} ({one.detail})" for one in headlines(self.findings)]
        lines += [f"figures: {len(self.figures)} files in {self.figures[0].parent}"] if self.figures else []
        found = self.findings
        lines += [f"run: {found.run.folder}"] if found.run.folder else []
        lines += [f"certificate: {found.beside.certificate}"] if found.beside and found.certificate else []
        return "\n".join([*lines, *([f"report: {self.path}"] if self.path else [])])


def report(
    run: Run | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    figures: str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    data: str | SpikeData | None = None,
    chip: str = "loihi1",
    samples: int | None = None,
    verification: Verification | None = None,
    pareto: bool | None = None,
    notify: Callable[[str, int, int], None] | None = None,
) -> Report:
    """One HTML page about a run, which needs no network and no other file.

    Beside a page lie the certificate of its comparison and the network that this names.

    Args:
        run: a trained run, or its folder; or a recipe, ``.toml``, which is trained where its run is not there yet.
        out: the page to write, ending in ``.html``; without one nothing is written.
        figures: a folder for the figures one by one, as SVG and PNG.
        folder: of a recipe, as for :func:`bitspike.reports.source.find_run`.
        data: of a recipe, the name of the data to train and test with; of a run, as for
            :func:`bitspike.reports.findings.find`.
        chip, samples, verification, pareto, notify: as for the latter.

    Raises:
        FileError: a folder that holds no run, or a damaged one.
        MissingDependencyError: matplotlib is not installed.
    """
    check_ready(out)
    known, others = _found_run(run, folder, data)
    found = find(
        known,
        data=others,
        chip=chip,
        samples=samples,
        verification=verification,
        pareto=pareto,
        page=None if out is None else Path(out),
        notify=notify,
    )
    sections = tuple(part for module in _SECTIONS if (part := module.section(found)) is not None)
    made = Report(
        findings=found,
        sections=sections,
        path=None if out is None else Path(out),
        figures=() if figures is None else _write_figures(sections, Path(figures)),
    )
    if found.certificate is not None and found.beside is not None:
        write_beside(found.beside, found.network, found.certificate, known, found.data_name)
    if made.path is not None:
        with replacing(made.path) as temporary:
            # Names of files may hold bytes that are no letters; they are shown as escapes.
            temporary.write_bytes(made.html().encode("utf-8", "backslashreplace"))
    return made


def check_ready(out: str | os.PathLike[str] | None) -> None:
    """Raise UsageError where `out` is no name of a page, MissingDependencyError without matplotlib; before all work."""
    if out is not None and Path(out).suffix not in (".html", ".htm"):
        raise UsageError(f"report {os.fspath(out)}; expected a name that ends in .html")
    check_matplotlib()


def _found_run(
    run: Run | str | os.PathLike[str], folder: str | os.PathLike[str] | None, data: str | SpikeData | None
) -> tuple[Run, str | SpikeData | None]:
    """The run, and the data to take in place of its own: a recipe is trained with what is named."""
    if isinstance(run, Run):
        return run, data
    if Path(run).suffix == ".toml" and not isinstance(data, SpikeData):
        return find_run(run, folder=folder, data=data), None
    return find_run(run, folder=folder), data


def headlines(found: Findings) -> tuple[Headline, ...]:
    """The few figures at the top of the page."""
    first = Headline(
        label="right, most probable bits, integer run",
        figure=f"{found.accuracy:.2%}",
        detail=f"of {len(found.data):,} samples of {data_label(found.data.name)}",
    )
    others = (equality.headline(found), prices.headline(found), cores.headline(found))
    return (first, *(one for one in others if one is not None))


def _write_figures(sections: tuple[Section, ...], folder: Path) -> tuple[Path, ...]:
    paths = []
    for drawing in (one for section in sections for one in section.drawings):
        with replacing(folder / f"{drawing.name}.svg") as temporary:
            temporary.write_text(standalone(drawing), encoding="utf-8")
        with replacing(folder / f"{drawing.name}.png") as temporary:
            temporary.write_bytes(drawing.render("png"))
        paths += [folder / f"{drawing.name}.svg", folder / f"{drawing.name}.png"]
    return tuple(paths)
