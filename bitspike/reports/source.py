"""The run that a report is about: a folder, or a recipe whose run is trained where it is not there yet."""

import os
from pathlib import Path

from bitspike.errors import UsageError
from bitspike.train import fit, load_run
from bitspike.train.recipe import load_recipe
from bitspike.train.run import Run
from bitspike.train.run_folder import RECIPE_FILE

#: Where the run of a recipe lies by default, in a folder of the recipe's name.
RUNS = Path("runs")


def find_run(
    source: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    data: str | None = None,
    progress: bool | None = None,
) -> Run:
    """The finished run in the folder `source`, or that of the recipe `source`, which ends in ``.toml``.

    Args:
        source: a run folder or a recipe.
        folder: of a recipe, where its run lies; default: ``runs/NAME``. What is there is used: a finished run as it is,
            and a stopped one is trained to its end.
        data: of a recipe, replaces the name of its data, in training too; a run folder has its own.
        progress: as for :func:`bitspike.train.run.fit`.

    Raises:
        UsageError: the folder holds the run of another recipe, or something else.
        FileError: no such recipe or run, or a damaged one.
    """
    path = Path(source)
    if path.suffix != ".toml":
        if folder is not None:
            raise UsageError(f"run folder {os.fspath(folder)}: {path} is one already; expected a recipe, or one folder")
        return load_run(path)
    recipe = load_recipe(path)
    place = RUNS / recipe.name if folder is None else Path(folder)
    begun = (place / RECIPE_FILE).exists()
    return fit(recipe, out=place, resume=begun, data=data, progress=progress)
