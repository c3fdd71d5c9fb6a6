"""The independent count of coverage: plain loops over samples, steps and neurons, on a run of its own."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Found:
    """What the loops found: (population, path, neuron), how often, (population, neuron), and synapses that were fed."""

    neurons: set = field(default_factory=set)
    times: Counter = field(default_factory=Counter)
    reached: set = field(default_factory=set)
    fed: set = field(default_factory=set)


def truncated(x, keep):
    """The decay, and the remainder that the truncation drops, with the sign of `x`."""
    sign = -1 if x < 0 else 1
    return sign * (abs(x) * keep // 4096), sign * (abs(x) * keep % 4096)


def slow_coverage(network, spikes):
    """Run a network without latencies; neurons by population and path, times by the same, neurons that a spike reached,
    and fed synapses by the number of the connection.

    Paths are named as the heads of the table are.
    """
    synapses = [[_nonzero(c, n) for n in range(c.shape[0])] for c in network.connections]
    found = Found()
    for sample in spikes:
        _sample(network, sample, synapses, found)
    neurons = Counter((p, path) for p, path, _ in found.neurons)
    return neurons, found.times, found.reached, Counter(number for number, _, _ in found.fed)


def _nonzero(connection, neuron):
    return [(int(k), int(w)) for k, w in zip(*connection.inputs_of(neuron), strict=True) if w]


def _sample(network, spikes, synapses, found):
    sent = []
    state = {p.name: [(0, 0)] * p.size for p in network.populations}
    for step, row in enumerate(spikes):
        now = {name: x.tolist() for name, x in network.input_spikes(row).items()}
        sent.append(now)
        for p in network.populations:
            now[p.name] = [0] * p.size
            for n in range(p.size):
                a = 0
                for number, c in enumerate(network.connections):
                    if c.target == p.name and step >= c.delay:
                        for source, weight in synapses[number][n]:
                            got = sent[step - c.delay][c.source][source]
                            a += weight * got
                            if got:
                                found.reached.add((p.name, n))
                                found.fed.add((number, n, source))
                u, v, s, paths = _neuron(p, n, *state[p.name][n], a)
                state[p.name][n] = u, v
                now[p.name][n] = s
                for path in paths:
                    found.neurons.add((p.name, path, n))
                    found.times[p.name, path] += 1


def _neuron(p, n, u, v, a):
    paths = []
    u, lost_u = truncated(u, 4096 - p.du)
    v, lost_v = truncated(v, 4096 - p.dv)
    for lost, name in ((lost_u, "u"), (lost_v, "v")):
        paths += [f"{name}+ cut"] if lost > 0 else [f"{name}- cut"] if lost < 0 else []
    u += 64 * a
    v += u + int(p.bias[n])
    threshold = 64 * p.vth
    if v <= threshold:
        return u, v, 0, paths + (["v = vth"] if v == threshold else [])
    sent = v >> p.payload_shift if p.graded else 1
    paths += ["payload"] if p.graded and sent << p.payload_shift != v else []
    return u, 0 if p.reset == "zero" else v - threshold, sent, [*paths, "fired"]
