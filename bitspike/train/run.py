"""Training runs: started, resumed, written to a folder and read back.

| file | holds |
|---|---|
| ``recipe.toml`` | the recipe, every value written out |
| ``metrics.jsonl`` | one JSON object an epoch; ``seconds`` is the time that it took |
| ``checkpoint.safetensors`` | the state after the last whole epoch |
| ``model.safetensors`` | the trained network |
| ``result.json`` | accuracies; written last, so that a folder with it is whole |
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import torch

from bitspike.errors import FileError, UsageError
from bitspike.files import replacing
from bitspike.samples import SpikeData
from bitspike.train.accuracy import measured
from bitspike.train.checkpoint import CHECKPOINT_FILE, restore_checkpoint, save_checkpoint
from bitspike.train.launch import Accelerator, Placement, launch
from bitspike.train.layers.base import dimensions
from bitspike.train.loop import Metrics, Trainer
from bitspike.train.model import SpikingNetwork
from bitspike.train.modelfile import MODEL_FILE, load_model, save_model
from bitspike.train.processes import Processes
from bitspike.train.progress import progress_bar
from bitspike.train.recipe import Recipe, load_recipe
from bitspike.train.run_folder import (
    METRICS_FILE,
    PARTS,
    RECIPE_FILE,
    RESULT_FILE,
    SCORES,
    check_same,
    read_metrics,
    read_result,
    started,
)
from bitspike.train.threads import torch_threads


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """A finished training run.

    Attributes:
        folder: where it lies; None for a run that was not written.
        recipe: what decided it.
        model: the trained network.
        result: ``result[part]["calibration"][kind]`` holds NLL, ECE, Brier score and the reliability diagram;
            ``result[part][kind]``, accuracies from 0 to 1: part ``validation`` or ``test``, kind ``posterior``,
            ``committee``, ``map`` or ``noisy``, as :mod:`bitspike.train.accuracy` tells them apart;
            ``result[part]["fitted"][kind]``, the scores at ``result["temperature"][kind]``, fitted on the validation
            part; ``result[part]["wrong"][kind]``, the rows that are wrong; ``epochs``, the epochs trained, and
            ``kept_epoch``, the one that the network is of; ``seconds``, the time of these epochs over all resumes;
            ``processes``, how many trained, and ``device``, on what kind; ``parameters``, the SHA-256 of all
            parameters after the last epoch, the same in each process; and in a folder ``model``, that of the trained
            network's file.
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

    def model_digest(self) -> str:
        """SHA-256 of the trained network's file, in hexadecimal; empty for a run that was not written."""
        return "" if self.folder is None else _digest(self.folder / MODEL_FILE)

    def __repr__(self) -> str:
        return f"Run({self.recipe.name!r}, seed={self.recipe.seed}, folder={str(self.folder)!r})"

    def __str__(self) -> str:
        shapes = [self.model.input_shape, *(layer.shape for layer in self.model.populations)]
        sizes = "-".join(dimensions(shape) for shape in shapes)
        more = sum(len(one.sources) - 1 + len(one.shortcuts) for one in self.model.wires)
        sizes += f" ({more} connections more than a chain)" if more else ""
        where = "in memory" if self.folder is None else str(self.folder)
        lines = [f"run {self.recipe.name}, seed {self.recipe.seed}: {sizes}, {self.model.steps} steps, {where}"]
        # Runs that were written before there were committees have none.
        kinds = [kind for kind in ("posterior", "committee", "map", "noisy") if kind in self.result["test"]]
        lines.append(f"{'accuracy':<12}" + "".join(f"{kind:>11}" for kind in kinds))
        for part in PARTS:
            lines.append(f"{part:<12}" + "".join(f"{self.result[part][kind]:>11.1%}" for kind in kinds))
        scores = self.result["test"].get("calibration", {})
        for name in SCORES:
            if scores:
                lines.append(f"{'test-' + name:<12}" + "".join(f"{scores[kind][name]:>11.4f}" for kind in kinds))
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
    devices: int = 1,
    nodes: int = 1,
    accelerator: Accelerator = "cpu",
) -> Run:
    """Train a network.

    With several processes each takes its share of every batch; see :mod:`bitspike.train.processes` for what that leaves
    equal, and :mod:`bitspike.train.launch` for how they start. A script that calls this with several must do so under
    ``if __name__ == "__main__":``, since they import it.

    Args:
        recipe: a recipe, or the path of its TOML file.
        out: run folder; it must not exist, or be empty, unless `resume` is set. Without one nothing is written and the
            run stays in memory.
        resume: go on from the last whole epoch of the run in `out`; the result is that of a run that was never
            stopped, bit for bit. A finished run is read back.
        seed: replaces the recipe's seed.
        data: replaces the name of the recipe's data, such as ``mnist:DIR``.
        progress: whether to draw a progress bar on standard error; by default where that is a terminal, and lines with
            the time left where not.
        devices: processes on each machine.
        nodes: machines.
        accelerator: ``cpu``, ``gpu`` or ``auto``, which is a GPU where there is one. Networks are evaluated there too,
            integer for integer as on a processor.

    Raises:
        UsageError: an impossible recipe, a folder in use, or a run to resume that has another recipe.
        FileError: a file that cannot be read or written, or is damaged.
        MissingDependencyError: several processes without Lightning Fabric.
        EngineError: one of several processes failed; all are ended.
    """
    wanted = _wanted(recipe, seed, data)
    folder = None if out is None else Path(out)
    place = Placement(devices=devices, nodes=nodes, accelerator=accelerator)
    fabric = place.fabric() if place.count > 1 else None
    if resume:
        if folder is None:
            raise UsageError("resume: found no run folder; expected the folder of the run to resume as out")
        check_same(wanted, folder)
        if (folder / RESULT_FILE).exists():
            return load_run(folder)
    _check_data(recipe, wanted)
    with ExitStack() as stack:
        if folder is not None and not resume and (fabric is None or fabric.global_rank == 0):
            stack.enter_context(started(wanted, folder))
        if fabric is None:
            return _work(Processes(device=torch.device(place.kind)), wanted, folder, resume, progress)
        if folder is not None:
            launch(fabric, _work_together, wanted, folder, resume, progress)
            return load_run(folder)
    with tempfile.TemporaryDirectory() as temporary, started(wanted, Path(temporary)):
        launch(fabric, _work_together, wanted, Path(temporary), resume, progress)
        return replace(load_run(temporary), folder=None)


