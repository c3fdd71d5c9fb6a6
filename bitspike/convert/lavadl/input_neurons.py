"""The neurons of a lava-dl input layer: they turn values, such as pixels, into the spikes that our networks begin with.

lava-dl's user computes ``drive = weight * value + bias`` for each neuron, and sets it as the bias of the neuron, which
adds it to the membrane in every step. The network itself stays the same for every sample, so these neurons are not part
of it: :meth:`InputNeurons.spikes` is what they do, in the same integers as the chip.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitspike.convert.hdf5_file import datasets, in_one_line
from bitspike.convert.lavadl.layer import Integers, Layer, layers_of
from bitspike.convert.lavadl.neurons import KNOWN, groups
from bitspike.convert.network import DECAY_ONE, STATE_MAX, STATE_SHIFT
from bitspike.convert.rules import BIAS_MANTISSA, MAX_STEPS
from bitspike.convert.value import Value
from bitspike.errors import BitspikeError, FileError, UsageError
from bitspike.files import existing_file

#: What lava-dl takes where the file says nothing.
_WEIGHT, _BIAS = 64, 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class InputNeurons(Value):
    """Neurons driven by a constant of each sample.

    Attributes:
        shape: (N,) or (channels, height, width), flattened in C order.
        weight, bias: of the drive, in weight units.
        dv, vth: decay of the membrane and threshold, as a population has them; the reset is to zero.
    """

    shape: tuple[int, ...]
    weight: int
    bias: int
    dv: int
    vth: int

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape))

    def drive(self, values: npt.ArrayLike) -> Integers:
        """``weight * value + bias``, cut to an integer toward zero as lava-dl's users do it.

        Args:
            values: one for each neuron, shape (samples, ...), integers or real numbers.
        """
        found = np.asarray(values)
        if found.dtype.kind not in "iuf" or not bool(np.all(np.isfinite(found))):
            raise UsageError(f"values of type {found.dtype}; expected finite numbers")
        wide = found.astype(np.int64 if found.dtype.kind in "iu" else np.float64)
        return np.trunc(wide * self.weight + self.bias).astype(np.int64)

    def spikes(self, drive: npt.ArrayLike, steps: int) -> npt.NDArray[np.uint8]:
        """Spikes of `steps`, 0 or 1, shape (samples, steps, neurons).

        Each step adds ``64 * drive`` to the membrane after its decay, and a membrane above ``64 * vth`` spikes and
        becomes 0. The record of a lava-dl training has the same spikes one step later.

        Args:
            drive: integers in weight units, -4096..4095, shape (samples, ...).
            steps: 1 or more.

        Raises:
            UsageError: where the drive does not fit the neurons, or a membrane would leave its 24 bits.
        """
        wide = np.asarray(drive)
        if wide.dtype.kind == "f" and bool(np.all(np.isfinite(wide)) and np.all(wide == np.rint(wide))):
            wide = wide.astype(np.int64)
        if wide.ndim < 2 or wide.dtype.kind not in "iu" or wide.size != len(wide) * self.size:
            raise UsageError(
                f"drive of shape {wide.shape}, {wide.dtype}; expected integers (samples, {self.size}), "
                f"or samples of shape {self.shape}"
            )
        if wide.size and not BIAS_MANTISSA[0] <= wide.min() <= wide.max() <= BIAS_MANTISSA[1]:
            low, high = BIAS_MANTISSA
            raise UsageError(f"drive {wide.min()}..{wide.max()}; the bias of a neuron holds {low}..{high}")
        if not 1 <= steps <= MAX_STEPS:
            raise UsageError(f"steps {steps}; expected 1..{MAX_STEPS}")
        flat = wide.astype(np.int64).reshape(len(wide), self.size)
        v = np.zeros_like(flat)
        sent = np.zeros((len(flat), steps, self.size), np.uint8)
        for t in range(steps):
            product = v * (DECAY_ONE - self.dv)
            v = np.sign(product) * (np.abs(product) >> 12) + (flat << STATE_SHIFT)
            if np.abs(v).max(initial=0) > STATE_MAX:
                raise UsageError(f"a membrane leaves its 24 bits at step {t}; expected a smaller drive, or fewer steps")
            fired = v > self.vth << STATE_SHIFT
            sent[:, t] = fired
            v[fired] = 0
        return sent

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"{shape}, drive {self.weight} * value + {self.bias}, dv={self.dv} vth={self.vth}"


def read_input_neurons(path: str | os.PathLike[str]) -> InputNeurons:
    """The neurons of the input layer of a NetX file.

    Raises:
        FileError: in one line, for a damaged file and for one whose input layer has no neurons of this kind.
    """
    found = existing_file(path)
    with in_one_line(found, "NetX"):
        with datasets(found) as entries:
            arrays = {name: np.asarray(d[()]) for name, d in entries.items() if name.startswith("layer/0/")}
        first = next(layers_of(arrays), None)
        if first is None or first.type != "input" or not first.has_neuron:
            raise FileError(found, "its first layer is not an input with neurons")
        return input_neurons(first)


def input_neurons(layer: Layer) -> InputNeurons:
    """The neurons of an input layer that has some.

    Raises:
        BitspikeError: naming the entry that this reader does not know.
    """
    layer.refuse_unknown({"type", "shape", "weight", "bias"} | KNOWN)
    shape = layer.shape()
    kinds = groups(layer, shape[0])
    if len(kinds) > 1:
        raise BitspikeError(f"{layer.where}: input neurons of {len(kinds)} kinds; expected one")
    if kinds[0].du != DECAY_ONE:
        raise BitspikeError(
            f"{layer.where}: input neurons with iDecay {kinds[0].du}; lava-dl's training drives the current and its "
            f"loader the membrane, which is the same for {DECAY_ONE} only"
        )
    return InputNeurons(
        shape=shape,
        weight=layer.number("weight") if "weight" in layer else _WEIGHT,
        bias=layer.number("bias") if "bias" in layer else _BIAS,
        dv=kinds[0].dv,
        vth=kinds[0].vth,
    )


def describe_neurons(layer: Layer) -> Iterator[str]:
    """The note on an input layer: what its neurons are, and how one gets their spikes."""
    if layer.has_neuron:
        yield (
            f"{layer.where}: input neurons ({input_neurons(layer)}) stay outside: the network begins with their "
            "spikes, and `--input-layer` with this file makes them of values"
        )
    else:
        layer.refuse_unknown({"type", "shape"})
