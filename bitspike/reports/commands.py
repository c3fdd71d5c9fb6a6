"""Section: the commands that make all of it again."""

import shlex
from pathlib import Path

from bitspike import __version__
from bitspike.reports.findings import Findings
from bitspike.reports.parts import Section, Text
from bitspike.train.run_folder import RECIPE_FILE


def section(found: Findings) -> Section:
    """From the recipe to this page; a run that was not written has no commands that name it."""
    said = [f"bitspike {__version__}. The same recipe on the same machine gives the same bits."]
    if found.run.folder is None:
        said.append("This run was not written to a folder; write its recipe to a file to train it by a command.")
        return Section(name="commands", title="To make it again", said=tuple(said))
    return Section(
        name="commands",
        title="To make it again",
        said=tuple(said),
        texts=(Text(title="Commands", lines="\n".join(lines(found))),),
    )


def lines(found: Findings) -> tuple[str, ...]:
    """The commands, one a line, each word quoted as a shell needs it."""
    folder, beside = Path(found.run.folder or "."), found.beside
    recipe = str(folder / RECIPE_FILE)
    network, page = str(folder / "map.safetensors"), str(folder / "report.html")
    measured = ["--data", recipe if found.data_name is None else found.data_name]
    if beside is not None:
        network, page = str(beside.network), str(beside.page)
        measured = ["--data", recipe if found.data_name is None else str(beside.recipe)]
    data = [] if found.data_name is None else ["--data", found.data_name]
    samples = [] if found.samples is None else ["--samples", str(found.samples)]
    words = [
        ["train", recipe, "--out", f"{folder}-again", *data],
        ["collapse", str(folder), "--map", "--out", network],
        _verify(found, network, [*(measured if data else []), *samples]),
        ["energy", network, *measured, "--chip", found.chip, *samples],
    ]
    if found.pareto is not None:
        few = [] if found.pareto.samples is None else ["--samples", str(found.pareto.samples)]
        words.append(["bench", "pareto", str(folder), *data, *few])
    words.append(["report", str(folder), "--out", page, "--chip", found.chip, *data, *samples])
    return tuple(shlex.join(["bitspike", *each]) for each in words)


def _verify(found: Findings, network: str, more: list[str]) -> list[str]:
    if found.certificate is not None:
        return shlex.split(found.certificate.inputs.command())[1:]
    engines = [word for row in found.verification.engines if row.engine != "torch" for word in ("--engine", row.engine)]
    return ["verify", network, "--run", str(found.run.folder), *engines, *more]