def _wanted(recipe: Recipe | str | os.PathLike[str], seed: int | None, data: str | None) -> Recipe:
    """Return the recipe with what the caller replaces."""
    wanted = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if seed is not None:
        wanted = wanted.with_seed(seed)
    return wanted if data is None else wanted.with_data(data)


def _check_data(recipe: Recipe | str | os.PathLike[str], wanted: Recipe) -> None:
    """Refuse a recipe that does not fit the data's files, and name its own file where it was read from one."""
    try:
        wanted.network_shapes()
    except UsageError as error:
        raise UsageError(str(error) if isinstance(recipe, Recipe) else f"{os.fspath(recipe)}: {error}") from None


def _work(processes: Processes, recipe: Recipe, folder: Path | None, resume: bool, progress: bool | None) -> Run:
    """Train and measure in this process."""
    with torch_threads(recipe.training.threads):
        trainer = Trainer(recipe, processes)
        if resume and folder is not None and (folder / CHECKPOINT_FILE).exists():
            restore_checkpoint(trainer, folder / CHECKPOINT_FILE)
        if processes.rank > 0:
            folder, progress = None, False
        seconds = _train(trainer, folder, progress)
        return _finish(trainer, folder, seconds)


def _work_together(processes: Processes, recipe: Recipe, folder: Path, resume: bool, progress: bool | None) -> None:
    """Train in one of several processes; process 0 writes the folder while the others wait."""
    _work(processes, recipe, folder, resume, progress)
    processes.wait()


def _train(trainer: Trainer, folder: Path | None, progress: bool | None) -> float:
    """Train the epochs that are left, one metrics line and one checkpoint each; return the seconds of all epochs."""
    # A line without its checkpoint belongs to an epoch that is trained again.
    lines = [] if folder is None or trainer.epoch == 0 else read_metrics(folder / METRICS_FILE, trainer.epoch)
    epochs = trainer.recipe.training.epochs
    with progress_bar(
        show=progress, name=trainer.recipe.name, epochs=epochs, updates=trainer.updates, done=trainer.epoch
    ) as report:
        while not trainer.finished:
            start = time.perf_counter()
            epoch = trainer.epoch + 1
            metrics: Metrics = {}
            for metrics in trainer.run_epoch():
                report(epoch, metrics)
            lines.append(json.dumps(metrics | {"seconds": round(time.perf_counter() - start, 3)}))
            if folder is not None:
                with replacing(folder / METRICS_FILE) as temporary:
                    temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
                save_checkpoint(trainer, folder / CHECKPOINT_FILE)
    return sum(float(json.loads(line)["seconds"]) for line in lines)


def _finish(trainer: Trainer, folder: Path | None, seconds: float) -> Run:
    """Fold, measure and, in a folder, write the trained network; only process 0 measures."""
    recipe = trainer.recipe
    model = trainer.finished_model()
    run = Run(folder=folder, recipe=recipe, model=model, result={})
    if trainer.processes.rank > 0:
        return run
    members = recipe.training.members
    parts = {"validation": run.validation, "test": run.test}
    result = measured(model.to(trainer.processes.device), parts, members=members, floor=recipe.estimator.membrane_noise)
    model = model.to("cpu")
    result |= {"members": members, "epochs": trainer.epoch, "kept_epoch": trainer.kept_epoch}
    result |= {"seconds": round(seconds, 3), "parameters": trainer.fingerprint()}
    result |= {"processes": trainer.processes.count, "device": trainer.processes.device.type}
    if folder is not None:
        save_model(model, folder / MODEL_FILE)
        result |= {"model": _digest(folder / MODEL_FILE)}
        with replacing(folder / RESULT_FILE) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return Run(folder=folder, recipe=recipe, model=model, result=result)


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Return the finished run in a folder.

    Raises:
        FileError: no run, an unfinished one, a damaged file, or the network of another run.
    """
    found = Path(folder)
    if not found.is_dir():
        raise FileError(found, "is not a run folder")
    recipe = load_recipe(found / RECIPE_FILE)
    if not (found / RESULT_FILE).exists():
        raise FileError(found, "holds an unfinished run; train again with resume")
    model, result = load_model(found / MODEL_FILE), read_result(found / RESULT_FILE)
    # Runs that were written before had no digest in their results.
    if result.get("model", digest := _digest(found / MODEL_FILE)) != digest:
        raise FileError(found / MODEL_FILE, f"is not the network of this run, whose results stand in {RESULT_FILE}")
    return Run(folder=found, recipe=recipe, model=model, result=result)


def _digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
