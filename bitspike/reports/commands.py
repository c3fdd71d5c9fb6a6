"""Section: the commands that make all of it again."""

import shlex
from pathlib import Path

from bitspike import __version__
from bitspike.reports.findings import Findings
from bitspike.reports.parts import Section, Text
from bitspike.train.run import RECIPE_FILE


def section(found: Findings) -> Section:
    """From the recipe to this page; a run that was not written has no commands that name it."""
    said = [f"bitspike {__version__}. The same recipe on the same machine gives the same bits."]
    if found.run.folder is None:
        said.append("This run was not written to a folder; write its recipe to a file to train it by a command.")
        return Section(name="commands", title="To make it again", said=tuple(said))
    if found.data_name is not None:
        said.append(
            f"Samples here are those of {found.data_name}: for verify and energy put it in place of the name of the "
            "data in the recipe."
        )
    compared, samples = max(row.samples for row in found.verification.engines), len(found.data)
    if compared < samples:
        said.append(f"The comparison took the first {compared:,} samples of {samples:,}: --samples of verify.")
    return Section(
        name="commands",
        title="To make it again",
        said=tuple(said),
        texts=(Text(title="Commands", lines="\n".join(lines(found))),),
    )


def lines(found: Findings) -> tuple[str, ...]:
    """The commands, one a line, each word quoted as a shell needs it."""
    folder = Path(found.run.folder or ".")
    recipe, network = str(folder / RECIPE_FILE), str(folder / "map.safetensors")
    engines = [word for row in found.verification.engines if row.engine != "torch" for word in ("--engine", row.engine)]
    data = [] if found.data_name is None else ["--data", found.data_name]
    words = (
        ["train", recipe, "--out", f"{folder}-again", *data],
        ["collapse", str(folder), "--map", "--out", network],
        ["verify", network, "--run", str(folder), *engines],
        ["energy", network, "--data", recipe, "--chip", found.chip],
        ["report", str(folder), "--out", str(folder / "report.html"), "--chip", found.chip, *data],
    )
    return tuple(shlex.join(["bitspike", *each]) for each in words)
