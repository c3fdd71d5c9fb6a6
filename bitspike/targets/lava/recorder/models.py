"""What the recorder process does in each step."""

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyRefPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from bitspike.targets.lava.recorder.process import Recorder


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRecorder(PyLoihiProcessModel):  # type: ignore[misc]
    """Takes the spikes in the spiking phase, and reads `u` and `v` in the management phase that follows it."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    u: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, np.int32)
    v: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: dict[str, object]) -> None:
        super().__init__(proc_params)
        stem = proc_params["stem"]
        self.files = {name: np.load(f"{stem}.{name}.npy", mmap_mode="r+") for name in ("spikes", "u", "v")}

    def run_spk(self) -> None:
        """Write the spikes of this step; Lava counts steps from 1."""
        self.files["spikes"][self.time_step - 1] = self.s_in.recv()

    def post_guard(self) -> bool:
        """Ask for a management phase after every step."""
        return True

    def run_post_mgmt(self) -> None:
        """Write the states that this step left behind."""
        self.files["u"][self.time_step - 1] = self.u.read()
        self.files["v"][self.time_step - 1] = self.v.read()
