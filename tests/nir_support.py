"""A reader of NIR graphs for tests: forward Euler with the synapse first, written from NIR's equations alone.

Parts of the graph that no loop joins are computed one after the other; within a loop, but for one that a Delay cuts,
the populations are computed in their order, and what has not been computed yet gives its value of the step before. That
is what "readers give one step to the connection that closes a loop" means.
"""

import networkx as nx
import nir
import numpy as np

LEAKY = (nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF)
STATEFUL = (*LEAKY, nir.I, nir.IF, nir.Threshold)


def euler(graph, spikes, number=np.float64, order=(), entries=("input",)):
    """What every node puts out, (samples, steps, neurons).

    `order` names the populations as a step computes them; `entries` the inputs as they lie in `spikes`.
    """
    return _Reader(graph, number, order, entries).run(spikes)


class _Reader:
    def __init__(self, graph, number, order, entries):
        self.entries = entries
        self.nodes, self.number = graph.nodes, number
        self.dt = number(graph.metadata["dt"])
        self.sources = {name: [a for a, b in graph.edges if b == name] for name in graph.nodes}
        # What leaves a Delay does not depend on what enters it in the same step, so no loop goes through one.
        joined = nx.DiGraph([edge for edge in graph.edges if not isinstance(graph.nodes[edge[1]], nir.Delay)])
        parts = nx.condensation(joined)
        self.parts = [sorted(parts.nodes[part]["members"]) for part in nx.topological_sort(parts)]
        self.order = [name for p in order for name in (f"{p}_membrane", p) if name in graph.nodes]
        self.state, self.now, self.before, self.queues = {}, {}, {}, {}

    def run(self, spikes):
        given, place = {}, 0
        for name in self.entries:
            shape = tuple(int(extent) for extent in self.nodes[name].input_type["input"])
            part = spikes[:, :, place : place + int(np.prod(shape))]
            given[name] = part.reshape(*spikes.shape[:2], *shape).astype(self.number)
            place += int(np.prod(shape))
        out = {name: [] for name in self.nodes}
        for t in range(spikes.shape[1]):
            self.before, self.now = self.now, {name: value[:, t] for name, value in given.items()}
            for part in self.parts:
                first = [name for name in self.order if name in part] if len(part) > 1 else []
                for name in [*first, *part]:
                    self.value(name, set(part), asked=False)
            self.push()
            for name, value in self.now.items():
                out[name].append(value.reshape(len(spikes), -1))
        return {name: np.stack(values, axis=1) for name, values in out.items()}

    def value(self, name, part, asked=True):
        if name in self.now:
            return self.now[name]
        node = self.nodes[name]
        if asked and name in part and isinstance(node, STATEFUL):
            return self.before.get(name)
        if isinstance(node, nir.Delay):
            shape = (len(self.now[self.entries[0]]), *(int(e) for e in node.input_type["input"]))
            steps = round(float(node.delay.flat[0]) / float(self.dt))
            self.now[name] = self.queues.setdefault(name, [np.zeros(shape, self.number)] * steps)[0]
            return self.now[name]
        values = [v for v in (self.value(source, part) for source in self.sources[name]) if v is not None]
        given = sum(values) if values else None
        self.now[name] = self.respond(name, node, given)
        return self.now[name]

    def push(self):
        """Put what entered each Delay in this step at the end of its queue."""
        for name, queue in self.queues.items():
            queue.pop(0)
            queue.append(sum(self.now[source] for source in self.sources[name]))

    def respond(self, name, node, given):
        """What one node makes of its input in one step; None is silence before anything was computed."""
        samples = len(self.now[self.entries[0]])
        if given is None:
            given = np.zeros((samples, *(int(e) for e in node.input_type["input"])), self.number)
        p = {key: np.asarray(v).astype(self.number) for key, v in vars(node).items() if isinstance(v, np.ndarray)}
        match node:
            case nir.Linear() | nir.Affine():
                given = given @ p["weight"].T + p.get("bias", self.number(0))
            case nir.Conv2d() | nir.SumPool2d():
                given = window(node, given, self.number)
            case nir.Flatten():
                given = given.reshape(samples, -1)
            case nir.Scale():
                given = given * p["scale"]
            case nir.Threshold():
                given = (given > p["threshold"]).astype(self.number)
            case nir.I() | nir.IF() | nir.LI() | nir.LIF() | nir.CubaLI() | nir.CubaLIF():
                given = self.neuron(name, node, p, given)
        return given

    def neuron(self, name, node, p, given):
        i, v = self.state.get(name, (np.zeros_like(given),) * 2)
        i = i + self.dt / p["tau_syn"] * (-i + p["w_in"] * given) if "tau_syn" in p else given
        tau = p.get("tau", p.get("tau_mem"))
        charge = self.dt / tau * ((p["v_leak"] - v) + p["r"] * i) if isinstance(node, LEAKY) else self.dt * p["r"] * i
        v = v + charge
        if "v_threshold" not in p:
            self.state[name] = i, v
            return v
        z = v > p["v_threshold"]
        self.state[name] = i, np.where(z, p["v_reset"], v)
        return z.astype(self.number)


def window(node, given, number):
    """A convolution of one group, or a sum over a window, place by place."""
    pool = isinstance(node, nir.SumPool2d)
    size = node.kernel_size if pool else node.weight.shape[2:]
    dilation = (1, 1) if pool else node.dilation
    (high, wide), stride = (int(pad) for pad in node.padding), node.stride
    padded = np.pad(given, ((0, 0), (0, 0), (high, high), (wide, wide)))
    rows, columns = (
        (padded.shape[2 + axis] - dilation[axis] * (size[axis] - 1) - 1) // stride[axis] + 1 for axis in range(2)
    )
    total = 0
    for y in range(size[0]):
        for x in range(size[1]):
            top, left = y * dilation[0], x * dilation[1]
            taken = padded[:, :, top :: stride[0], left :: stride[1]][:, :, :rows, :columns]
            total += taken if pool else np.einsum("oc,ncyx->noyx", node.weight[:, :, y, x].astype(number), taken)
    return total if pool else total + node.bias.astype(number)[:, None, None]
