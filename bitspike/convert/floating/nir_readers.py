"""What other tools make of a NIR graph: a table, from their sources, from runs, and from published traces.

A reader takes some nodes; it refuses others. A rule says what it does where a fact of
:mod:`bitspike.convert.floating.nir_facts` holds: it ``refuses``, or it reads something that runs ``otherwise``.
"Otherwise" is measured by forward Euler with the synapse first, a strict threshold and the reset of the file. Versions
are those that were looked at; later ones may do better.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bitspike.convert.floating.nir_raw import RawGraph

Effect = Literal["refuses", "otherwise"]
Verdict = Literal["same", "otherwise", "refuses"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReaderRule:
    """Where `fact` holds, the reader does `effect`; why is half a sentence."""

    fact: str
    effect: Effect
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """A row of the table.

    Attributes:
        name, version: of the tool.
        basis: how its rules are known: ``run``, ``source`` (read), ``published`` (its authors or the NIR paper).
        nodes: types that it takes, beside Input and Output.
        hint: what its user must know in any case.
        rules: what it does where a fact holds.
    """

    name: str
    version: str
    basis: str
    nodes: frozenset[str]
    hint: str
    rules: tuple[ReaderRule, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What one reader makes of one graph."""

    reader: str
    verdict: Verdict
    reasons: tuple[str, ...]
    hint: str
    basis: str


def _refuses(fact: str, why: str) -> ReaderRule:
    return ReaderRule(fact=fact, effect="refuses", why=why)


def _otherwise(fact: str, why: str) -> ReaderRule:
    return ReaderRule(fact=fact, effect="otherwise", why=why)


