"""Every format on the same random networks: what comes back is the network, or the file is refused by a node's name."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from builders import chain
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, spatial_networks

from bitspike.convert.connections import Conv2d
from bitspike.convert.formats import export, load
from bitspike.convert.network import Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.rules import check
from bitspike.convert.weights import BinaryWeights, IntegerWeights
from bitspike.errors import UnsupportedError

BOTH = ("zero", "subtract")


@dataclass(frozen=True)
class Row:
    """A format as it is written.

    Attributes:
        ending, options: of the file, of the writer.
        holds: the networks that it must hold, all of them.
    """

    ending: str
    options: dict[str, Any]
    holds: st.SearchStrategy


def flat(**more):
    return networks(inputs=(1, 3), heads=True, **more)


@st.composite
def sayable(draw, strategy, *, decays_at_once=False):
    """Networks whose decays NIR can say: no du 0, no dv 0 behind a current; and with `decays_at_once` du 4096."""
    network = draw(strategy)
    changed = []
    for p in network.populations:
        du = 4096 if decays_at_once else max(p.du, 1)
        changed.append(Population(**{f: getattr(p, f) for f in FIELDS} | {"du": du, "dv": max(p.dv, int(du < 4096))}))
    return check(network.with_populations(tuple(changed)))


FIELDS = ("name", "shape", "vth", "reset", "bias_mantissa", "bias_exponent", "start")


@st.composite
def fed(draw, strategy):
    """Networks in which every input leads somewhere."""
    network = draw(strategy)
    used = tuple(entry for entry in network.inputs if network.outgoing(entry.name))
    return IntegerNetwork(**{f: getattr(network, f) for f in NETWORK} | {"inputs": used})


NETWORK = ("name", "steps", "inputs", "populations", "connections", "readouts", "collapse")


@st.composite
def layers(draw):
    """What NetX holds: dense or convolutional layers in a row, biases in weight units, weights of both signs."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        sizes = draw(st.lists(st.integers(2, 9), min_size=2, max_size=4))
        kind = draw(st.sampled_from(["spike_count", "membrane_sum"]))
        return chain(sizes, seed=draw(st.integers(0, 99)), dv=draw(st.integers(0, 4096)), vth=3, readout=kind)
    kernel = IntegerWeights(values=random.permutation(np.arange(18) * 2 - 16).reshape(2, 9))
    stride, padding = draw(st.sampled_from([(1, 1), (2, 2)])), draw(st.sampled_from([(0, 0), (1, 1)]))
    window = {"source_shape": (1, 6, 6), "kernel": (3, 3), "stride": stride, "padding": padding}
    conv = Conv2d(source="input", target="conv", weights=kernel, **window)
    bits = random.permutation(np.arange(3 * conv.shape[0]) % 2 * 2 - 1).reshape(3, -1)
    populations = (
        Population(name="conv", shape=conv.target_shape, dv=700, vth=9, bias_mantissa=np.zeros(conv.shape[0], int)),
        Population(name="out", shape=(3,), dv=0, vth=5, bias_mantissa=random.integers(-3, 4, 3), bias_exponent=6),
    )
    return check(
        IntegerNetwork(
            name="layers",
            steps=8,
            inputs=(Input(name="input", shape=(1, 6, 6)),),
            populations=populations,
            connections=(conv, Dense(source="conv", target="out", weights=BinaryWeights.pack(bits))),
            readouts=(Readout(population="out", kind="spike_count"),),
        )
    )


ANYTHING = st.one_of(flat(graded=True), spatial_networks(graded=True))
FLAT, SPATIAL = flat(starts=False, resets=("zero",)), spatial_networks(starts=False, recurrent=False, resets=("zero",))
SAYABLE = st.one_of(sayable(fed(FLAT)), sayable(SPATIAL))
SOFT = sayable(st.one_of(fed(flat(starts=False)), spatial_networks(starts=False, recurrent=False)), decays_at_once=True)
AT_ONCE = networks(starts=False, resets=("zero",), delays=(0, 0), populations=(1, 1))
ROWS = {
    "safetensors": Row(".safetensors", {}, ANYTHING),
    "onnx": Row(".onnx", {}, ANYTHING),
    "onnx step": Row(".onnx", {"form": "step"}, ANYTHING),
    "nir": Row(".nir", {}, SAYABLE),
    "nir dt": Row(".nir", {"dt": 1e-3}, SAYABLE),
    "nir soft": Row(".nir", {"encode_soft_reset": True}, SOFT),
    "nir portable": Row(".nir", {"portable": True}, sayable(AT_ONCE, decays_at_once=True)),
    "netx": Row(".net", {}, layers()),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_a_format_can_hold_comes_back(tmp_path, name):
    row = ROWS[name]

    @settings(max_examples=15, deadline=None)
    @given(row.holds)
    def comes_back(network):
        path = tmp_path / f"net{row.ending}"
        export(network, path, **row.options)
        assert load(path) == network

    comes_back()


@pytest.mark.parametrize("name", ROWS)
def test_what_a_format_cannot_hold_is_refused_by_name(tmp_path, name):
    """Whatever the network: it comes back, or one line names a node of it and nothing was written."""
    row = ROWS[name]
    seen = {"back": 0, "refused": 0}

    @settings(max_examples=15, deadline=None)
    @given(ANYTHING)
    def comes_back_or_is_refused(network):
        path = tmp_path / f"net{row.ending}"
        path.unlink(missing_ok=True)
        try:
            export(network, path, **row.options)
        except UnsupportedError as error:
            refusal = str(error)
        else:
            assert load(path) == network
            seen["back"] += 1
            return
        seen["refused"] += 1
        kinds = ("population", "connection", "input", "readout")
        named = [f"{kind} {node}" for kind in kinds for node in network.shapes()]
        assert refusal.startswith((*named, f"network {network.name}: ")), refusal
        assert "\n" not in refusal
        assert not path.exists()

    comes_back_or_is_refused()
    assert (seen["refused"] == 0) == (row.holds is ANYTHING)
