"""The neurons of a layer in a NetX file, as the parameters of populations.

lava-dl trains decays that every neuron shares, or one for each channel; a population of ours has one of each. So a
layer whose channels differ becomes several populations, each with the channels that have the same decays and the same
threshold. What is refused: another neuron than CUBA, graded spikes, a refractory delay of more than one step, exponents
of weights, which lava-dl's own loader leaves out in silence.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bitspike.convert.lavadl.layer import Integers, Layer
from bitspike.convert.network import DECAY_ONE, VTH_MAX
from bitspike.errors import BitspikeError

TYPES = ("CUBA", "LOIHI")
_OTHERS = {
    "SDNN": "sigma-delta neurons, which send graded differences",
    "RF_PHASE": "resonate-and-fire neurons",
    "RF_IZHIKEVICH": "resonate-and-fire neurons",
    "ADRF_PHASE": "adaptive resonate-and-fire neurons",
    "ADRF_IZHIKEVICH": "adaptive resonate-and-fire neurons",
    "ALIF": "neurons with adaptive thresholds",
}
_PARAMETERS = ("iDecay", "vDecay", "vThMant")
#: Of the surrogate gradient, or a threshold said twice: no part of what the network computes.
_TRAINING = ("scaleRho", "tauRho", "theta")
KNOWN = {
    f"neuron/{key}"
    for key in ("type", *_PARAMETERS, *_TRAINING, "refDelay", "gradedSpike", "wgtExp", "weight_exp", "messageBits")
}
MAX_GROUPS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Channels with the same parameters: `du`, `dv` and `vth` of a population, and which `channels` they are."""

    du: int
    dv: int
    vth: int
    channels: Integers


def groups(layer: Layer, channels: int) -> list[Group]:
    """The channels of `layer` by their parameters, in the order of each group's first channel.

    A layer without neurons gets those that lava-dl's loader gives it: they sum their input up and never spike.

    Raises:
        BitspikeError: naming the layer and the entry that a population cannot hold.
    """
    if not layer.has_neuron:
        return [Group(du=0, dv=DECAY_ONE, vth=VTH_MAX, channels=np.arange(channels))]
    _refuse(layer)
    columns = [_per_channel(layer, key, channels) for key in _PARAMETERS]
    # A threshold of 2^17 or more lies beyond the membrane's register, and lava-dl means "never" by it.
    columns[2] = np.minimum(columns[2], VTH_MAX)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    distinct = {row: index for index, row in enumerate(dict.fromkeys(rows))}
    if len(distinct) > MAX_GROUPS:
        raise BitspikeError(f"{layer.where}: {len(distinct)} kinds of neurons; expected at most {MAX_GROUPS}")
    which = np.array([distinct[row] for row in rows])
    return [
        Group(du=du, dv=dv, vth=vth, channels=np.flatnonzero(which == index))
        for (du, dv, vth), index in distinct.items()
    ]


def notes(layer: Layer) -> Iterator[str]:
    """What a person should know of the neurons of `layer`."""
    if not layer.has_neuron:
        yield (
            f"{layer.where} has no neurons; it gets those that lava-dl's loader gives it, whose current sums up their "
            "input and never decays (iDecay 0, vDecay 4096, no threshold)"
        )
    elif int(layer.integers("neuron/vThMant").max()) > VTH_MAX:
        yield f"{layer.where}: its threshold lies beyond the membrane's register; its neurons never spike"


def _refuse(layer: Layer) -> None:
    kind = layer.text("neuron/type")
    if kind not in TYPES:
        known = f" ({_OTHERS[kind]})" if kind in _OTHERS else ""
        raise BitspikeError(f"{layer.where}: neuron {kind!r}{known}; expected {' or '.join(TYPES)}")
    for key, reason in (
        ("gradedSpike", "graded spikes; expected binary ones"),
        ("messageBits", "graded spikes; expected binary ones"),
        ("wgtExp", "an exponent of weights, which lava-dl's loader leaves out; expected 0"),
        ("weight_exp", "an exponent of weights, which lava-dl's loader leaves out; expected 0"),
    ):
        if f"neuron/{key}" in layer and np.any(layer.numbers(f"neuron/{key}")):
            raise BitspikeError(f"{layer.where}: neuron/{key}: {reason}")
    if "neuron/refDelay" in layer and layer.number("neuron/refDelay") not in (0, 1):
        found = layer.number("neuron/refDelay")
        raise BitspikeError(f"{layer.where}: neuron/refDelay {found}: a refractory time; expected 1, which is none")


def _per_channel(layer: Layer, key: str, channels: int) -> Integers:
    values = layer.integers(f"neuron/{key}").reshape(-1)
    if values.size not in (1, channels):
        raise BitspikeError(
            f"{layer.where}: neuron/{key} of {values.size} numbers; expected one for the layer, or {channels}"
        )
    return np.broadcast_to(values, channels)
