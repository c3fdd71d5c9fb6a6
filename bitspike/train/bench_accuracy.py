"""Accuracy and calibration side by side: a recipe, plain straight-through, and snnTorch at full precision.

    bitspike           the recipe as it is
    straight-through   the same with latent weights and without noise: signs forward, gradients straight through
                       (:mod:`bitspike.train.straight_through`)
    snntorch           the same architecture with weights of full precision (:mod:`bitspike.train.snntorch_side`)

All sides see the same spikes in the same batches for the same epochs, seed by seed. Nothing is chosen on the test part:
it is looked at once, after the last epoch. A temperature is fitted on the validation part for each side and kind of
prediction alike, and scores are told with it and without it. ECE has 15 bins; what the test samples can tell of the
committee's NLL and Brier score is told as in :mod:`bitspike.train.bench_calibration`. The rates of the other sides may
be searched for on the validation part (:mod:`bitspike.train.bench_search`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bitspike.errors import FileError, UsageError
from bitspike.files import existing_file, replacing
from bitspike.train.accuracy import Predictions, fitted, totals, wrong_rows
from bitspike.train.accuracy_table import AccuracyBench, Outcome
from bitspike.train.bench_calibration import calibration_differences
from bitspike.train.bench_search import SEARCHED, SideOptions, search
from bitspike.train.bench_sides import check_snntorch
from bitspike.train.calibration import calibration
from bitspike.train.launch import Accelerator, Placement
from bitspike.train.recipe import Recipe, load_recipe
from bitspike.train.run import Run, fit
from bitspike.train.run_folder import RECIPE_FILE, RESULT_FILE
from bitspike.train.schema import differences
from bitspike.train.snntorch_side import check_sequence, train_snntorch
from bitspike.train.temperature import fit_temperature

SIDES = ("bitspike", "straight-through", "snntorch")
_FULL_PRECISION = 32
Notify = Callable[[str, int, int], None]


def bench_accuracy(
    recipe: Recipe,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    sides: Sequence[str] = SIDES,
    out: Path | None = None,
    options: SideOptions | None = None,
    accelerator: Accelerator = "cpu",
    notify: Notify | None = None,
) -> AccuracyBench:
    """Train and measure each side with each seed; see the module's docstring.

    Args:
        recipe: of all sides; its own seed is replaced.
        seeds: one or more, each once.
        sides: some of `SIDES`.
        out: a folder for one run folder a side and seed, ``SIDE-SEED``. What is finished there is read and not trained
            again, and what was stopped goes on from its last whole epoch, but for snnTorch, which starts again.
        options: of the other sides.
        accelerator: where all sides train, as in :func:`bitspike.train.run.fit`.
        notify: called with a label, the number of the run from 0, and the number of runs.

    Raises:
        UsageError: no seed, a seed or a side twice, an unknown side, a recipe that chooses its epochs, or a run in
            `out` of another recipe or device.
        FileError: a run that cannot be read or written.
        MissingDependencyError: snnTorch is not installed.
        UnsupportedError: a network that the snnTorch side cannot have.
    """
    _check(seeds, sides)
    _check_epochs(recipe)
    chosen = options or SideOptions()
    if set(sides) - {"bitspike"}:
        check_snntorch()
    if "snntorch" in sides:
        check_sequence(recipe.network)
    runs = [(side, seed) for seed in seeds for side in sides]
    trainer = _Runs(recipe=recipe, out=out, named=chosen.searches, place=Placement(accelerator=accelerator))

    def tried(side: str, options: SideOptions) -> Outcome:
        if notify is not None:
            notify(f"{side}, {_named(options.of(side))}", 0, len(runs))
        return trainer.outcome(side, seeds[0], options)

    chosen, trials = search(chosen, sides, tried)
    outcomes = []
    for number, (side, seed) in enumerate(runs):
        if notify is not None:
            notify(f"{side}, seed {seed}", number, len(runs))
        outcomes.append(trainer.outcome(side, seed, chosen))
    ours, straight = (
        [trainer.trained[trainer.name(side, seed, chosen)] for seed in seeds] if side in sides else []
        for side in ("bitspike", "straight-through")
    )
    return AccuracyBench(
        recipe=recipe.name,
        data=recipe.data.name,
        outcomes=tuple(outcomes),
        trials=trials,
        calibration=calibration_differences(ours, straight) if ours else (),
    )


@dataclass(frozen=True, kw_only=True)
class _Runs:
    """Runs of one recipe, each trained once.

    Attributes:
        recipe: of all sides.
        out: where their folders are; None for none.
        named: whether the folders of the other sides tell their values.
        place: where they train.
        done: outcomes by folder name.
        trained: runs by folder name, but for snnTorch's.
    """

    recipe: Recipe
    out: Path | None
    named: bool
    place: Placement
    done: dict[str, Outcome] = field(default_factory=dict)
    trained: dict[str, Run] = field(default_factory=dict)

    def name(self, side: str, seed: int, options: SideOptions) -> str:
        """Return the name of the folder of a side with a seed."""
        if self.named and side in SEARCHED:
            return f"{side}-{seed}-{_named(options.of(side), between='-')}"
        return f"{side}-{seed}"

    def outcome(self, side: str, seed: int, options: SideOptions) -> Outcome:
        """Train and measure a side with a seed, or return what is known of it."""
        name = self.name(side, seed, options)
        if name not in self.done:
            folder = None if self.out is None else self.out / name
            if side == "snntorch":
                self.done[name] = _snntorch(self.recipe.with_seed(seed), folder, options.snntorch_rate, self.place)
            else:
                of = options.straight(self.recipe) if side == "straight-through" else self.recipe
                self.trained[name] = _trained(of.with_seed(seed), folder, self.place)
                self.done[name] = _measured(side, self.trained[name])
        return self.done[name]


def _named(values: dict[str, float], *, between: str = ", ") -> str:
    return between.join(f"{key}{'-' if between == '-' else ' '}{value:g}" for key, value in values.items())


def _check(seeds: Sequence[int], sides: Sequence[str]) -> None:
    for key, found in (("seeds", seeds), ("sides", sides)):
        if not found or len(set(found)) < len(found):
            raise UsageError(f"{key}: found {','.join(map(str, found))!r}; expected one or more, each once")
    for side in sides:
        if side not in SIDES:
            raise UsageError(f"sides: found {side!r}; expected some of {', '.join(SIDES)}")


def _check_epochs(recipe: Recipe) -> None:
    """Refuse a recipe that chooses its epochs: each side would choose others, and snnTorch's has all of them."""
    for key, expected in (("patience", 0), ("keep", "last")):
        found = getattr(recipe.training, key)
        if found != expected:
            why = "in this bench, whose sides all train the same epochs"
            raise UsageError(f"training.{key}: found {found!r}; expected {expected!r} {why}")


