"""The files of a run's folder: made, looked at before a run goes on, and read back. No torch here."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bitspike.errors import BitspikeError, FileError, UsageError
from bitspike.files import existing_file, replacing
from bitspike.train.recipe import Recipe, load_recipe
from bitspike.train.schema import differences

RECIPE_FILE, METRICS_FILE, RESULT_FILE = "recipe.toml", "metrics.jsonl", "result.json"
PARTS = ("validation", "test")
SCORES = ("ece", "nll", "brier")
_KINDS = ("posterior", "map", "noisy")


@contextmanager
def started(recipe: Recipe, folder: Path) -> Iterator[None]:
    """Make the run folder with its recipe for this block; refuse one that holds anything.

    A mistake that is found before the first epoch is done leaves nothing behind; a stop can be resumed.
    """
    there = folder.exists()
    if there and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"out: {folder} exists and is not an empty folder; expected a new folder, or resume")
    with replacing(folder / RECIPE_FILE) as temporary:
        temporary.write_text(recipe.to_toml(), encoding="utf-8")
    try:
        yield
    except BitspikeError:
        if [one.name for one in folder.iterdir()] == [RECIPE_FILE]:
            (folder / RECIPE_FILE).unlink()
            if not there:
                folder.rmdir()
        raise


def check_same(recipe: Recipe, folder: Path) -> None:
    """Refuse to resume a run of another recipe; name the first key that differs."""
    if not (folder / RECIPE_FILE).exists():
        raise UsageError(f"out: {folder} holds no run to resume; expected a run folder with {RECIPE_FILE}")
    for key, found, saved in differences(recipe, load_recipe(folder / RECIPE_FILE)):
        raise UsageError(f"{key}: found {found!r}; expected {saved!r}, as in the run to resume in {folder}")


def read_metrics(path: Path, epochs: int) -> list[str]:
    """Return the lines of the first epochs; raise FileError where they are not what training has written."""
    try:
        lines = existing_file(path).read_text(encoding="utf-8").splitlines()[:epochs]
        found = [json.loads(line) for line in lines]
    except (ValueError, RecursionError) as error:
        raise FileError(path, f"is not JSON, a line an epoch ({error})") from None
    for at, line in enumerate(found):
        seconds = line.get("seconds") if isinstance(line, dict) else None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
            raise FileError(path, f"line {at + 1}: found seconds {seconds!r}; expected a number")
    if len(lines) < epochs:
        raise FileError(path, f"holds {len(lines)} epochs; expected {epochs}, as the checkpoint")
    return lines


def read_result(path: Path) -> dict[str, Any]:
    """Return the results of a run; raise FileError where they are not what training has written."""
    try:
        result = json.loads(existing_file(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileError(path, f"is not JSON ({error})") from None
    for part in PARTS:
        for kind in _KINDS:
            kinds = result.get(part) if isinstance(result, dict) else None
            value = kinds.get(kind) if isinstance(kinds, dict) else None
            if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
                raise FileError(path, f"{part}.{kind}: found {value!r}; expected an accuracy from 0 to 1")
        _check_scores(path, part, result[part].get("calibration", {}))
    if not isinstance(result.get("temperature", {}), dict):
        raise FileError(path, f"temperature: found {result['temperature']!r}; expected one a kind")
    return dict(result)


def _check_scores(path: Path, part: str, scores: object) -> None:
    """Refuse what is not a table of scores a kind of prediction; runs of early versions have none."""
    if not isinstance(scores, dict):
        raise FileError(path, f"{part}.calibration: found {scores!r}; expected a table a kind")
    for kind in _KINDS if scores else ():
        for name in SCORES:
            value = scores[kind].get(name) if isinstance(scores.get(kind), dict) else None
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise FileError(path, f"{part}.calibration.{kind}.{name}: found {value!r}; expected a number")
