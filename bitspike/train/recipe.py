"""Recipes: everything that decides a training run, as frozen values read from TOML.

This module does not import torch. `Recipe` and its parts may also be made in Python; the same rules hold.
"""

import dataclasses
import os
import tomllib
from pathlib import Path
from typing import Literal

from bitspike.errors import FileError, UsageError
from bitspike.files import existing_file
from bitspike.train.data import DATA_SETS, data_set
from bitspike.train.encode import SEED_LIMIT
from bitspike.train.registers import FORGETS, NEVER
from bitspike.train.schema import (
    check,
    choice,
    either,
    flag,
    from_table,
    instance,
    name,
    real,
    ruled,
    several,
    to_toml,
    whole,
)

SEED = whole(0, SEED_LIMIT - 1)


class _Checked:
    """A dataclass that checks its fields' rules when it is made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        check(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataRecipe(_Checked):
    """The data set and how it becomes spikes.

    Attributes:
        name: of the data set.
        steps: algorithmic time steps of a sample.
        seed: of the fixed encoding of all parts; the fresh spikes of each epoch use the run's seed.
    """

    name: str = ruled(choice(*sorted(DATA_SETS)))
    steps: int = ruled(whole(1, 4096), 16)
    seed: int = ruled(SEED, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerRecipe(_Checked):
    """One population and the connection that feeds it.

    Attributes:
        kind: of the connection.
        neurons: size of the population.
        vth: threshold in whole weights; 131071, the default, cannot spike and is for a membrane read-out.
        du: current decay; 4096 means no current memory.
        dv: voltage decay; 0 forgets nothing.
        reset: what a spike leaves of the membrane.
    """

    kind: Literal["dense"] = ruled(choice("dense"), "dense")
    neurons: int = ruled(whole(1, 1 << 20))
    vth: int = ruled(whole(0, NEVER), NEVER)
    du: int = ruled(whole(0, FORGETS), FORGETS)
    dv: int = ruled(whole(0, FORGETS), 0)
    reset: Literal["zero", "subtract"] = ruled(choice("zero", "subtract"), "zero")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkRecipe(_Checked):
    """The network.

    Attributes:
        readout: what of the last population is the answer.
        temperature: weights of membrane, or spikes, in one unit of logit.
        bias: whether neurons have a trained bias.
        bias_exponent: left shift of the integer bias in units of 1/64 weight; 6 makes biases whole weights.
        layers: first to last; the last has one neuron a class.
    """

    readout: Literal["spike_count", "membrane_sum", "membrane_last"] = ruled(
        choice("spike_count", "membrane_sum", "membrane_last"), "membrane_sum"
    )
    temperature: float = ruled(real(0, 1e6, above=True))
    bias: bool = ruled(flag(), True)
    bias_exponent: int = ruled(whole(0, 7), 6)
    layers: tuple[LayerRecipe, ...] = ruled(several(LayerRecipe))

    def __post_init__(self) -> None:
        super().__post_init__()
        *hidden, last = self.layers
        for at, layer in enumerate(hidden):
            if layer.vth == NEVER:
                raise UsageError(f"layers[{at}].vth: found {NEVER}, which cannot spike; expected a lower threshold")
        at = len(hidden)
        if self.readout == "spike_count" and last.vth == NEVER:
            raise UsageError(f"layers[{at}].vth: found {NEVER}, which cannot spike; expected less with spike_count")
        if self.readout != "spike_count" and last.vth != NEVER:
            raise UsageError(f"layers[{at}].vth: found {last.vth}; expected {NEVER} with {self.readout}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EstimatorRecipe(_Checked):
    """The gradient estimator.

    Attributes:
        kind: family; ``iwst`` is importance-weighted straight-through for Gaussian noise.
        alpha: member of it: ``p`` is plain straight-through, 0.5 has the least bias.
        floor: standard deviation of the membranes' own noise in training, in weights.
        auxiliary: factor of the auxiliary loss, the sum of (v / s)**2.
    """

    kind: Literal["iwst"] = ruled(choice("iwst"), "iwst")
    alpha: float | Literal["p"] = ruled(either(choice("p"), real(0, 1)), "p")
    floor: float = ruled(real(0.01, 1e6), 0.5)
    auxiliary: float = ruled(real(0, 1e6), 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRecipe(_Checked):
    """The optimisation: Adam with a cosine.

    Attributes:
        epochs: passes over the training part, each with fresh spikes.
        batch: samples in one update.
        rate: learning rate of the natural parameters at the start; it ends at a hundredth.
        bias_rate: learning rate of the biases, in weights.
        spread: natural parameters start uniformly in -spread to spread.
        sharpness: factor on the natural parameters in the last epoch; it grows from 1.
        members: networks drawn from the posterior for its accuracy.
    """

    epochs: int = ruled(whole(1, 100_000))
    batch: int = ruled(whole(1, 1 << 20), 64)
    rate: float = ruled(real(0, 1e3, above=True), 0.01)
    bias_rate: float = ruled(real(0, 1e3), 0.1)
    spread: float = ruled(real(0, 100, above=True), 0.1)
    sharpness: float = ruled(real(1, 1e4), 10.0)
    members: int = ruled(whole(1, 4096), 16)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(_Checked):
    """A whole training run; equal recipes on one machine give equal runs, bit for bit.

    Attributes:
        name: of the run.
        seed: of initial values, order, fresh spikes and noise.
        data: the data set.
        network: populations and read-out.
        estimator: how gradients pass the spikes.
        training: the optimisation.
    """

    name: str = ruled(name())
    seed: int = ruled(SEED, 0)
    data: DataRecipe = dataclasses.field(metadata={"rule": instance(DataRecipe)})
    network: NetworkRecipe = dataclasses.field(metadata={"rule": instance(NetworkRecipe)})
    estimator: EstimatorRecipe = dataclasses.field(
        default=EstimatorRecipe(), metadata={"rule": instance(EstimatorRecipe)}
    )
    training: TrainingRecipe = dataclasses.field(metadata={"rule": instance(TrainingRecipe)})

    def __post_init__(self) -> None:
        super().__post_init__()
        classes = data_set(self.data.name).classes
        last = len(self.network.layers) - 1
        found = self.network.layers[last].neurons
        if found != classes:
            raise UsageError(
                f"network.layers[{last}].neurons: found {found}; expected {classes}, the classes of {self.data.name}"
            )

    def with_seed(self, seed: int) -> "Recipe":
        """Return the same recipe with another seed."""
        return dataclasses.replace(self, seed=seed)

    def to_toml(self) -> str:
        """Return the recipe as TOML text, every value written out."""
        return to_toml(self)


def parse_recipe(text: str, *, source: str) -> Recipe:
    """Return the recipe in TOML `text`; `source` names it in messages."""
    try:
        return from_table(Recipe, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source}: is not TOML: {error}") from None
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None


def load_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Return the recipe in a TOML file.

    Raises:
        FileError: no such file, or one that is not text.
        UsageError: not TOML, an unknown key, a wrong type or an impossible value; one line names file, key, what was
            found and what was expected.
    """
    found: Path = existing_file(path)
    try:
        text = found.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise FileError(found, "is not a recipe: not UTF-8 text") from None
    return parse_recipe(text, source=str(found))
