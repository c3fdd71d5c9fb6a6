"""The data's part of a recipe, ``[data]``. No torch here."""

import dataclasses
from typing import Any, Literal

from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.train.data import KNOWN, family, load_data
from bitspike.train.encode import SEED_LIMIT
from bitspike.train.encoders import (
    CHANGE,
    DURATION,
    ENCODER,
    FOLD,
    LEAST,
    MOTION,
    POOL,
    THRESHOLD,
    WINDOW,
    Encoding,
    Kind,
)
from bitspike.train.schema import Checked, Rule, pairing, real, ruled, whole

SEED = whole(0, SEED_LIMIT - 1)

DROP_LEVELS = 256
"""Probabilities that spikes are lost with are multiples of one in so many."""


def _names_data(value: object) -> bool:
    """Whether `value` names a data set; a path in it has nothing that would have to be escaped in a recipe."""
    if not isinstance(value, str) or '"' in value or "\\" in value or not value.isprintable():
        return False
    try:
        return bool(family(value))
    except UsageError:
        return False


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataRecipe(Checked):
    """The data set and how it becomes spikes.

    Attributes:
        name: of the data set, such as ``digits`` or ``mnist:DIR``; a place is relative to the working directory.
        steps: algorithmic time steps of a sample.
        seed: of the fixed encoding of all parts; the fresh spikes of each epoch use the run's seed.
        encoder: how levels become spikes; this and its options are told in :mod:`bitspike.train.encoders`.
        threshold: of ``direct``.
        change: of ``delta``.
        window: of ``latency``.
        duration_ms: of a recording; 0 for what is usual for the data set.
        pool: events of so many rows and columns of the sensor are those of one neuron.
        least: so many events of a neuron in a step make a spike.
        fold: a step is cut into so many parts with neurons of their own, so that weights tell what came first.
        motion: a step has neurons for its events and for four ways in which they move so many places from part to part,
            instead of neurons of its parts; 0 for none.
        shift: images and recordings of the training part are shifted by up to so many pixels, anew in each epoch;
            speech by so many bands.
        turn: images and recordings are turned by up to so many degrees.
        zoom: they are scaled by up to 1 - zoom to 1 + zoom.
        delay: samples of the training part come up to so many steps earlier or later, in whole parts of a step, anew in
            each epoch; speech up to so many parts of a step.
        stretch: recordings and speech of the training part run 1 - stretch to 1 + stretch times as fast, about their
            middle, anew in each epoch; parts of a step are left out or come twice.
        mirror: images and recordings of the training part are seen in a mirror, left for right, in one of two epochs,
            by chance; one of class k is then of class ``mirror[k]``. Empty for no mirror.
        backwards: recordings run backwards, ON and OFF events exchanged, likewise and independently; one of class k is
            then of class ``backwards[k]``. Empty for never.
        drop: each spike of the training part is lost with this probability, rounded to a multiple of 1/256; 0 or from
            there on.
    """

    name: str = ruled(Rule(f"one of {KNOWN}", _names_data))
    steps: int = ruled(whole(1, 4096), 16)
    seed: int = ruled(SEED, 0)
    encoder: Literal["auto", "rate", "latency", "burst", "direct", "current", "delta"] = ruled(ENCODER, "auto")
    threshold: float = ruled(THRESHOLD, 0.5)
    change: float = ruled(CHANGE, 0.1)
    window: int = ruled(WINDOW, 8)
    duration_ms: float = ruled(DURATION, 0.0)
    pool: int = ruled(POOL, 1)
    least: int = ruled(LEAST, 1)
    fold: int = ruled(FOLD, 1)
    motion: int = ruled(MOTION, 0)
    shift: float = ruled(real(0, 1000), 0.0)
    turn: float = ruled(real(0, 180), 0.0)
    zoom: float = ruled(real(0, 0.9), 0.0)
    delay: float = ruled(real(0, 4096), 0.0)
    stretch: float = ruled(real(0, 0.9), 0.0)
    mirror: tuple[int, ...] = ruled(pairing(), ())
    backwards: tuple[int, ...] = ruled(pairing(), ())
    drop: float = ruled(real(0, 0.9), 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = self.kind
        self.encoding.encoder_for(kind)
        if 0 < self.drop < 1 / DROP_LEVELS:
            raise UsageError(f"drop: found {self.drop}; expected 0, or 1/{DROP_LEVELS} or more")
        for key in ("turn", "zoom"):
            if kind == "series" and getattr(self, key):
                raise UsageError(f"{key}: found {getattr(self, key)}; expected 0: {self.name} has no images to move")
        if kind == "stills" and self.stretch:
            raise UsageError(f"stretch: found {self.stretch}; expected 0: {self.name} does not run in time")
        for key, lacking in (("mirror", ("series",)), ("backwards", ("series", "stills"))):
            if kind in lacking and getattr(self, key):
                raise UsageError(f"{key}: found {list(getattr(self, key))}; expected []: {self.name} has no events")

    def of(self, name: str) -> "DataRecipe":
        """Return the recipe of other data in the same encoding, unmoved.

        Where they are of another kind, encoders do not carry over: steps and parts of a step do.
        """
        same = family(name)[0].kind == self.kind
        keys = ("steps", "seed", "fold", *(self._options() if same else ()))
        return DataRecipe(name=name, **{key: getattr(self, key) for key in keys})

    @property
    def kind(self) -> Kind:
        """What the data are: stills, events or series."""
        return family(self.name)[0].kind

    @property
    def encoding(self) -> Encoding:
        """How the data set becomes spikes; everything but the seed."""
        return Encoding(steps=self.steps, **self._options())

    def load(self, part: str) -> SpikeData:
        """Return one part of the data set in its fixed encoding."""
        return load_data(self.name, part=part, steps=self.steps, seed=self.seed, **self._options())

    def _options(self) -> dict[str, Any]:
        return {
            key: getattr(self, key)
            for key in ("encoder", "threshold", "change", "window", "duration_ms", "pool", "least", "fold", "motion")
        }