_STEP = _otherwise("dt not 1e-4", "it takes dt = 1e-4, whatever the file means")
READERS: tuple[Reader, ...] = (
    Reader(
        name="Norse", version="1.1.0", basis="run, source",
        nodes=frozenset({"Affine", "Linear", "Conv2d", "Flatten", "SumPool2d", "IF", "LIF", "CubaLIF"}),
        hint="dt is an argument, 1e-3 where it is not given; with Flatten, give samples one by one, without a batch",
        rules=(
            _otherwise("LIF r not 1", "r of LIF is ignored"),
            _otherwise("IF r not 1/dt", "IF adds the input itself: r and dt are ignored"),
            _otherwise("v_reset not 0", "v_reset is ignored"),
            _otherwise("v_leak not 0", "membranes begin at v_leak"),
            _otherwise("Cuba v_leak not 0", "the current leaks to v_leak too"),
            _otherwise("pool padding", "padding of SumPool2d is ignored"),
            _refuses("groups", "it makes a layer of too few channels"),
        ),
    ),
    Reader(
        name="SpikingJelly", version="2.0.0", basis="run, source",
        nodes=frozenset({"Affine", "Linear", "Conv1d", "Conv2d", "AvgPool2d", "Flatten", "IF", "LIF", "CubaLIF"}),
        hint="dt is an argument, 1e-4 where it is not given; a graph with loops runs step by step only",
        rules=(
            _refuses("IF r not 1/dt", "r of IF must be 1/dt"),
            _refuses("LIF r neither 1 nor tau/dt", "r of LIF must be 1 or tau/dt"),
            _refuses("tau at most dt", "tau of LIF must be above dt"),
            _refuses("v_leak not v_reset", "v_leak of LIF must be v_reset"),
            _refuses("Cuba r not tau_mem/dt", "r of CubaLIF must be tau_mem/dt"),
            _refuses("Cuba w_in not tau_syn/dt", "w_in of CubaLIF must be tau_syn/dt"),
            _refuses("Cuba v_leak not 0", "v_leak of CubaLIF must be 0"),
            _refuses("neurons differ", "all neurons of a node must have the same parameters"),
            _refuses("groups", "it knows no groups"),
            _refuses("integers", "weights must be floats"),
            _otherwise("v_reset not 0", "membranes begin at v_reset"),
        ),
    ),
    Reader(
        name="snnTorch", version="1.0.0", basis="run, source",
        nodes=frozenset({"Affine", "Linear", "Conv2d", "AvgPool2d", "Flatten", "IF", "LIF", "CubaLIF", "NIRGraph"}),
        hint="resets to zero, whatever was trained; with Flatten, give samples one by one, without a batch",
        rules=(
            _STEP,
            _otherwise("IF", "IF becomes Leaky with beta 0.9"),
            _otherwise("v_reset not 0", "v_reset is ignored"),
            _refuses("IF r not 1", "r of IF must be 1"),
            _refuses("v_leak not 0", "v_leak must be 0"),
            _refuses("Cuba r not tau_mem/dt", "r of CubaLIF must be tau_mem/dt"),
            _otherwise("loop", "its recurrent classes run otherwise"),
            _refuses("subgraph", "its recurrent classes cannot be built"),
            _refuses("groups", "it makes a layer of too few channels"),
            _refuses("integers", "weights must be floats"),
        ),
    ),
    Reader(
        name="Sinabs", version="3.1.3", basis="run",
        nodes=frozenset({"Affine", "Conv1d", "Conv2d", "SumPool2d", "Flatten", "IF", "LI", "LIF", "CubaLIF"}),
        hint="several spikes in one step, reset by subtraction",
        rules=(
            _otherwise("IF", "several spikes in one step, reset by subtraction"),
            _otherwise("LIF", "exp(-1/tau) with tau in steps; dt and r are ignored; reset by subtraction"),
            _otherwise("CubaLIF", "passes its input on, without an error"),
            _refuses("loop", "loops end in a KeyError"),
        ),
    ),
    Reader(
        name="Rockpool", version="3.1.0", basis="run",
        nodes=frozenset({"Affine", "Linear", "LI", "LIF", "CubaLIF"}),
        hint="dt is taken from min(tau / (1 + r))",
        rules=(
            _refuses("LIF", "looks for tau_mem in LIF"),
            _otherwise("CubaLIF", "exponential decay, w_in ignored, several spikes in one step, reset by subtraction"),
        ),
    ),
    Reader(
        name="Lava-dl script", version="NIR repository", basis="source",
        nodes=frozenset({"Affine", "Linear", "Conv2d", "SumPool2d", "Flatten", "IF", "LIF", "CubaLIF"}),
        hint="fixed point: decays and weights are cut to integers; each layer answers a step later",
        rules=(
            _STEP,
            _otherwise("spiking", "decays, thresholds and weights are cut to integers"),
            _otherwise("LIF r not 1", "r of LIF is ignored"),
            _otherwise("v_reset not 0", "v_reset is ignored"),
            _refuses("conv bias", "a convolution must have no bias"),
            _refuses("Cuba v_leak not 0", "v_leak of CubaLIF must be 0"),
            _refuses("Cuba r not tau_mem/dt", "r of CubaLIF must be tau_mem/dt"),
            _refuses("neurons differ", "all neurons of a node must have the same parameters"),
        ),
    ),
    Reader(
        name="Nengo", version="NIR table", basis="published",
        nodes=frozenset({"Affine", "LI", "LIF"}),
        hint="spikes of a single LIF as by Euler; those of larger networks differed in the NIR paper",
        rules=(_otherwise("loop", "spikes differed in the NIR paper's recurrent task"),),
    ),
    Reader(
        name="Spyx", version="NIR table", basis="published",
        nodes=frozenset({
            "Affine", "Linear", "Conv2d", "SumPool2d", "Flatten", "Delay", "Scale", "Threshold", "I", "IF", "LIF",
            "CubaLIF",
        }),
        hint="the only reader of Delay, Scale and Threshold",
        rules=(_otherwise("LIF", "answers a step later (recorded trace of a single LIF)"),),
    ),
    Reader(
        name="SpiNNaker2", version="NIR table", basis="published",
        nodes=frozenset({
            "Affine", "Linear", "Conv1d", "Conv2d", "SumPool2d", "Flatten", "IF", "LIF", "CubaLIF",
        }),
        hint="import only; spikes of a single LIF as by Euler",
        rules=(_otherwise("loop", "spikes differed in the NIR paper's recurrent task"),),
    ),
)  # fmt: skip


def readings(graph: RawGraph, facts: Mapping[str, tuple[str, ...]]) -> tuple[Reading, ...]:
    """What each reader of the table makes of a graph."""
    types = {node.type: name for name, node in reversed(list(graph.walk()))}
    return tuple(_reading(reader, types, facts) for reader in READERS)


def _reading(reader: Reader, types: Mapping[str, str], facts: Mapping[str, tuple[str, ...]]) -> Reading:
    foreign = [kind for kind in types if kind not in reader.nodes and kind not in ("Input", "Output", "NIRGraph")]
    refusals = [f"has no {kind} ({types[kind]})" for kind in foreign]
    refusals += [_told(rule, facts) for rule in reader.rules if rule.effect == "refuses" and rule.fact in facts]
    if "NIRGraph" in types and "NIRGraph" not in reader.nodes:
        refusals.append(f"has no graphs within the graph ({types['NIRGraph']})")
    others = [_told(rule, facts) for rule in reader.rules if rule.effect == "otherwise" and rule.fact in facts]
    verdict: Verdict = "refuses" if refusals else "otherwise" if others else "same"
    return Reading(
        reader=f"{reader.name} ({reader.version})",
        verdict=verdict,
        reasons=tuple(dict.fromkeys(refusals or others)),
        hint=reader.hint,
        basis=reader.basis,
    )


def _told(rule: ReaderRule, facts: Mapping[str, tuple[str, ...]]) -> str:
    names = [name for name in facts[rule.fact] if name]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{rule.why} ({shown})" if shown else rule.why
