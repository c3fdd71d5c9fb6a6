"""Training runs: started, resumed, written to a folder and read back.

| file | holds |
|---|---|
| ``recipe.toml`` | the recipe, every value written out |
| ``metrics.jsonl`` | one JSON object an epoch |
| ``checkpoint.safetensors`` | the state after the last whole epoch |
| ``model.safetensors`` | the trained network |
| ``result.json`` | accuracies; written last, so that a folder with it is whole |
"""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import torch

from bitspike.errors import FileError, UsageError
from bitspike.files import existing_file, replacing
from bitspike.samples import SpikeData
from bitspike.train.accuracy import accuracies
from bitspike.train.checkpoint import CHECKPOINT_FILE, restore_checkpoint, save_checkpoint
from bitspike.train.layers.base import dimensions
from bitspike.train.loop import Metrics, Trainer
from bitspike.train.model import SpikingNetwork
from bitspike.train.modelfile import MODEL_FILE, load_model, save_model
from bitspike.train.progress import progress_bar
from bitspike.train.recipe import Recipe, load_recipe
from bitspike.train.schema import differences

RECIPE_FILE, METRICS_FILE, RESULT_FILE = "recipe.toml", "metrics.jsonl", "result.json"
_KINDS = ("posterior", "map", "noisy")
_PARTS = ("validation", "test")


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """A finished training run.

    Attributes:
        folder: where it lies; None for a run that was not written.
        recipe: what decided it.
        model: the trained network.
        result: ``result[part]["calibration"][kind]`` holds NLL, ECE, Brier score and the reliability diagram;
            ``result[part][kind]``, accuracies from 0 to 1: part ``validation`` or ``test``, kind ``posterior``,
            ``map`` or ``noisy``; and ``result["seconds"]``, the time that training took.
    """

    folder: Path | None
    recipe: Recipe
    model: SpikingNetwork
    result: Mapping[str, Any]

    @cached_property
    def train(self) -> SpikeData:
        """The training part in its fixed encoding."""
        return self._data("train")

    @cached_property
    def validation(self) -> SpikeData:
        """The validation part in its fixed encoding."""
        return self._data("validation")

    @cached_property
    def test(self) -> SpikeData:
        """The test part in its fixed encoding."""
        return self._data("test")

    def _data(self, part: str) -> SpikeData:
        return self.recipe.data.load(part)

    def __repr__(self) -> str:
        return f"Run({self.recipe.name!r}, seed={self.recipe.seed}, folder={str(self.folder)!r})"

    def __str__(self) -> str:
        shapes = [self.model.input_shape, *(layer.shape for layer in self.model.populations)]
        sizes = "-".join(dimensions(shape) for shape in shapes)
        where = "in memory" if self.folder is None else str(self.folder)
        lines = [f"run {self.recipe.name}, seed {self.recipe.seed}: {sizes}, {self.model.steps} steps, {where}"]
        lines.append(f"{'accuracy':<12}" + "".join(f"{kind:>11}" for kind in _KINDS))
        for part in _PARTS:
            lines.append(f"{part:<12}" + "".join(f"{self.result[part][kind]:>11.1%}" for kind in _KINDS))
        scores = self.result["test"].get("calibration", {})
        for name in ("ece", "nll", "brier"):
            if scores:
                lines.append(f"{'test-' + name:<12}" + "".join(f"{scores[kind][name]:>11.4f}" for kind in _KINDS))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, names, *rows = str(self).splitlines()
        cells = "".join(
            "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in line.split()) + "</tr>"
            for tag, line in (("th", names), *(("td", row) for row in rows))
        )
        return f"<p>{escape(head)}</p><table>{cells}</table>"


