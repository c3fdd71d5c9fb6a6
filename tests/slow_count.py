"""The independent count: plain loops over spikes, synapses and updates, which share nothing with the fast one."""

from collections import Counter


def weight_bits(connection):
    """Bits of a connection's weights, from the numbers themselves."""
    if connection.kind == "pool":
        return 1
    if connection.kind == "identity":
        values = {connection.weight}
    else:
        values = {int(w) for row in connection.weights.matrix() for w in row}
        if values <= {-1, 1} and connection.weights.__class__.__name__ == "BinaryWeights":
            return 1
    widest = max(1, *(len(bin(abs(value))) - 2 if value else 0 for value in values))
    return widest + (min(values) < 0 < max(values))


def synapses_of(connection):
    """For each source the weights of its synapses, target by target."""
    found = {source: [] for source in range(connection.shape[1])}
    for target in range(connection.shape[0]):
        for source, weight in zip(*connection.inputs_of(target), strict=True):
            found[int(source)].append(int(weight))
    return found


def slow_count(network, record):
    """One Counter a sample, by (part, name, quantity)."""
    fired = dict(network.input_spikes(record.inputs)) | {name: t.spikes for name, t in record.traces.items()}
    synapses = [synapses_of(c) for c in network.connections]
    bits = [weight_bits(c) for c in network.connections]
    return [
        _sample(network, record, sample, fired=fired, synapses=synapses, bits=bits) for sample in range(record.samples)
    ]


def _sample(network, record, sample, *, fired, synapses, bits):
    found = Counter()
    for step in range(record.steps):
        for number, c in enumerate(network.connections):
            for source in range(c.shape[1]):
                if fired[c.source][sample, step, source] == 0:
                    continue
                found[c.target, "spikes_in"] += 1
                found[number, "spikes"] += 1
                for weight in synapses[number][source]:
                    for part in (number, c.target):
                        found[part, "synaptic_operations"] += 1
                        found[part, "effective_operations"] += weight != 0
                        found[part, "weight_bits_read"] += bits[number]
                    found[c.target, "state_bits_read"] += 16
                    found[c.target, "state_bits_written"] += 16
        for p in network.populations:
            trace = record.traces[p.name]
            for neuron in range(p.size):
                spiked = trace.spikes[sample, step, neuron] != 0
                holds = trace.u[sample, step, neuron] != 0 or trace.v[sample, step, neuron] != 0
                found[p.name, "updates"] += 1
                found[p.name, "active_updates"] += bool(spiked or holds)
                found[p.name, "inactive_updates"] += not (spiked or holds)
                found[p.name, "spikes"] += bool(spiked)
                found[p.name, "resets"] += bool(spiked)
                moved = 16 + (24 if p.du != 4096 else 0) + (24 if p.dv != 4096 else 0)
                found[p.name, "state_bits_read"] += moved
                found[p.name, "state_bits_written"] += moved
        found["input", "spikes"] += sum(int(s != 0) for s in record.inputs[sample, step])
    return found
