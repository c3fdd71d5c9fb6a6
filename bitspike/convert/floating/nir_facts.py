"""What holds for the nodes of a NIR graph, by name: the facts that readers trip over."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.floating.nir_flat import arrange, flatten
from bitspike.convert.floating.nir_raw import SPIKING, TIME_CONSTANTS, TIMED, RawGraph, RawNode
from bitspike.errors import BitspikeError

LEAKY = ("LI", "LIF", "CubaLI", "CubaLIF")
CUBA = ("CubaLI", "CubaLIF")
WINDOWS = ("Conv1d", "Conv2d")
#: The step that snnTorch and Lava's script have built in, and that SpikingJelly has where nobody says otherwise.
USUAL_DT = 1e-4


def facts_of(graph: RawGraph, dt: float | None) -> Mapping[str, tuple[str, ...]]:
    """By fact the nodes for which it holds; facts about steps are left out where `dt` is not known."""
    found: dict[str, tuple[str, ...]] = {}
    for fact, holds in FACTS.items():
        names = tuple(name for name, node in graph.walk() if _tried(holds, node, dt))
        if names:
            found[fact] = names
    if dt is not None and not _near(dt, USUAL_DT) and any(node.type in TIMED for _, node in graph.walk()):
        found["dt not 1e-4"] = ("",)
    loops = loops_of(graph)
    if loops:
        found["loop"] = tuple(f"{source} -> {target}" for source, target in loops)
    return MappingProxyType(found)


def loops_of(graph: RawGraph) -> tuple[tuple[str, str], ...]:
    """The edges that close loops, where the graph can be laid out at all."""
    try:
        flat = flatten(graph)
        inputs = [name for name, node in flat.nodes.items() if node.type == "Input"]
        _, back = arrange(flat.nodes, flat.edges, inputs=inputs)
    except BitspikeError:
        return ()
    return tuple(sorted(back))


def numbers(node: RawNode, field: str, default: float | None = None) -> npt.NDArray[np.float64]:
    """A field as numbers; an empty array where it is absent or holds none."""
    found = np.asarray(node.fields.get(field, np.zeros(0) if default is None else default))
    return found.astype(np.float64).reshape(-1) if found.dtype.kind in "biuf" else np.zeros(0)


def _tried(holds: Callable[[RawNode, float | None], bool], node: RawNode, dt: float | None) -> bool:
    with np.errstate(all="ignore"):
        try:
            return holds(node, dt)
        except (ValueError, TypeError, OverflowError):  # fields that do not fit each other: an error of its own
            return False


def _near(values: Any, expected: Any) -> bool:
    return bool(np.allclose(values, expected, rtol=1e-5, atol=0))


def _other(node: RawNode, field: str, expected: float) -> bool:
    values = numbers(node, field, expected)
    return bool(values.size) and not _near(values, expected)


def _not_quotient(node: RawNode, gain: str, time: str, dt: float | None) -> bool:
    if dt is None or time not in node.fields:
        return False
    return not _near(numbers(node, gain, 1.0), numbers(node, time) / dt)


def _membrane(node: RawNode) -> str:
    return "tau_mem" if node.type in CUBA else "tau"


def _uneven(node: RawNode, _: float | None) -> bool:
    if node.type not in (*LEAKY, "I", "IF"):
        return False
    return any(numbers(node, field).size > 1 and np.ptp(numbers(node, field)) > 0 for field in node.fields)


FACTS: Mapping[str, Callable[[RawNode, float | None], bool]] = MappingProxyType(
    {
        "LIF r not 1": lambda n, _: n.type in ("LI", "LIF") and _other(n, "r", 1),
        "LIF r neither 1 nor tau/dt": lambda n, dt: (
            n.type in ("LI", "LIF") and _other(n, "r", 1) and _not_quotient(n, "r", "tau", dt)
        ),
        "Cuba r not tau_mem/dt": lambda n, dt: n.type in CUBA and _not_quotient(n, "r", "tau_mem", dt),
        "Cuba w_in not tau_syn/dt": lambda n, dt: n.type in CUBA and _not_quotient(n, "w_in", "tau_syn", dt),
        "w_in not 1": lambda n, _: n.type in CUBA and _other(n, "w_in", 1),
        "IF r not 1": lambda n, _: n.type in ("I", "IF") and _other(n, "r", 1),
        "IF r not 1/dt": lambda n, dt: n.type in ("I", "IF") and dt is not None and not _near(numbers(n, "r"), 1 / dt),
        "v_reset not 0": lambda n, _: n.type in SPIKING and bool(numbers(n, "v_reset", 0.0).any()),
        "v_leak not 0": lambda n, _: n.type in LEAKY and bool(numbers(n, "v_leak").any()),
        "Cuba v_leak not 0": lambda n, _: n.type in CUBA and bool(numbers(n, "v_leak").any()),
        "v_leak not v_reset": lambda n, _: (
            n.type == "LIF"
            and not bool(np.array_equal(np.unique(numbers(n, "v_leak")), np.unique(numbers(n, "v_reset", 0.0))))
        ),
        "neurons differ": _uneven,
        "tau at most dt": lambda n, dt: n.type == "LIF" and dt is not None and bool((numbers(n, "tau") <= dt).any()),
        "one number for all neurons": lambda n, _: (
            n.type in (*LEAKY, "I", "IF", "Threshold") and any(np.ndim(n.fields[field]) == 0 for field in n.fields)
        ),
        "groups": lambda n, _: n.type in WINDOWS and _other(n, "groups", 1),
        "bias": lambda n, _: n.type in ("Affine", *WINDOWS) and bool(numbers(n, "bias").any()),
        "conv bias": lambda n, _: n.type in WINDOWS and bool(numbers(n, "bias").any()),
        "kernel not square": lambda n, _: n.type == "Conv2d" and len(set(np.shape(n.fields["weight"])[2:])) == 2,
        "pool padding": lambda n, _: n.type in ("SumPool2d", "AvgPool2d") and bool(numbers(n, "padding").any()),
        "flatten from 1": lambda n, _: (
            n.type == "Flatten" and bool((numbers(n, "start_dim") == 1).any()) and numbers(n, "input_type").size > 1
        ),
        "integers": lambda n, _: np.asarray(n.fields.get("weight", 0.0)).dtype.kind in "iu",
        "tau of 1 or more": lambda n, _: any(bool((numbers(n, field) >= 1).any()) for field in TIME_CONSTANTS),
        "subgraph": lambda n, _: n.graph is not None,
        "spiking": lambda n, _: n.type in SPIKING,
        "IF": lambda n, _: n.type == "IF",
        "LIF": lambda n, _: n.type == "LIF",
        "CubaLIF": lambda n, _: n.type == "CubaLIF",
        "Cuba": lambda n, _: n.type in CUBA,
        "timed": lambda n, _: n.type in TIMED,
    }
)
