"""What neurons that reset by subtraction, or send graded spikes, do in each step."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import AbstractPyLifModelFixed

from bitspike.targets.lava.neurons.process import SubtractingLIF


@implements(proc=SubtractingLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySubtractingLIF(AbstractPyLifModelFixed):  # type: ignore[misc]
    """Lava's own current and membrane, and its staggered reset; then the payload, and the reset after a spike."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    vth: int = LavaPyType(int, np.int32, precision=17)

    def __init__(self, proc_params: dict[str, Any]) -> None:
        super().__init__(proc_params)
        self.subtract: bool = proc_params["subtract"]
        self.payload_shift: int | None = proc_params["payload_shift"]
        self.reset_interval: int = proc_params["reset_interval"]
        self.reset_offset: int = proc_params["reset_offset"] % self.reset_interval

    def run_spk(self) -> None:
        """One step."""
        arriving = self.a_in.recv()
        if self.time_step % self.reset_interval == self.reset_offset:
            self.u[:], self.v[:] = 0, 0
        self.scale_bias()
        self.subthr_dynamics(activation_in=arriving)
        threshold = self.vth << self.vth_shift
        fired = self.v > threshold
        sent = fired if self.payload_shift is None else np.where(fired, self.v >> self.payload_shift, 0)
        self.v[fired] = self.v[fired] - threshold if self.subtract else 0
        self.s_out.send(sent)
