"""The recorder process: one population's spikes, currents and membranes, written to files step by step.

Lava's own way out, ``Var.get``, moves one number per message, and its Monitor ends with it; this process reads whole
vectors through reference ports after each step, and its result never passes through Lava's runtime.
"""

from lava.magma.core.process.ports.ports import InPort, RefPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var


class Recorder(AbstractProcess):  # type: ignore[misc]
    """Writes a population's states of each step to three ``.npy`` files that exist already.

    Args:
        u, v: the population's state variables, of shape (neurons,).
        stem: the path of the files without ``.spikes.npy`` (uint8), ``.u.npy`` and ``.v.npy`` (int32), each of shape
            (steps of the run, neurons).
    """

    def __init__(self, *, u: Var, v: Var, stem: str) -> None:
        super().__init__(stem=stem)
        self.s_in = InPort(shape=u.shape)
        self.u = RefPort(shape=u.shape)
        self.v = RefPort(shape=v.shape)
        self.u.connect_var(u)
        self.v.connect_var(v)
