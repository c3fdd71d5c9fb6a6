"""The writer of a script that builds and runs a network with Lava alone: one Python file, and one ``.npz`` beside it.

The script is for people with hardware, who have Python 3.10 and not bitspike. It is the lowered network
(:mod:`bitspike.targets.lava.program`) written down: each process is a call with its registers, weights and biases come
from the data file, and the schedule of a run is that of our own engine.
"""

import os
import re
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork, Readout
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import check
from bitspike.errors import UsageError
from bitspike.files import replacing
from bitspike.targets.lava.encode import SignMode
from bitspike.targets.lava.lower import lower
from bitspike.targets.lava.program import Connection, ConvConnection, DenseConnection, LavaProgram, SparseConnection

#: A module's name: the script can be imported, and the data file has its stem.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
#: Modules that the script imports, itself or through others; its folder comes first where Python looks for them.
_TAKEN = sys.stdlib_module_names | {"asteval", "lava", "networkx", "numpy", "scipy", "sklearn"}
_REDUCE = {
    "spike_count": ".sum(axis=1, dtype=np.int64)",
    "membrane_sum": ".sum(axis=1, dtype=np.int64)",
    "membrane_last": "[:, -1].astype(np.int64)",
}
Arrays = dict[str, npt.NDArray[Any]]


def write(network: IntegerNetwork, path: str | os.PathLike[str]) -> None:
    """Write `path`, ending in ``.py``, and its data file, with the ending ``.npz``.

    Raises:
        UsageError: an ending or a stem that no module has.
        RangeError: where a state could leave the chip's registers.
        UnsupportedError: where Lava cannot hold the network exactly.
    """
    target = Path(path)
    if target.suffix != ".py":
        raise UsageError(f"{target}: ending {target.suffix!r}; expected .py")
    text, arrays = generate(network, target.stem)
    with replacing(target.with_suffix(".npz")) as data, replacing(target) as script:
        with data.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        script.write_text(text, encoding="utf-8")


def generate(network: IntegerNetwork, name: str) -> tuple[str, Arrays]:
    """The script's text and its data for a legal network whose range proof holds; see :func:`write`."""
    import jinja2

    if not _NAME.fullmatch(name):
        raise UsageError(f"name {name!r}; expected letters, digits and _ (no digit first), at most 100")
    if name in _TAKEN:
        raise UsageError(f"name {name!r}; a module that the script imports has it: expected another")
    check_range(check(network))
    program = lower(network)
    arrays: Arrays = {f"{n.name}.bias": n.bias_mant for n in program.neurons}
    connections = [_connection(c, number, program, arrays) for number, c in enumerate(program.connections)]
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined,
        autoescape=False,
    )  # fmt: skip
    text = files("bitspike.targets.lava").joinpath("templates/network.py.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(_context(network, program, name, connections)), arrays


def _context(
    network: IntegerNetwork, program: LavaProgram, name: str, connections: list[dict[str, Any]]
) -> dict[str, Any]:
    used = {c["process"] for c in connections}
    read = _read(network, program)
    return {
        "title": re.sub(r"[^\w .,()+-]", "_", network.name),
        "version": version("bitspike"),
        "digest": network.digest(),
        "script_name": f"{name}.py",
        "data_name": f"{name}.npz",
        "steps": network.steps,
        "inputs": network.input_size,
        "entries": [{"text": f"{i.size} of {i.name}"} for i in network.inputs],
        "latency": program.latency,
        "gap": program.gap,
        "quiet": program.sources[-1].name if program.quiet else "",
        "ours": not program.hardware,
        "cautions": program.cautions,
        "kinds": {
            "conv": "Conv" in used,
            "dense": sorted(used & {"Dense", "DelayDense"}),
            "sparse": sorted(used & {"Sparse", "DelaySparse"}),
        },
        "membranes": any(row["quantity"] == "v" for row in read),
        "sources": _sources(program),
        "neurons": [
            {
                "process": "LIFReset" if n.lava_has_it else "SubtractingLIF",
                **{key: getattr(n, key) for key in ("name", "shape", "du", "dv", "vth", "bias_exp", "start")},
                **{key: getattr(n, key) for key in ("subtract", "payload_shift")},
            }
            for n in program.neurons
        ],
        "connections": connections,
        "read": read,
        "answers": [
            {"name": answer or "answer", "parts": [{**_part(r), "reduce": _REDUCE[r.kind]} for r in parts]}
            for answer, parts in network.answers().items()
        ],
    }


def _sources(program: LavaProgram) -> list[dict[str, Any]]:
    """Names, shapes and which columns of the input are whose."""
    found, first = [], 0
    for s in program.sources:
        found.append({"name": s.name, "shape": s.shape, "first": first, "last": first + s.size})
        first += s.size
    return found


def _part(readout: Readout) -> dict[str, Any]:
    return {"population": readout.population, "quantity": "spikes" if readout.kind == "spike_count" else "v"}


def _read(network: IntegerNetwork, program: LavaProgram) -> list[dict[str, Any]]:
    """Each population and quantity that is read, once."""
    starts = {n.name: n.start for n in program.neurons}
    rows = [{**_part(r), "start": starts[r.population]} for r in network.readouts]
    return [row for number, row in enumerate(rows) if row not in rows[:number]]


def _connection(c: Connection, number: int, program: LavaProgram, arrays: Arrays) -> dict[str, Any]:
    """A call of the process: its name and arguments as text; what they read goes into `arrays`."""
    key = f"{number}.{c.source}.{c.target}"
    is_source = any(s.name == c.source for s in program.sources)
    sending = f'sources["{c.source}"]' if is_source else f'neurons["{c.source}"].s_out'
    if isinstance(c, ConvConnection):
        arrays[f"{key}.weight"] = c.kernel
        process, arguments = "Conv", [("weight", f'data["{key}.weight"]')]
        geometry = ("input_shape", "stride", "padding", "dilation", "groups")
        arguments += [(field, str(getattr(c, field))) for field in geometry]
    else:
        process, arguments = _matrix(c, key, arrays)
    arguments.append(("num_message_bits", str(c.message_bits)))
    return {"source": sending, "target": c.target, "process": process, "arguments": arguments}


def _matrix(c: Connection, key: str, arrays: Arrays) -> tuple[str, list[tuple[str, str]]]:
    if isinstance(c, SparseConnection):
        arrays |= {f"{key}.weights": c.synapses.mantissas, f"{key}.targets": c.targets, f"{key}.sources": c.sources}
        process = "Sparse"
        weights = f'matrix(data, "{key}", {c.size}, data["{key}.weights"])'
        delays = f'matrix(data, "{key}", {c.size}, np.full({len(c.sources)}, {c.delay - 1}))'
    elif isinstance(c, DenseConnection):
        arrays[f"{key}.weights"] = c.synapses.mantissas
        process, weights = "Dense", f'data["{key}.weights"]'
        delays = f"np.full({c.synapses.mantissas.shape}, {c.delay - 1})"
    else:
        raise TypeError(f"connection {c.name}: {type(c).__name__}")
    arguments = [
        ("weights", weights),
        ("num_weight_bits", str(c.synapses.bits)),
        ("weight_exp", str(c.synapses.exponent)),
        ("sign_mode", f"SignMode.{SignMode(c.synapses.sign_mode).name}"),
    ]
    if c.delay == 1:
        return process, arguments
    return f"Delay{process}", [*arguments, ("delays", delays)]
