"""The same integers in torch, all samples of a batch at once: for a CUDA device, used when it is asked for.

Why it is exact: states are int64, and everything on them is shifts, sums and products of 24 by 13 bits. Synaptic input
is a product of float64 matrices that hold integers. Each partial sum, in whatever order a device adds, is an integer of
at most fan-in times weight times payload, for which :func:`_exact` asks for less than 2^53: float64 holds it exactly.
Convolutions are one matrix product for each place of the window, because a library's convolution may be Winograd's,
whose fractions are not exact, and float32 may be cut to TF32 on its way into the multipliers.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Dense, Identity, Windowed
from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, IntegerNetwork, Population
from bitspike.errors import UnsupportedError, UsageError
from bitspike.sim.record import Raw, Record, aligned, padded

#: Recorded values of a tile: spikes, currents and membranes of all its samples, 4 bytes each.
TILE = 1 << 27
_FLOAT64 = 1 << 53
#: Takes spikes, float64, (samples, sources), gives summed input, float64, (samples, targets).
Deliver = Callable[[Any], Any]
#: Of each population the source, the delay and the delivery of its connections.
Incoming = dict[str, list[tuple[str, int, Deliver]]]


def run(network: IntegerNetwork, spikes: npt.NDArray[np.uint8], *, device: str = "cuda") -> Record:
    """Run a network whose range proof holds on `spikes`, 0 or 1, shape (samples, steps, neurons), on a torch device.

    Raises:
        UsageError: where the device is not there.
        UnsupportedError: for sums that float64 might not hold, or an unknown kind of connection.
    """
    torch = import_module("torch")
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"engine gpu: device {device!r}, but torch finds no CUDA device; expected one, or engine fast")
    incoming: Incoming = {
        p.name: [(c.source, c.delay, _prepare(torch, network, c, device)) for c in network.incoming(p.name)]
        for p in network.populations
    }
    inputs = padded(network, spikes)
    size = max(1, TILE // (3 * inputs.shape[1] * sum(p.size for p in network.populations)))
    with torch.no_grad():
        parts = [
            _run_tile(torch, network, inputs[first : first + size], incoming, device)
            for first in range(0, len(inputs), size)
        ]
    raw = {name: _joined([part[name] for part in parts]) for name in parts[0]}
    return aligned("gpu", network, spikes, raw)


def _joined(parts: list[Raw]) -> Raw:
    one, two, three = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return one, two, three


def _run_tile(
    torch: Any, network: IntegerNetwork, inputs: npt.NDArray[np.uint8], incoming: Incoming, device: str
) -> dict[str, Raw]:
    samples, total, _ = inputs.shape
    fired = {
        name: torch.from_numpy(np.ascontiguousarray(part)).to(device)
        for name, part in network.input_spikes(inputs).items()
    }
    kept: dict[str, tuple[Any, Any]] = {}
    states: dict[str, tuple[Any, Any]] = {}
    biases = {p.name: torch.from_numpy(np.array(p.bias)).to(device) for p in network.populations}
    for p in network.populations:
        shape = samples, total, p.size
        fired[p.name] = torch.zeros(shape, dtype=torch.int32, device=device)
        kept[p.name] = torch.empty_like(fired[p.name]), torch.empty_like(fired[p.name])
        states[p.name] = (torch.zeros((samples, p.size), dtype=torch.int64, device=device),) * 2
    for t in range(total):
        for p in network.populations:
            a = torch.zeros((samples, p.size), dtype=torch.float64, device=device)
            for source, delay, deliver in incoming[p.name]:
                if t >= delay:
                    a = a + deliver(fired[source][:, t - delay].double())
            u, v = states[p.name]
            if t == p.start:
                u, v = torch.zeros_like(u), torch.zeros_like(v)
            u, v, sent = _step(torch, p, u, v, a.long(), biases[p.name])
            states[p.name] = u, v
            fired[p.name][:, t], kept[p.name][0][:, t], kept[p.name][1][:, t] = sent, u, v
    return {name: (fired[name].cpu().numpy(), u.cpu().numpy(), v.cpu().numpy()) for name, (u, v) in kept.items()}


def _step(torch: Any, p: Population, u: Any, v: Any, a: Any, bias: Any) -> tuple[Any, Any, Any]:  # noqa: PLR0917
    """Return u, v and spikes of one step, as :func:`bitspike.sim.reference.step` defines them."""
    threshold = p.vth << STATE_SHIFT
    u = _truncated(torch, u * (DECAY_ONE - p.du)) + (a << STATE_SHIFT)
    v = _truncated(torch, v * (DECAY_ONE - p.dv)) + u + bias
    s = v > threshold
    sent = torch.where(s, v >> p.payload_shift, 0) if p.graded else s.long()
    return u, torch.where(s, 0 if p.reset == "zero" else v - threshold, v), sent


def _truncated(torch: Any, x: Any) -> Any:
    return torch.sign(x) * (torch.abs(x) >> 12)


def _prepare(torch: Any, network: IntegerNetwork, connection: Connection, device: str) -> Deliver:
    _exact(network, connection)

    def there(weights: npt.NDArray[np.int64]) -> Any:
        return torch.from_numpy(np.array(weights, np.float64)).to(device)

    if isinstance(connection, Dense):
        matrix = there(connection.effective().T)
        return lambda spikes: spikes @ matrix
    if isinstance(connection, Identity):
        weight = connection.weight << connection.exponent
        return lambda spikes: spikes * weight
    if isinstance(connection, Windowed):
        taps = [(there(connection.tap(y, x)), to, of) for (y, x), to, of in connection.places()]
        return lambda spikes: _windowed(torch, connection, taps, spikes)
    raise UnsupportedError(f"connection {connection.name}: kind {connection.kind}; the gpu engine has no such kind")


def _windowed(torch: Any, connection: Windowed, taps: list[Any], spikes: Any) -> Any:
    given = spikes.reshape(-1, *connection.source_shape)
    total = torch.zeros((len(given), *connection.target_shape), dtype=torch.float64, device=spikes.device)
    for weights, (rows, columns), (from_rows, from_columns) in taps:
        taken = given[:, :, from_rows, from_columns]
        if not taken.numel():
            continue
        added = weights @ taken.reshape(*taken.shape[:2], -1)
        total[:, :, rows, columns] += added.reshape(len(given), -1, *taken.shape[2:])
    return total.reshape(len(given), -1)


def _exact(network: IntegerNetwork, connection: Connection) -> None:
    """Refuse sums of magnitudes that float64 might not hold."""
    source = next((p for p in network.populations if p.name == connection.source), None)
    payload = source.payload_max if source is not None and source.graded else 1
    low, high = connection.bounds()
    most = int(np.max(high - low, initial=0)) * payload
    if most >= _FLOAT64:
        raise UnsupportedError(f"connection {connection.name}: sums up to {most}; the gpu engine holds {_FLOAT64}")
