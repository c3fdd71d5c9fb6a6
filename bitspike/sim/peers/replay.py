"""A recorded run as a torch model: real layers, fed with the recorded spikes, so that others count what we counted."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from bitspike.convert.connections import Connection, Conv2d, Dense
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UnsupportedError
from bitspike.sim.record import Record


class Replay(nn.Module):
    """Layers with the network's weights and a neuron module for each population, driven by a record.

    Every layer is called once a step with the spikes of its source at that step, whatever its delay; every neuron
    module with `gain` where its neuron spiked in the record and 0 elsewhere, which is to make it spike there and then.

    Args:
        network: its connections must be dense ones and convolutions.
        record: a run of it, of binary spikes.
        neuron: makes the neuron module of a population.
        gain: what it is driven with.
    """

    def __init__(
        self, network: IntegerNetwork, record: Record, neuron: Callable[[], nn.Module], *, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.network, self.gain = network, gain
        self.sent = {name: torch.from_numpy(record.spikes_of(network, name) != 0).float() for name in network.shapes()}
        self.layers = nn.ModuleList([_layer(c) for c in network.connections])
        self.neurons = nn.ModuleList([neuron() for _ in network.populations])
        self.eval()

    def only(self, samples: Sequence[int]) -> "Replay":
        """This model, from now on for these samples."""
        self.sent = {name: spikes[list(samples)] for name, spikes in self.sent.items()}
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Replay the record, whose `inputs` are (samples, steps, neurons); return what the last neurons sent."""
        steps = inputs.shape[1]
        out = []
        for step in range(steps):
            for c, layer in zip(self.network.connections, self.layers, strict=True):
                spikes = self.sent[c.source][:, step]
                layer(spikes.reshape(-1, *c.source_shape) if isinstance(c, Conv2d) else spikes)
            for p, neuron in zip(self.network.populations, self.neurons, strict=True):
                last = neuron(self.gain * self.sent[p.name][:, step])
            out.append(last)
        return torch.stack(out, dim=1)


def _layer(connection: Connection) -> nn.Module:
    layer: nn.Linear | nn.Conv2d
    if isinstance(connection, Dense):
        targets, sources = connection.shape
        layer = nn.Linear(sources, targets, bias=False)
        weights = connection.effective()
    elif isinstance(connection, Conv2d):
        layer = nn.Conv2d(
            connection.source_shape[0],
            connection.target_channels,
            connection.kernel,
            stride=connection.stride,
            padding=connection.padding,
            dilation=connection.dilation,
            groups=connection.groups,
            bias=False,
        )
        weights = connection.kernels()
    else:
        raise UnsupportedError(
            f"connection {connection.name}: kind {connection.kind}; other tools count dense and convolutional ones"
        )
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights).float())
    return layer