def fit(
    recipe: Recipe | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    seed: int | None = None,
    data: str | None = None,
    progress: bool | None = None,
) -> Run:
    """Train a network.

    Args:
        recipe: a recipe, or the path of its TOML file.
        out: run folder; it must not exist, or be empty, unless `resume` is set. Without one nothing is written and the
            run stays in memory.
        resume: go on from the last whole epoch of the run in `out`; the result is that of a run that was never
            stopped, bit for bit. A finished run is read back.
        seed: replaces the recipe's seed.
        data: replaces the name of the recipe's data, such as ``mnist:DIR``.
        progress: whether to draw a progress bar on standard error; by default where that is a terminal.

    Raises:
        UsageError: an impossible recipe, a folder in use, or a run to resume that has another recipe.
        FileError: a file that cannot be read or written, or is damaged.
    """
    wanted = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if seed is not None:
        wanted = wanted.with_seed(seed)
    if data is not None:
        wanted = wanted.with_data(data)
    folder = None if out is None else Path(out)
    if resume:
        if folder is None:
            raise UsageError("resume: found no run folder; expected the folder of the run to resume as out")
        _check_same(wanted, folder)
        if (folder / RESULT_FILE).exists():
            return load_run(folder)
    elif folder is not None:
        _start(wanted, folder)
    with _threads(wanted.training.threads):
        trainer = Trainer(wanted)
        if resume and folder is not None and (folder / CHECKPOINT_FILE).exists():
            restore_checkpoint(trainer, folder / CHECKPOINT_FILE)
        seconds = _train(trainer, folder, progress)
        return _finish(trainer, folder, seconds)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch's operations use `count` threads in this block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _start(recipe: Recipe, folder: Path) -> None:
    """Make the run folder with its recipe; refuse one that holds anything."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"out: {folder} exists and is not an empty folder; expected a new folder, or resume")
    with replacing(folder / RECIPE_FILE) as temporary:
        temporary.write_text(recipe.to_toml(), encoding="utf-8")


def _check_same(recipe: Recipe, folder: Path) -> None:
    """Refuse to resume a run of another recipe; name the first key that differs."""
    if not (folder / RECIPE_FILE).exists():
        raise UsageError(f"out: {folder} holds no run to resume; expected a run folder with {RECIPE_FILE}")
    for key, found, saved in differences(recipe, load_recipe(folder / RECIPE_FILE)):
        raise UsageError(f"{key}: found {found!r}; expected {saved!r}, as in the run to resume in {folder}")


def _train(trainer: Trainer, folder: Path | None, progress: bool | None) -> float:
    """Train the epochs that are left, one metrics line and one checkpoint each; return seconds."""
    lines: list[str] = []
    if folder is not None and (folder / METRICS_FILE).exists():
        # A line without its checkpoint belongs to an epoch that is trained again.
        lines = (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines()[: trainer.epoch]
    epochs = trainer.recipe.training.epochs
    start = time.perf_counter()
    with progress_bar(
        show=progress, name=trainer.recipe.name, epochs=epochs, updates=trainer.updates, done=trainer.epoch
    ) as report:
        while trainer.epoch < epochs:
            epoch = trainer.epoch + 1
            metrics: Metrics = {}
            for metrics in trainer.run_epoch():
                report(epoch, metrics)
            lines.append(json.dumps(metrics))
            if folder is not None:
                with replacing(folder / METRICS_FILE) as temporary:
                    temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
                save_checkpoint(trainer, folder / CHECKPOINT_FILE)
    return time.perf_counter() - start


def _finish(trainer: Trainer, folder: Path | None, seconds: float) -> Run:
    """Fold, measure and, in a folder, write the trained network."""
    recipe = trainer.recipe
    model = trainer.finished_model()
    run = Run(folder=folder, recipe=recipe, model=model, result={})
    members = recipe.training.members
    parts = {"validation": run.validation, "test": run.test}
    result: dict[str, Any] = {
        part: accuracies(model, data, members=members, floor=recipe.estimator.floor) for part, data in parts.items()
    }
    result |= {"members": members, "epochs": recipe.training.epochs, "seconds": round(seconds, 3)}
    if folder is not None:
        save_model(model, folder / MODEL_FILE)
        with replacing(folder / RESULT_FILE) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return Run(folder=folder, recipe=recipe, model=model, result=result)


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Return the finished run in a folder.

    Raises:
        FileError: no run, an unfinished one, or a damaged file.
    """
    found = Path(folder)
    if not found.is_dir():
        raise FileError(found, "is not a run folder")
    recipe = load_recipe(found / RECIPE_FILE)
    if not (found / RESULT_FILE).exists():
        raise FileError(found, "holds an unfinished run; train again with resume")
    return Run(folder=found, recipe=recipe, model=load_model(found / MODEL_FILE), result=_result(found / RESULT_FILE))


def _result(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(existing_file(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"is not JSON ({error})") from None
    for part in _PARTS:
        for kind in _KINDS:
            kinds = result.get(part) if isinstance(result, dict) else None
            value = kinds.get(kind) if isinstance(kinds, dict) else None
            if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
                raise FileError(path, f"{part}.{kind}: found {value!r}; expected an accuracy from 0 to 1")
    return dict(result)
