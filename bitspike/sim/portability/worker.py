"""A framework reads a NIR file and runs it: ``python -m bitspike.sim.portability.worker FRAMEWORK FILE FOLDER``.

It runs in a process of its own, for the frameworks print, log, warn and change what is global. In FOLDER it finds
``spikes.npy``, uint8 (samples, steps, *shape of the input), and ``names.json``, the nodes whose output is wanted. It
leaves there ``out.npz``, float32 (samples, steps, neurons) by node, and ``note.json``, (node, reason), where it is
known beforehand that a node will be computed otherwise; or ``refused.json``, (node, reason), where the framework cannot
read the file: the first node that it refuses when it stands alone, or no node where all are read alone and the graph is
not.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

Importer = Callable[[Any], Any]


class _RefusedError(Exception):
    """Node and reason."""


def main(arguments: list[str]) -> int:
    """Run one framework."""
    framework, file, where = arguments
    folder = Path(where)
    warnings.simplefilter("ignore")
    with redirect_stdout(sys.stderr):
        try:
            outputs = _run(framework, file, folder)
        except _RefusedError as refused:
            (folder / "refused.json").write_text(json.dumps(refused.args), encoding="utf-8")
            return 0
    np.savez(folder / "out.npz", **outputs)
    return 0


def _run(framework: str, file: str, folder: Path) -> dict[str, Any]:
    import nir
    import torch

    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads()))
    graph = nir.read(file)
    note = _early(graph) if framework == "norse" else None
    if note is not None:
        (folder / "note.json").write_text(json.dumps(note), encoding="utf-8")
    importer = _importer(framework, float(graph.metadata["dt"]))
    model = _imported(importer, graph)
    spikes = np.load(folder / "spikes.npy", allow_pickle=False)
    names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    # SpikingJelly counts the axes of Flatten without the batch, as NIR does; the others with it.
    flat = any(isinstance(node, nir.Flatten) for node in graph.nodes.values())
    size = 1 if flat and framework != "spikingjelly" else 64
    parts = []
    for first in range(0, len(spikes), size):
        batch = torch.from_numpy(spikes[first : first + size]).float()
        try:
            parts.append(_window(model, names, batch[0] if size == 1 else batch, axis=0 if size == 1 else 1))
        except Exception as error:  # whatever a framework's code raises is its refusal
            raise _RefusedError("", f"when it runs: {_line(error)}") from error
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _window(model: Any, names: list[str], spikes: Any, axis: int) -> dict[str, Any]:
    """What the nodes put out, (samples, steps, neurons); `axis` of `spikes` is time, 0 for a single sample."""
    import torch

    seen: dict[str, list[Any]] = {name: [] for name in names}
    handles = []
    for name in names:
        module = _module(model, name)
        if hasattr(module, "reset_mem"):
            module.reset_mem()

        def keep(_module: Any, _given: Any, output: Any, name: str = name) -> None:
            value = output[0] if isinstance(output, tuple) else output
            seen[name].append(value.reshape(1 if axis == 0 else len(value), -1).numpy())

        handles.append(module.register_forward_hook(keep))
    state = None
    with torch.no_grad():
        for step in spikes.unbind(axis):
            _, state = model(step, state)
    for handle in handles:
        handle.remove()
    return {name: np.stack(values, axis=1).astype(np.float32) for name, values in seen.items()}


def _module(model: Any, name: str) -> Any:
    modules = dict(model.named_children())
    return modules.get(name) or modules[f"nir_node_{name}"]


def _imported(importer: Importer, graph: Any) -> Any:
    """The framework's model of `graph`; _RefusedError where it cannot read it."""
    import nir

    for kind in (nir.Input, nir.Output):
        names = [name for name, node in graph.nodes.items() if isinstance(node, kind)]
        if len(names) > 1:
            raise _RefusedError(names[1], f"nirtorch takes one {kind.__name__} node; the file has {len(names)}")
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Input | nir.Output):
            continue
        try:
            importer(_alone(node))
        except Exception as error:  # whatever a framework's code raises is its refusal
            raise _RefusedError(name, f"{type(node).__name__}: {_line(error)}") from error
    try:
        return importer(graph)
    except Exception as error:
        raise _RefusedError("", _line(error)) from error


def _early(graph: Any) -> tuple[str, str] | None:
    """The first node that Norse computes before one of its inputs, and what follows; None where there is none.

    nirtorch's older executor, which Norse uses, computes nodes in the order of a depth-first walk from the input.
    """
    import networkx as nx

    joined = nx.DiGraph(graph.edges)
    order: dict[str, int] = {}
    waiting = list(graph.inputs)[:1]
    while waiting:
        name = waiting.pop()
        if name not in order:
            order[name] = len(order)
            waiting += reversed(list(joined.successors(name)))
    for name, place in order.items():
        for source in joined.predecessors(name):
            if order.get(source, 0) > place and not nx.has_path(joined, name, source):
                return name, f"Norse computes it before its input {source}, which so arrives a step late"
    return None


def _alone(node: Any) -> Any:
    import nir

    nodes = {
        "input": nir.Input(np.array(node.input_type["input"])),
        "node": node,
        "output": nir.Output(np.array(node.output_type["output"])),
    }
    return nir.NIRGraph(nodes, [("input", "node"), ("node", "output")], type_check=False)


def _importer(framework: str, dt: float) -> Importer:
    if framework == "norse":
        import nir
        from norse.torch import from_nir
        from norse.torch.utils.import_nir import _import_norse_module

        def norse(graph: Any) -> Any:
            # nirtorch's older reader, which Norse uses, leaves a node out that it has no module for, and says nothing.
            for node in graph.nodes.values():
                missing = _import_norse_module(node, ignore_warnings=True, dt=dt) is None
                if missing and not isinstance(node, nir.Input | nir.Output):
                    raise TypeError("Norse has no module for it and would leave it out")
            return from_nir(graph, ignore_warnings=True, dt=dt)

        return norse
    if framework == "spikingjelly":
        from spikingjelly.activation_based.nir_exchange.from_nir import import_from_nir

        return lambda graph: import_from_nir(graph, dt=dt)
    from snntorch.import_nir import import_from_nir as snntorch_import

    return snntorch_import


def _line(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300].rstrip(": ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