def _trained(recipe: Recipe, folder: Path | None, place: Placement) -> Run:
    resume = folder is not None and (folder / RECIPE_FILE).exists()
    run = fit(recipe, out=folder, resume=resume, progress=False, accelerator=place.accelerator)
    for key, lacks in (("fitted", "a committee"), ("wrong", "the rows that it has wrong")):
        if key not in run.result["test"]:
            raise FileError(folder, f"holds a run of an earlier version, without {lacks}; expected a new folder")
    _check_device(run.result["device"], folder, place)
    return run


def _check_device(found: str, folder: Path | None, place: Placement) -> None:
    """Refuse a finished run of another kind of device: seconds of both would stand in one table."""
    if found != place.kind:
        raise UsageError(f"accelerator: found {place.kind}; expected {found}, as for the run in {folder}")


def _measured(side: str, run: Run) -> Outcome:
    recipe, test = run.recipe, run.result["test"]
    one_network = side == "straight-through"
    kinds = ("map",) if one_network else ("posterior", "committee", "map")
    return Outcome(
        side=side,
        seed=recipe.seed,
        raw={kind: _without_diagram(test["calibration"][kind]) for kind in kinds},
        fitted={kind: test["fitted"][kind] for kind in kinds},
        wrong={kind: test["wrong"][kind] for kind in kinds},
        samples=len(run.test),
        temperature={kind: run.result["temperature"][kind] for kind in kinds},
        validation={kind: run.result["validation"][kind] for kind in kinds},
        seconds=run.result["seconds"],
        weight_bits=_bits_per_weight(recipe) * sum(bits.size for bits in run.model.map_bits().values()),
        members={} if one_network else {"posterior": run.result["members"], "committee": run.result["committee"]},
    )


def _bits_per_weight(recipe: Recipe) -> int:
    """Return 1, but for the integer weights of a Gaussian posterior."""
    return recipe.posterior.bits if recipe.posterior.family == "gaussian" else 1


def _snntorch(recipe: Recipe, folder: Path | None, rate: float, place: Placement) -> Outcome:
    """Train snnTorch's side, or read what was trained."""
    if folder is not None and (folder / RESULT_FILE).exists():
        return _read(recipe, folder, rate, place)
    run = train_snntorch(recipe, rate=rate, device=torch.device(place.kind))
    parts = {part: recipe.data.load(part) for part in ("validation", "test")}
    found: dict[str, Predictions] = {part: {"map": run.probabilities(data.spikes)} for part, data in parts.items()}
    labels = {part: data.labels for part, data in parts.items()}
    temperature = {"map": fit_temperature(found["validation"]["map"], labels["validation"])}
    outcome = Outcome(
        side="snntorch",
        seed=recipe.seed,
        raw={"map": totals(calibration(found["test"]["map"], labels["test"]))},
        fitted=fitted(found["test"], labels["test"], temperature),
        wrong={"map": wrong_rows(found["test"]["map"], labels["test"])},
        samples=len(labels["test"]),
        temperature=temperature,
        validation={"map": calibration(found["validation"]["map"], labels["validation"]).accuracy},
        seconds=round(run.seconds, 3),
        weight_bits=_FULL_PRECISION * run.weights,
        members={},
    )
    if folder is not None:
        with replacing(folder / RECIPE_FILE) as temporary:
            temporary.write_text(recipe.to_toml(), encoding="utf-8")
        with replacing(folder / RESULT_FILE) as temporary:
            temporary.write_text(
                json.dumps({"rate": rate, "device": place.kind, **outcome.as_json()}, indent=2) + "\n", encoding="utf-8"
            )
    return outcome


def _read(recipe: Recipe, folder: Path, rate: float, place: Placement) -> Outcome:
    """Return a finished run of snnTorch's side; refuse one of another recipe, rate or kind of device."""
    for key, found, saved in differences(recipe, load_recipe(folder / RECIPE_FILE)):
        raise UsageError(f"{key}: found {found!r}; expected {saved!r}, as in the run in {folder}")
    path = existing_file(folder / RESULT_FILE)
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        written, device = saved.pop("rate"), saved.pop("device", "cpu")
        outcome = Outcome(**saved)
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        raise FileError(path, f"is no result of this bench ({error})") from None
    if written != rate:
        raise UsageError(f"snntorch rate: found {rate}; expected {written}, as in the run in {folder}")
    _check_device(device, folder, place)
    return outcome


def _without_diagram(scores: dict[str, Any]) -> dict[str, float]:
    return {key: scores[key] for key in ("accuracy", "nll", "ece", "brier")}
