"""The process of neurons that reset by subtraction, or send graded spikes, or both."""

from typing import Any

from lava.proc.lif.process import LIFReset


class SubtractingLIF(LIFReset):  # type: ignore[misc]
    """Lava's ``LIFReset`` with two things that it lacks. It has a fixed-point model for the CPU, and none for a chip.

    Args:
        subtract: whether a spike takes the threshold off the membrane instead of clearing it.
        payload_shift: low bits of the membrane, before its reset, that a spike's payload leaves out; None for spikes
            of 1.
        registers: as ``LIFReset`` takes them.
    """

    def __init__(self, *, subtract: bool, payload_shift: int | None, **registers: Any) -> None:
        super().__init__(**registers)
        self.proc_params["subtract"] = subtract
        self.proc_params["payload_shift"] = payload_shift
