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
from bitspike.train.data import data_set, family
from bitspike.train.data_recipe import SEED, DataRecipe
from bitspike.train.estimator_recipe import EstimatorRecipe
from bitspike.train.finish_recipe import FinishRecipe
from bitspike.train.network_recipe import NetworkRecipe
from bitspike.train.posterior_recipe import PosteriorRecipe
from bitspike.train.rule_recipe import DistilRecipe, RuleRecipe, check_rule
from bitspike.train.schema import (
    Checked,
    choice,
    from_table,
    instance,
    name,
    real,
    ruled,
    to_toml,
    whole,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRecipe(Checked):
    """The optimisation: Adam with a cosine.

    Attributes:
        epochs: passes over the training part, each with fresh spikes.
        batch: samples in one update.
        rate: learning rate of natural parameters, means or latent weights at the start; it falls along a cosine
            that would reach a hundredth one epoch after the last.
        bias_rate: learning rate of the biases, in weights.
        spread: natural parameters or latent weights start uniformly in -spread to spread.
        sharpness: factor on the natural parameters in the last epoch; it grows from 1.
        schedule: how it grows from the first to the last epoch, with the square root of the time, with the time, or,
            with ``none``, not at all: it is 1 in all epochs.
        members: networks drawn from the posterior for its accuracy.
        threads: of torch's operations; their number changes sums in the last bits, and so the run.
        precision: of an update's spikes, of the weights that meet them, and of their sums once added up in float32;
            the sum over the steps of what the read-out hears is made in it too. Layers that read more than bits
            multiply in float32. Evaluation is exact with either. ``auto`` is bfloat16 where the processor multiplies
            it, which runs on other processors many times slower than float32.
        validate_every: the validation part is evaluated after each so many epochs, and after the last.
        patience: training ends when so many epochs have brought no better accuracy of the most probable bits on the
            validation part; 0 never ends early, as a recipe with a finish must have it.
        keep: ``last`` keeps the network of the last epoch trained, ``best`` that of the best on the validation part,
            the earliest of equal ones. Either is kept with the sharpness of its own epoch: the posterior is the one
            that was trained, and its most probable bits, which no sharpness changes, are those that were validated.
    """

    epochs: int = ruled(whole(1, 100_000))
    batch: int = ruled(whole(1, 1 << 20), 64)
    rate: float = ruled(real(0, 1e3, above=True), 0.01)
    bias_rate: float = ruled(real(0, 1e3), 0.1)
    spread: float = ruled(real(0, 100, above=True), 0.1)
    sharpness: float = ruled(real(1, 1e4), 10.0)
    members: int = ruled(whole(1, 4096), 16)
    threads: int = ruled(whole(1, 1024), 1)
    schedule: Literal["sqrt", "linear", "none"] = ruled(choice("sqrt", "linear", "none"), "sqrt")
    precision: Literal["float32", "bfloat16", "auto"] = ruled(choice("float32", "bfloat16", "auto"), "float32")
    validate_every: int = ruled(whole(1, 100_000), 1)
    patience: int = ruled(whole(0, 100_000), 0)
    keep: Literal["last", "best"] = ruled(choice("last", "best"), "last")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule == "none" and self.sharpness not in (1, type(self).sharpness):
            raise UsageError(f"sharpness: found {self.sharpness!r} with schedule none; expected 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(Checked):
    """A whole training run; equal recipes on one machine give equal runs, bit for bit.

    Attributes:
        name: of the run.
        seed: of initial values, order, fresh spikes and noise.
        data: the data set.
        network: populations and read-out.
        estimator: how gradients pass the spikes.
        posterior: what the weights are.
        training: the optimisation.
        finish: its last epochs, on the collapsed network.
        rule: how weights and loss become updates.
        distil: who else than the labels teaches.
    """

    name: str = ruled(name())
    seed: int = ruled(SEED, 0)
    data: DataRecipe = dataclasses.field(metadata={"rule": instance(DataRecipe)})
    network: NetworkRecipe = dataclasses.field(metadata={"rule": instance(NetworkRecipe)})
    estimator: EstimatorRecipe = dataclasses.field(
        default=EstimatorRecipe(), metadata={"rule": instance(EstimatorRecipe)}
    )
    posterior: PosteriorRecipe = dataclasses.field(
        default=PosteriorRecipe(), metadata={"rule": instance(PosteriorRecipe)}
    )
    training: TrainingRecipe = dataclasses.field(metadata={"rule": instance(TrainingRecipe)})
    finish: FinishRecipe = dataclasses.field(default=FinishRecipe(), metadata={"rule": instance(FinishRecipe)})
    rule: RuleRecipe = dataclasses.field(default=RuleRecipe(), metadata={"rule": instance(RuleRecipe)})
    distil: DistilRecipe = dataclasses.field(default=DistilRecipe(), metadata={"rule": instance(DistilRecipe)})

    def __post_init__(self) -> None:
        super().__post_init__()
        spread = self.training.spread
        if self.posterior.family == "gaussian" and spread != TrainingRecipe.spread:
            raise UsageError(f"training.spread: found {spread!r} with family gaussian; expected posterior.mean instead")
        self._check_finish()
        self._check_unused()
        known, place = family(self.data.name)
        found = self.network.classes
        for key in ("mirror", "backwards"):
            pairs = getattr(self.data, key)
            if pairs and len(pairs) != found:
                raise UsageError(f"data.{key}: found {len(pairs)} classes; expected {found}, as the last layer has")
            if pairs and self.distil.teacher not in ("none", "self", "posterior"):
                raise UsageError(f"data.{key}: found classes with distil.teacher {self.distil.teacher}; expected []")
        # Where only the files say how many classes there are, training looks; a recipe is read without its data.
        self._check_classes(known.classes)
        if not place:
            self.network_shapes()
        check_rule(
            self.rule,
            self.distil,
            self.network,
            steps=self.data.steps,
            sharpness=self.training.sharpness,
            posterior=self.posterior,
            precision=self.training.precision,
            estimator_is_default=self.estimator == EstimatorRecipe(floor=self.estimator.floor),
        )

    def _check_finish(self) -> None:
        if self.finish.epochs > 0 and self.training.patience > 0:
            found = f"{self.training.patience} with finish.epochs {self.finish.epochs}"
            raise UsageError(f"training.patience: found {found}; expected 0: the finish would be left out")
        if self.finish.epochs >= self.training.epochs:
            less = f"fewer than training.epochs, {self.training.epochs}"
            raise UsageError(f"finish.epochs: found {self.finish.epochs}; expected {less}")
        if self.finish.epochs == 0 and self.finish != FinishRecipe():
            raise UsageError("finish.epochs: found 0 with other keys of [finish]; expected 1 or more")
        if self.finish.epochs > 0 and (self.rule != RuleRecipe() or self.distil.of_a_rule):
            other = "[rule] or another distil.teacher than posterior"
            raise UsageError(f"finish.epochs: found {self.finish.epochs}; expected 0 with {other}")
        if self.distil.teacher == "posterior":
            if self.finish.epochs == 0:
                raise UsageError("finish.epochs: found 0; expected 1 or more with distil.teacher posterior")
            if not self.posterior.family.startswith("bernoulli"):
                found = f"'posterior' with posterior.family {self.posterior.family}, whose mean is the pupil itself"
                raise UsageError(f"distil.teacher: found {found}; expected bernoulli or bernoulli01")

    def _check_unused(self) -> None:
        """Refuse rates of what is not there to be trained."""
        rates = [("posterior.scale_rate", "estimator.noise 'none'")] if self.estimator.noise == "none" else []
        if not self.network.bias:
            rates += [(f"{part}.bias_rate", "network.bias false") for part in ("training", "finish")]
        for place, why in rates:
            part, _, key = place.partition(".")
            table = getattr(self, part)
            found, expected = getattr(table, key), getattr(type(table), key)
            if found != expected:
                raise UsageError(f"{place}: found {found!r} with {why}; expected {expected!r}")

    def _check_classes(self, classes: int | None) -> None:
        if classes is not None and self.network.classes != classes:
            at = f"network.layers[{len(self.network.layers) - 1}].neurons"
            raise UsageError(f"{at}: found {self.network.classes}; expected {classes}, the classes of {self.data.name}")

    def network_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the input and of each population.

        Raises:
            UsageError: a layer that does not fit what is before it, or a last one of other classes than the data.
            FileError: a data set that is missing or damaged.
        """
        known = data_set(self.data.name)
        self._check_classes(known.classes)
        try:
            shape = known.shape_for(self.data.encoding)
        except UsageError as error:
            raise UsageError(f"data.{error}") from None
        try:
            return self.network.shapes(shape)
        except UsageError as error:
            raise UsageError(f"network.{error}") from None

    def with_seed(self, seed: int) -> "Recipe":
        """Return the same recipe with another seed."""
        return dataclasses.replace(self, seed=seed)

    def with_data(self, name: str) -> "Recipe":
        """Return the same recipe with other data, such as the same files in another place."""
        return dataclasses.replace(self, data=dataclasses.replace(self.data, name=name))

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
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits, and arrays in arrays in arrays.
        raise UsageError(f"{source}: is not a recipe: {error}") from None


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
