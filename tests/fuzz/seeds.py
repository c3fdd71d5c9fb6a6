"""Valid files that the fuzzer starts from, a few for each reader, and the readers themselves."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
from builders import chain
from lavadl_files import conv_layer, dense_layer, input_layer, lava_dl_file, neuron

from bitspike.convert import netx_file, nir_file, onnx_file, store
from bitspike.convert.floating.nir_import import from_nir
from bitspike.convert.network import Conv2d, Dense, Identity, Input, IntegerNetwork, Population, Readout, SumPool2d
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One reader.

    Attributes:
        kind: of its files, for the mutations: ``hdf5``, ``onnx`` or ``safetensors``.
        read: a path gives a network, or raises a BitspikeError.
        files: the bytes of valid files.
        ending: of their names.
    """

    kind: str
    read: Callable[[Path], Any]
    files: Callable[[], list[bytes]]
    ending: str


def reader(name: str) -> Reader:
    """The reader called `name`, one of :data:`READERS`."""
    return READERS[name]


def grid(seed: int = 7) -> IntegerNetwork:
    """Convolution, pool, identity, dense, recurrence and a delay, small."""
    random = np.random.default_rng(seed)

    def neurons(name: str, *shape: int, **fixed: Any) -> Population:
        size = int(np.prod(shape))
        bias = {"bias_mantissa": random.integers(-1, 2, size), "bias_exponent": 6}
        return Population(name=name, shape=shape, **{"du": 900, "dv": 300, "vth": 1} | bias | fixed)

    def pm1(rows: int, columns: int) -> Any:
        matrix = random.choice([-1, 1], (rows, columns))
        matrix[0, :2] = 1, -1
        return weights_of(matrix)

    return check(
        IntegerNetwork(
            name="grid",
            steps=4,
            inputs=(Input(name="input", shape=(2, 4, 3)),),
            populations=(neurons("first", 2, 4, 3), neurons("pool", 2, 2, 3), neurons("out", 4)),
            connections=(
                Conv2d(source="input", target="first", source_shape=(2, 4, 3), kernel=(3, 3), padding=(1, 1),
                       weights=pm1(2, 18)),
                SumPool2d(source="first", target="pool", source_shape=(2, 4, 3), kernel=(2, 1), stride=(2, 1)),
                Dense(source="pool", target="out", weights=pm1(4, 12), exponent=1),
                Dense(source="out", target="out", weights=pm1(4, 4), delay=1),
            ),
            readouts=(Readout(population="out", kind="spike_count"),),
        )
    )  # fmt: skip


def networks() -> list[IntegerNetwork]:
    """Small networks that between them have every kind of thing."""
    plain = chain((5, 4, 3), seed=1)
    wide = replace(
        chain((6, 5, 4), seed=2, bias=False),
        connections=(
            Dense(source="input", target="hidden1", weights=weights_of(np.arange(-15, 15).reshape(5, 6)), delay=2),
            Dense(source="hidden1", target="output", weights=weights_of(np.arange(-9, 11).reshape(4, 5))),
        ),
    )
    skip = replace(
        grid(),
        connections=(*grid().connections, Identity(source="input", target="first", size=24, weight=-3, delay=1)),
    )
    graded = grid().with_populations(
        tuple(replace(p, spike="graded") if p.name == "first" else p for p in grid().populations)
    )
    tiny = chain((3, 2), seed=4)
    return [check(network) for network in (plain, wide, grid(), skip, graded, tiny)]


def _written(write: Callable[[IntegerNetwork, Path], object], ending: str) -> list[bytes]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for index, network in enumerate(networks()):
            path = Path(folder) / f"{index}{ending}"
            try:
                write(network, path)
            except UnsupportedError:
                continue
            found.append(path.read_bytes())
    return found


def _onnx_files() -> list[bytes]:
    steps = _written(lambda network, path: onnx_file.write(network, path, form="step"), ".onnx")
    scans = _written(onnx_file.write, ".onnx")
    return scans[:3] + scans[-1:] + steps[:1]


