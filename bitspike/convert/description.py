"""A network as canonical JSON plus named arrays: what every file of ours carries.

:mod:`bitspike.convert.store` puts both in a safetensors file; the NIR, ONNX and NetX writers put the JSON in their
format's metadata. A reader refuses whatever the writer would not write.
"""

import json
from typing import Any

import numpy as np

from bitspike.convert.connection_json import arrays_of_connection, connection_from, describe_connection
from bitspike.convert.json_values import Arrays, expect_keys, items, parse_json, shape_of, take_array, typed
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.rules import check
from bitspike.errors import BitspikeError

__all__ = ["Arrays", "arrays_of", "describe", "description_text", "network_from"]

_NETWORK_KEYS = {"name", "steps", "populations", "connections", "collapse"}
#: One input or read-out lies under the first key, several lie in a list under the second: the description of a network
#: with one of each is what it was before there could be several.
_INPUT_KEYS, _READOUT_KEYS = ("input", "inputs"), ("readout", "readouts")
#: Of graded spikes only, so that the description of a network without them is what it was before they came.
_GRADED_KEYS = {"spike", "shift"}
_POPULATION_KEYS = {"name", "shape", "du", "dv", "vth", "reset", "bias_exponent", "start"}


def describe(network: IntegerNetwork) -> dict[str, Any]:
    """Everything but the arrays, as plain JSON values.

    Connections are described by :mod:`bitspike.convert.connection_json`.
    """
    return {
        "name": network.name,
        "steps": network.steps,
        "collapse": network.collapse,
        **_one_or_list(_INPUT_KEYS, [{"name": entry.name, "shape": list(entry.shape)} for entry in network.inputs]),
        "populations": [
            {
                "name": p.name, "shape": list(p.shape), "du": p.du, "dv": p.dv, "vth": p.vth, "reset": p.reset,
                "bias_exponent": p.bias_exponent, "start": p.start,
            } | ({"spike": p.spike, "shift": p.shift} if p.graded else {})
            for p in network.populations
        ],
        "connections": [
            describe_connection(c)
            for c in network.connections
        ],
        **_one_or_list(_READOUT_KEYS, [
            {"population": r.population, "kind": r.kind} | ({"answer": r.answer} if r.answer else {})
            for r in network.readouts
        ]),
    }  # fmt: skip


def description_text(network: IntegerNetwork) -> str:
    """:func:`describe` as canonical JSON: sorted keys, no spaces, ASCII."""
    return json.dumps(describe(network), sort_keys=True, separators=(",", ":"))


def arrays_of(network: IntegerNetwork) -> Arrays:
    """The arrays of the file, by entry name."""
    arrays: Arrays = {f"{p.name}.bias": p.bias_mantissa for p in network.populations}
    for index, connection in enumerate(network.connections):
        arrays |= arrays_of_connection(index, connection)
    return arrays


def network_from(text: str, arrays: Arrays) -> IntegerNetwork:
    """The network that :func:`description_text` and :func:`arrays_of` describe.

    Raises:
        BitspikeError: naming the first key, entry or rule that does not fit.
    """
    try:
        description = parse_json(text)
    except (ValueError, RecursionError):
        raise BitspikeError("the network's description is not JSON") from None
    several = [keys[isinstance(description, dict) and keys[1] in description] for keys in (_INPUT_KEYS, _READOUT_KEYS)]
    expect_keys("network", description, _NETWORK_KEYS | set(several))
    remaining = dict(arrays)
    network = IntegerNetwork(
        name=typed("network", description, "name", str),
        steps=typed("network", description, "steps", int),
        collapse=typed("network", description, "collapse", str),
        inputs=tuple(_input(item) for item in _listed(description, several[0], _INPUT_KEYS)),
        populations=tuple(_population(item, remaining) for item in items(description, "populations")),
        connections=tuple(
            connection_from(index, item, remaining) for index, item in enumerate(items(description, "connections"))
        ),
        readouts=tuple(_readout(item) for item in _listed(description, several[1], _READOUT_KEYS)),
    )
    if remaining:
        raise BitspikeError(f"unexpected entry {sorted(remaining)[0]!r}")
    return check(network)


def _one_or_list(keys: tuple[str, str], values: list[dict[str, Any]]) -> dict[str, Any]:
    return {keys[0]: values[0]} if len(values) == 1 else {keys[1]: values}


def _listed(description: dict[str, Any], key: str, keys: tuple[str, str]) -> list[Any]:
    """What lies under `key`: one value, or a list of two or more."""
    if key == keys[0]:
        return [description[key]]
    found = items(description, key)
    if len(found) < 2:
        raise BitspikeError(f"network: {key} is a list of {len(found)}; expected two or more, or {keys[0]}")
    return found


def _input(item: Any) -> Input:
    expect_keys("input", item, {"name", "shape"})
    return Input(name=typed("input", item, "name", str), shape=shape_of("input", item))


def _population(item: Any, arrays: Arrays) -> Population:
    graded = isinstance(item, dict) and "spike" in item
    expect_keys("population", item, _POPULATION_KEYS | (_GRADED_KEYS if graded else set()))
    name = typed("population", item, "name", str)
    where = f"population {name}"
    number = {key: typed(where, item, key, int) for key in ("du", "dv", "vth", "bias_exponent", "start")}
    if graded:
        if item["spike"] != "graded":
            raise BitspikeError(f"{where}: spike {item['spike']!r}; expected 'graded', or no such key")
        number["shift"] = typed(where, item, "shift", int)
    bias = take_array(arrays, f"{name}.bias", np.int32)
    return Population(
        name=name,
        shape=shape_of(where, item),
        reset=typed(where, item, "reset", str),
        bias_mantissa=bias,
        spike="graded" if graded else "binary",
        **number,
    )


def _readout(item: Any) -> Readout:
    where = "readout"
    named = isinstance(item, dict) and "answer" in item
    expect_keys(where, item, {"population", "kind"} | ({"answer"} if named else set()))
    answer = typed(where, item, "answer", str) if named else ""
    if named and not answer:
        raise BitspikeError(f"{where}: answer is ''; expected a name, or no such key")
    return Readout(
        population=typed(where, item, "population", str), kind=typed(where, item, "kind", str), answer=answer
    )
