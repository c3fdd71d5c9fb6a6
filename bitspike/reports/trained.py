"""Section: what was trained, and by which recipe."""

import json
import math
from typing import Any

from bitspike.reports.canvas import COLOURS, drawing
from bitspike.reports.findings import Findings
from bitspike.reports.parts import Drawing, Section, Table, Text, counted, word
from bitspike.train.run_folder import METRICS_FILE

#: How estimators of a recipe are called in words.
ESTIMATORS = {
    "iwst": "importance-weighted straight-through",
    "tempered": "importance-weighted straight-through, tempered",
    "gumbel_rao": "Gumbel-Rao",
    "surrogate": "surrogate gradient",
}


def section(found: Findings) -> Section:
    """The recipe in a few rows and in full, the network line by line, and the course of training."""
    run, recipe, network = found.run, found.run.recipe, found.network
    connections = network.connections
    rows: list[tuple[str, Any]] = [
        ("recipe", recipe.name),
        ("seed", recipe.seed),
        ("data", recipe.data.name),
        ("encoding", f"{_encoder(found)}, {counted(network.steps, 'step')}"),
        ("posterior", recipe.posterior.family),
        ("estimator", ESTIMATORS.get(recipe.estimator.name, recipe.estimator.name)),
        ("epochs", f"{run.result.get('epochs', recipe.training.epochs)} of {recipe.training.epochs}"),
        ("populations", ", ".join(f"{p.name} ({p.size:,})" for p in network.populations)),
        ("neurons", f"{sum(p.size for p in network.populations):,}"),
        ("weights", f"{sum(c.parameters for c in connections):,}"),
    ]
    seconds = run.result.get("seconds")
    if isinstance(seconds, int | float) and math.isfinite(seconds) and seconds > 0:
        rows.append(("time of training", f"{seconds:,.0f} s"))
    metrics = _metrics(found)
    return Section(
        name="trained",
        title="What was trained",
        tables=(
            Table(
                name="recipe",
                caption="The run in short.",
                heads=("what", "value"),
                rows=tuple((word(name), word(value)) for name, value in rows),
            ),
        ),
        drawings=(_course(metrics),) if metrics else (),
        texts=(
            Text(title="The network in integers, one line a node", lines=str(network), long=True),
            Text(title="The recipe, every value written out", lines=recipe.to_toml(), long=True),
        ),
    )


def _encoder(found: Findings) -> str:
    """The encoder's name, where a recipe leaves the choice to the kind of data too."""
    data = found.run.recipe.data
    chosen = data.encoding.encoder_for(data.kind)
    return "counts of events" if chosen == "auto" else chosen


def _metrics(found: Findings) -> list[dict[str, float]]:
    """What each epoch's line says in numbers; nothing of a run that was not written, or of lines that do not say it."""
    folder = found.run.folder
    if folder is None or not (folder / METRICS_FILE).is_file():
        return []
    rows = []
    for line in (folder / METRICS_FILE).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            return []
        if not isinstance(row, dict):
            return []
        rows.append({k: float(v) for k, v in row.items() if isinstance(v, int | float) and math.isfinite(v)})
    wanted = {"epoch", "loss", "accuracy"}
    return rows if all(wanted <= set(row) for row in rows) else []


def _course(metrics: list[dict[str, float]]) -> Drawing:
    validated = [row for row in metrics if "validation_map" in row]
    last = metrics[-1]
    said = f"After {counted(len(metrics), 'epoch')} the training loss is {last['loss']:.3f}, "
    said += f"the accuracy in training {last['accuracy']:.1%}"
    if validated:
        said += f", and that of the most probable bits on the validation part {validated[-1]['validation_map']:.1%}"

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        epochs = [row["epoch"] for row in metrics]
        left.plot(epochs, [row["loss"] for row in metrics], color=COLOURS[0])
        left.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
        right.plot(epochs, [100 * row["accuracy"] for row in metrics], color=COLOURS[0], label="in training")
        if validated:
            right.plot(
                [row["epoch"] for row in validated],
                [100 * row["validation_map"] for row in validated],
                color=COLOURS[1],
                label="MAP bits, validation part",
            )
        right.set(xlabel="epoch", ylabel="accuracy, %")
        right.legend(loc="lower right")
        for axis in (left, right):
            axis.locator_params(axis="x", integer=True)

    return drawing("course", "Course of training", f"{said}.", size=(6.6, 2.6), draw=draw)
