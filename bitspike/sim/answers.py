"""Two networks side by side by their answers alone: what a pass has made has other neurons, and the same scores."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.run import simulate


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerComparison:
    """How many scores were compared, and how many differ.

    Attributes:
        samples: that both networks ran.
        compared: scores of all answers, samples and classes.
        differing: of `compared`.
        first: the first sample with a difference; None where there is none.
    """

    samples: int
    compared: int
    differing: int
    first: int | None

    @property
    def passed(self) -> bool:
        """True where not a single score differs."""
        return not self.differing

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"passed": self.passed, **asdict(self)}

    def __str__(self) -> str:
        if self.passed:
            return f"equal: {self.compared:,} scores of {self.samples} samples"
        return f"{self.differing:,} of {self.compared:,} scores differ, first in sample {self.first}"


def compare_answers(
    before: IntegerNetwork, after: IntegerNetwork, data: SpikeData, *, engine_name: str = "reference"
) -> AnswerComparison:
    """Run both networks on `data` and compare every score of every answer.

    Inputs that only `after` has, behind those that both have, are silent.

    Raises:
        UsageError: where the two have other inputs or answers.
    """
    if before.inputs != after.inputs[: len(before.inputs)] or set(before.answers()) != set(after.answers()):
        raise UsageError(f"networks {before.name} and {after.name}: other inputs or answers; expected the same")
    more = after.input_size - before.input_size
    padded = SpikeData(
        name=data.name, spikes=np.pad(data.spikes, ((0, 0), (0, 0), (0, more))), labels=data.labels, seed=data.seed
    )
    left = simulate(before, data, engine_name=engine_name)
    right = simulate(after, padded, engine_name=engine_name)
    different = np.concatenate(
        [left.scores(before, answer) != right.scores(after, answer) for answer in before.answers()], axis=1
    )
    return AnswerComparison(
        samples=len(data),
        compared=different.size,
        differing=int(np.count_nonzero(different)),
        first=int(np.argmax(different.any(axis=1))) if different.any() else None,
    )