def _lava_dl_files() -> list[bytes]:
    first = [[2, -4, 6], [8, 0, -126]]
    old = {"neuron/theta": 5120, "neuron/wgtExp": 0, "neuron/type": "LOIHI"}
    kernels = np.arange(-9, 9).reshape(2, 1, 3, 3)
    pool = {"type": "pool", "weight": np.full((1, 1, 2, 2, 1), 64, "f4"), "stride": np.array([2, 2])}
    stacks = [
        [input_layer(3), dense_layer(first, bias=np.array([3.0, -1.0], "f4")), dense_layer([[2, -2]], delay=3)],
        [dense_layer(first, **old), dense_layer([[2, 4], [1, -3]], type="dense_rec", weight_rec=np.ones((2, 2)))],
        [
            input_layer(1, 6, 6, weight=np.array([36.0]), bias=np.array([34.0]), **neuron(iDecay=4096)),
            conv_layer(kernels, (2, 4, 4), **neuron(vDecay=np.array([1, 9]))),
            conv_layer(kernels, (2, 2, 2), groups=None, **pool),
            {"type": "flatten", "shape": np.array([8])},
            dense_layer(np.arange(-8, 8).reshape(2, 8), delay=np.array([0, 2])),
            {"type": "average", "shape": np.array([2])},
        ],
    ]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for stack in stacks:
            found.append(lava_dl_file(Path(folder) / "a.net", stack).read_bytes())
    return found


def _foreign_nir_files() -> list[bytes]:
    leak = {"tau": np.full(4, 0.01), "r": np.ones(4), "v_leak": np.zeros(4), "v_threshold": np.ones(4)}
    cuba = {"tau_syn": np.full(3, 0.005), "tau_mem": np.full(3, 0.01), "r": np.ones(3), "v_leak": np.zeros(3),
            "v_threshold": np.ones(3)}  # fmt: skip
    dense = nir.NIRGraph(
        nodes={
            "input": nir.Input({"input": np.array([5])}),
            "fc": nir.Affine(np.arange(20.0).reshape(4, 5), np.ones(4)),
            "lif": nir.LIF(**leak),
            "rec": nir.Linear(np.eye(4)),
            "scale": nir.Scale(np.full(4, 2.0)),
            "out": nir.Linear(np.ones((3, 4))),
            "delay": nir.Delay(np.array([0.001, 0.002, 0.0])),
            "cuba": nir.CubaLIF(**cuba),
            "output": nir.Output({"output": np.array([3])}),
        },
        edges=[
            ("input", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "scale"), ("scale", "out"),
            ("out", "delay"), ("delay", "cuba"), ("cuba", "output"),
        ],
    )  # fmt: skip
    spatial = nir.NIRGraph(
        nodes={
            "input": nir.Input({"input": np.array([1, 6, 6])}),
            "conv": nir.Conv2d((6, 6), np.ones((2, 1, 3, 3)), 1, 0, 1, 1, np.zeros(2)),
            "if": nir.IF(r=np.ones((2, 4, 4)), v_threshold=np.ones((2, 4, 4))),
            "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
            "flat": nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1),
            "li": nir.LI(tau=np.full(8, 0.01), r=np.ones(8), v_leak=np.zeros(8)),
            "output": nir.Output({"output": np.array([8])}),
        },
        edges=[
            ("input", "conv"), ("conv", "if"), ("if", "pool"), ("pool", "flat"), ("flat", "li"), ("li", "output")
        ],
    )  # fmt: skip
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for graph in (dense, spatial):
            nir.write(Path(folder) / "a.nir", graph)
            found.append((Path(folder) / "a.nir").read_bytes())
    return found


READERS: dict[str, Reader] = {
    "safetensors": Reader(
        kind="safetensors", read=store.load, files=lambda: _written(store.save, ".safetensors"), ending=".safetensors"
    ),
    "nir": Reader(kind="hdf5", read=nir_file.read, files=lambda: _written(nir_file.write, ".nir"), ending=".nir"),
    "nir-foreign": Reader(
        kind="hdf5", read=lambda path: from_nir(path, dt=1e-3), files=_foreign_nir_files, ending=".nir"
    ),
    "onnx": Reader(kind="onnx", read=onnx_file.read, files=_onnx_files, ending=".onnx"),
    "netx": Reader(kind="hdf5", read=netx_file.read, files=lambda: _written(netx_file.write, ".net"), ending=".net"),
    "lavadl": Reader(kind="hdf5", read=lambda path: netx_file.read(path, steps=5), files=_lava_dl_files, ending=".net"),
}
