"""What a NIR file leaves open or has wrong, and what each known reader makes of it.

Severities: an ``error`` is what the file has wrong, so that it cannot be read, or not be read twice the same way; a
``warning`` is what makes known readers fail or run otherwise; a ``note`` is what NIR cannot say and a reader chooses.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bitspike.convert.floating.nir_facts import USUAL_DT, WINDOWS, facts_of, numbers
from bitspike.convert.floating.nir_fields import Fields
from bitspike.convert.floating.nir_import import from_nir
from bitspike.convert.floating.nir_raw import TIME_CONSTANTS, TIMED, RawGraph, raw_of, read_raw
from bitspike.convert.floating.nir_readers import Reading, readings
from bitspike.convert.floating.nir_time import Step, conventions
from bitspike.convert.hdf5_file import DAMAGE
from bitspike.errors import BitspikeError

if TYPE_CHECKING:
    import nir

Severity = Literal["error", "warning", "note"]
Facts = Mapping[str, tuple[str, ...]]
_ORDER = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing: how bad, which rule, which nodes (none for the whole graph), and a sentence."""

    severity: Severity
    rule: str
    nodes: tuple[str, ...]
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lint:
    """All findings about a graph, the worst first, and what readers make of it.

    Attributes:
        name: of the file or graph.
        version: of the package that wrote the file; empty where it is not said.
        nodes, edges: how many.
        dt: the step that was given or inferred; None where neither, and the readers are then told with 1e-4.
        findings: see :class:`Finding`.
        readers: see :class:`~bitspike.convert.floating.nir_readers.Reading`.
    """

    name: str
    version: str
    nodes: int
    edges: int
    dt: float | None
    findings: tuple[Finding, ...]
    readers: tuple[Reading, ...]

    @property
    def passed(self) -> bool:
        """Whether there is no error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {**asdict(self), "passed": self.passed}

    def __str__(self) -> str:
        written = f", written by nir {self.version}" if self.version else ""
        lines = [f"{self.name}: {self.nodes} nodes, {self.edges} edges{written}"]
        for f in self.findings:
            shown = ", ".join(f.nodes[:4]) + (f" and {len(f.nodes) - 4} more" if len(f.nodes) > 4 else "")
            lines.append(f"{f.severity:<8}{f.rule:<14}{f.text}" + (f" ({shown})" if shown else ""))
        counts = {severity: sum(f.severity == severity for f in self.findings) for severity in _ORDER}
        lines.append(", ".join(f"{severity}s: {count}" for severity, count in counts.items()))
        lines.append(f"known readers, at dt {USUAL_DT if self.dt is None else self.dt:g}:")
        width = max(len(reading.reader) for reading in self.readers)
        for reading in self.readers:
            why = "; ".join(reading.reasons) or reading.hint
            lines.append(f"{reading.reader:<{width}}  {reading.verdict:<9}  {why}")
        return "\n".join(lines)


def lint(source: "str | os.PathLike[str] | RawGraph | nir.NIRGraph", *, dt: float | None = None) -> Lint:
    """Look through a NIR file, or a graph in memory.

    Args:
        source: the file, or the graph.
        dt: the step that is meant; None to have it inferred, where the graph says it.

    Raises:
        FileError: for a file that is no NIR at all, or damaged.
    """
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    graph = _graph(source)
    steps = list(conventions(graph))
    known = dt if dt is not None else steps[0].dt if steps else None
    facts = facts_of(graph, known if known is not None else USUAL_DT)
    findings = [*_nodes(graph), *_whole(graph, known), *_open(graph, steps, dt, facts)]
    findings += [
        Finding(severity=severity, rule=rule, nodes=facts[fact], text=text)
        for fact, severity, rule, text in FACT_RULES
        if fact in facts
    ]
    findings += _nir(path) if path else []
    walked = list(graph.walk())
    return Lint(
        name=path.name if path else graph.name,
        version=graph.version,
        nodes=len(walked),
        edges=sum(len(inner.edges) for inner in [graph, *(n.graph for _, n in walked if n.graph is not None)]),
        dt=known,
        findings=tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity])),
        readers=readings(graph, facts),
    )


FACT_RULES: tuple[tuple[str, Severity, str, str], ...] = (
    ("one number for all neurons", "warning", "scalars", "nir gives such a node no shape, and its type check fails"),
    ("groups", "warning", "groups", "nir takes the channels of one group for all that enter: its type check fails"),
    ("kernel not square", "warning", "kernel", "nir computes the output's width from the kernel's height"),
    ("flatten from 1", "warning", "flatten", "dimensions count without the batch: the first one stays, unless a reader "
     "counts the batch"),
    ("integers", "warning", "integers", "nirtorch makes parameters of floats only"),
    ("tau of 1 or more", "warning", "units", "time constants of 1 or more: in steps, or in ms? snnTorch, SpikingJelly "
     "and Lava's script take seconds"),
    ("loop", "note", "loops", "NIR has no delay of a step: readers let the edge that closes a loop act one step later"),
    ("Cuba", "note", "synapse", "whether a membrane sees the current of this step or the one before is open; Norse, "
     "SpikingJelly and snnTorch: of this one"),
    ("v_leak not 0", "note", "start", "where membranes begin is open; Norse: at v_leak, SpikingJelly: at v_reset"),
    ("v_reset not 0", "warning", "v_reset", "Norse and snnTorch ignore v_reset"),
)  # fmt: skip


def _graph(source: "str | os.PathLike[str] | RawGraph | nir.NIRGraph") -> RawGraph:
    if isinstance(source, str | os.PathLike):
        return read_raw(source)
    return source if isinstance(source, RawGraph) else raw_of(source)


def _nodes(graph: RawGraph) -> Iterator[Finding]:
    """Every node by itself: type, fields, numbers."""
    for name, node in graph.walk():
        fields = Fields(name=name, node=node)
        try:
            fields.check()
        except BitspikeError as error:
            yield Finding(severity="error", rule="fields", nodes=(name,), text=str(error))
            continue
        for field, value in node.fields.items():
            check: Callable[[str], Any] = fields.positive if field in TIME_CONSTANTS else fields.reals
            try:
                if not (isinstance(value, str) and field == "padding"):
                    check(field)
            except BitspikeError as error:
                yield Finding(severity="error", rule="numbers", nodes=(name,), text=str(error))
        shapes = {np.shape(value) for value in node.fields.values() if node.type in TIMED and node.type != "Delay"}
        if len(shapes) > 1:
            yield Finding(
                severity="error", rule="lengths", nodes=(name,),
                text=f"parameters of shapes {', '.join(map(str, sorted(shapes)))}; nir expects the same of all",
            )  # fmt: skip


def _whole(graph: RawGraph, dt: float | None) -> Iterator[Finding]:
    """The graph as a whole: whether it can be read at all with some step."""
    taus = [numbers(node, field) for _, node in graph.walk() for field in TIME_CONSTANTS if field in node.fields]
    positive = [float(array[array > 0].min()) for array in taus if (array > 0).any()]
    try:
        from_nir(graph, dt=dt if dt is not None else min(positive, default=1.0))
    except BitspikeError as error:
        delayed = dt is None and "delay of" in str(error)
        if not delayed:
            yield Finding(severity="error", rule="graph", nodes=(), text=str(error))
    loose = _loose(graph)
    if loose:
        yield Finding(severity="warning", rule="unreached", nodes=loose, text="no signal of an Input reaches it")
    if any(_fed_past_neurons(node.graph) for _, node in graph.walk() if node.graph is not None):
        names = tuple(name for name, node in graph.walk() if node.graph is not None and _fed_past_neurons(node.graph))
        text = "the input enters the recurrent weights, not the neurons, as snnTorch 1.0 exports it by mistake"
        yield Finding(severity="warning", rule="recurrence", nodes=names, text=text)


def _loose(graph: RawGraph) -> tuple[str, ...]:
    reached = {node.name for node in graph.nodes if node.type == "Input"}
    out: dict[str, list[str]] = {}
    for source, target in graph.edges:
        out.setdefault(source, []).append(target)
    waiting = list(reached)
    while waiting:
        fresh = set(out.get(waiting.pop(), ())) - reached
        reached |= fresh
        waiting += fresh
    return tuple(node.name for node in graph.nodes if node.name not in reached)


def _fed_past_neurons(graph: RawGraph) -> bool:
    kinds = {node.name: node.type for node in graph.nodes}
    synapses = [t for s, t in graph.edges if kinds.get(s) == "Input" and kinds.get(t) in ("Affine", "Linear", *WINDOWS)]
    return any((target, synapse) in graph.edges for synapse in synapses for s, target in graph.edges if s == synapse)


def _open(graph: RawGraph, steps: list[Step], dt: float | None, facts: Facts) -> Iterator[Finding]:
    """What NIR cannot say: the step, and the reset."""
    if "timed" in facts and dt is None and not steps:
        text = "the file does not say how long a step is, nor do its parameters; every reader takes its own"
        yield Finding(severity="warning", rule="dt", nodes=(), text=text)
    for step in steps if "timed" in facts else ():
        agrees = dt is None or abs(step.dt - dt) <= 1e-5 * dt
        text = f"dt {step.dt:g} follows from {step.source}"
        severity: Severity = "note" if agrees else "warning"
        yield Finding(severity=severity, rule="dt", nodes=(), text=text if agrees else f"{text}, not {dt:g}")
    if "spiking" in facts and "reset" not in graph.metadata:
        text = "NIR has no reset by subtraction: whether the network was trained with it is open"
        yield Finding(severity="note", rule="reset", nodes=facts["spiking"], text=text)
    if graph.version and not graph.version.startswith("1."):
        text = f"written by nir {graph.version}, before 1.0"
        yield Finding(severity="note", rule="version", nodes=(), text=text)


def _nir(path: Path) -> list[Finding]:
    """What the package `nir` says when it reads the file, and when it checks types."""
    import nir

    for check, rule, text in (
        (False, "nir", "nir cannot read it"),
        (True, "types", "readers stop at nir.read"),
    ):
        try:
            nir.read(path, type_check=check)
        except (*DAMAGE, RecursionError, MemoryError) as error:
            line = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
            severity: Severity = "warning" if check else "error"
            return [Finding(severity=severity, rule=rule, nodes=(), text=f"{text}: {line}")]
    return []
