"""Errors that a person can act on.

Every error of the library descends from :class:`BitspikeError`, carries one clear line, and leaves the command
line with exit code 2 (:class:`DivergenceError` with 1: a check ran and failed; :class:`StoppedError` with 130).
"""

from collections.abc import Sequence

#: Letters of a message; what a file puts into one can be longer than a screen.
MAX_LETTERS = 2000


class BitspikeError(Exception):
    """Root of all errors that bitspike raises on purpose.

    Its message is one printable line: names and texts in it may come from files that strangers wrote, and a terminal
    obeys some letters (escapes, reversals of direction) instead of showing them.
    """

    exit_code = 2

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str) -> str:
    """`text` with letters that do not print as escapes, and cut where it is very long."""
    shown = text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= MAX_LETTERS else f"{shown[:MAX_LETTERS]}... ({len(shown)} letters)"


class UsageError(BitspikeError):
    """A wrong argument: the message names it, what was found and what was expected."""


class FileError(BitspikeError):
    """A file that is missing, damaged, or not what its name says."""

    def __init__(self, path: object, problem: str) -> None:
        self.path = str(path)
        self.problem = problem
        super().__init__(f"{path}: {problem}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickle what it was made of, so that it can leave a process."""
        return type(self), (self.path, self.problem)


class NetworkError(BitspikeError):
    """An illegal network; all faults are reported at once."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        """Pickle what it was made of, so that it can leave a process."""
        return type(self), (self.faults,)


class RangeError(NetworkError):
    """A network whose state could leave the chip's registers."""


class ChipError(BitspikeError):
    """A chip whose figures are not what they should be; all faults are reported at once."""

    def __init__(self, where: object, faults: Sequence[str]) -> None:
        self.where = str(where)
        self.faults = tuple(faults)
        super().__init__(f"{where}: {'; '.join(self.faults)}")

    def __reduce__(self) -> tuple[type, tuple[str, tuple[str, ...]]]:
        """Pickle what it was made of, so that it can leave a process."""
        return type(self), (self.where, self.faults)


class UnsupportedError(BitspikeError):
    """Something that a format or a target cannot say exactly, named."""


class MissingDependencyError(BitspikeError):
    """An optional part that is not installed; the message gives the command that installs it."""


class EngineError(BitspikeError):
    """An engine that failed to run or ran out of time."""


class StoppedError(BitspikeError):
    """Work that a person stopped; the message says how to go on."""

    exit_code = 130


class DivergenceError(BitspikeError):
    """A check that ran and found a difference."""

    exit_code = 1
