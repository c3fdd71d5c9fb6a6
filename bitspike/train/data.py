"""Data sets as spikes, by the name that a recipe and a command give them. This module does not import torch.

A name is ``digits``, or a family and a place on disk: ``mnist:DIR``. The place is relative to the working directory;
``~`` is one's home. What a family reads is told in its module in :mod:`bitspike.train.datasets`, parts in
:class:`bitspike.train.dataset.DataSet`, encoders in :mod:`bitspike.train.encoders`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np

from bitspike.errors import UsageError
from bitspike.samples import SpikeData, SpikeParts
from bitspike.train.dataset import PARTS, DataSet, FoldedSamples, Samples
from bitspike.train.encode import checked_seed
from bitspike.train.encoders import Encoding, Kind
from bitspike.train.motion import MovingSamples
from bitspike.train.packing import check_size

__all__ = ["FAMILIES", "PARTS", "DataSet", "Encoding", "data_set", "family", "load_data", "load_parts", "load_samples"]

_HOME = "bitspike.train.datasets"


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Data sets of one name, known without looking at the disk.

    Attributes:
        place: what follows the colon in help texts; empty where nothing does.
        module: in :mod:`bitspike.train.datasets`, imported at the first use.
        opens: its function of a path that returns the data set.
        kind: what the samples are.
        classes: how many there are; None where the files say it.
    """

    place: str
    module: str
    opens: str
    kind: Kind
    classes: int | None

    def open(self, path: str) -> DataSet:
        """Return the data set at `path`."""
        opener: Callable[..., DataSet] = getattr(import_module(f"{_HOME}.{self.module}"), self.opens)
        return opener(path) if self.place else opener()


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "digits": Family(place="", module="digits", opens="open_digits", kind="stills", classes=10),
        "mnist": Family(place="DIR", module="idx", opens="open_idx", kind="stills", classes=10),
        "fashion": Family(place="DIR", module="idx", opens="open_idx", kind="stills", classes=10),
        "cifar10": Family(place="DIR", module="cifar", opens="open_cifar10", kind="stills", classes=10),
        "nmnist": Family(place="DIR", module="nmnist", opens="open_nmnist", kind="events", classes=10),
        "dvsgesture": Family(place="DIR", module="dvsgesture", opens="open_dvsgesture", kind="events", classes=11),
        "shd": Family(place="DIR", module="shd", opens="open_shd", kind="events", classes=20),
        "ssc": Family(place="DIR", module="shd", opens="open_ssc", kind="events", classes=35),
        "braille": Family(place="FILE.npz", module="braille", opens="open_braille", kind="events", classes=None),
        "fsdd": Family(place="DIR", module="speech", opens="open_fsdd", kind="series", classes=10),
        "events": Family(place="FILE.npz", module="events", opens="open_events", kind="events", classes=None),
    }
)
KNOWN = ", ".join(f"{name}:{one.place}" if one.place else name for name, one in FAMILIES.items())


def family(name: str) -> tuple[Family, str]:
    """Return the family of a data set's name and the place in it; raise UsageError with what there is otherwise."""
    known, colon, place = name.partition(":")
    if known not in FAMILIES or bool(place) != bool(FAMILIES[known].place) or bool(colon) != bool(place):
        raise UsageError(f"data: found {name!r}; expected one of {KNOWN}")
    return FAMILIES[known], place


def data_set(name: str) -> DataSet:
    """Return the data set called `name`, its samples not yet read."""
    known, place = family(name)
    return known.open(place)


def load_samples(name: str, part: str, encoding: Encoding | None = None) -> Samples:
    """Return one part of a data set before it becomes spikes."""
    wanted = encoding or Encoding()
    known = data_set(name)
    wanted.encoder_for(known.kind)
    rows = known.rows(part)
    if wanted.fold == 1 and not wanted.motion:
        return known.read(rows, wanted)
    finer = replace(wanted, steps=wanted.steps * wanted.fold, fold=1, motion=0)
    if wanted.motion:
        return MovingSamples(finer=known.read(rows, finer), fold=wanted.fold, reach=wanted.motion)
    return FoldedSamples(finer=known.read(rows, finer), fold=wanted.fold, kind=known.kind)


def load_data(name: str, *, part: str = "test", steps: int = 16, seed: int = 0, **options: Any) -> SpikeData:
    """Return one part of a data set as spikes.

    Args:
        name: name of the data set, such as ``digits`` or ``mnist:DIR``.
        part: ``train``, ``validation``, ``test`` or ``all``.
        steps: algorithmic time steps of a sample, 1 or more.
        seed: seed of the encoder; the spikes of a sample do not depend on the part it is asked in.
        options: `encoder`, `threshold`, `change`, `window`, `duration_ms`, `pool`, `least`, `fold` and `motion` of
            :class:`bitspike.train.encoders.Encoding`.

    Raises:
        UsageError: an unknown name or part, or an impossible number of steps, seed or option.
        FileError: a file that is missing, damaged, or not what its name says.
    """
    parts = load_parts(name, part=part, steps=steps, seed=seed, **options)
    check_size(parts.count, parts.steps, parts.neurons)
    return parts.part(0, parts.count)


def load_parts(name: str, *, part: str = "test", steps: int = 16, seed: int = 0, **options: Any) -> SpikeParts:
    """Return one part of a data set, as :func:`load_data`, encoded when it is asked for and not before."""
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise UsageError(f"steps: found {steps!r}; expected a whole number, 1 or more")
    checked_seed(seed)
    samples = load_samples(name, part, Encoding(steps=int(steps), **options))

    def encode(first: int, last: int) -> SpikeData:
        taken = samples.take(np.arange(first, last))
        spikes = taken.encode(steps=int(steps), seed=seed)
        return SpikeData(name=f"{name}:{part}", spikes=spikes, labels=taken.labels, seed=int(seed), shape=taken.shape)

    neurons = int(np.prod(samples.shape))
    return SpikeParts(name=f"{name}:{part}", count=len(samples), steps=int(steps), neurons=neurons, encode=encode)
