"""The frameworks that read NIR: what each needs, how it is installed here, and where it runs.

Norse and SpikingJelly ask for torchvision and more, in versions that change torch; their NIR readers need none of it.
So they are installed without their dependencies, and with the few packages that they do import.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from bitspike.errors import MissingDependencyError, UsageError

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Framework:
    """One row of the table.

    Attributes:
        name: of the distribution, as the command line takes it.
        imports: what must be there, by import name.
        alone: what pip is to install without dependencies, pinned to what was tested.
        beside: what pip is to install with its dependencies.
        fixed_dt: the only length of a step in seconds that its reader knows; 0 for any.
    """

    name: str
    imports: tuple[str, ...]
    alone: tuple[str, ...]
    beside: tuple[str, ...] = ()
    fixed_dt: float = 0.0

    @property
    def available(self) -> bool:
        """Whether all that it needs is installed (found, not imported)."""
        return all(find_spec(name) is not None for name in self.imports)

    @property
    def version(self) -> str | None:
        """The installed version; None where there is none."""
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            return None

    @property
    def install(self) -> str:
        """The command that adds it."""
        return f"bitspike doctor --install {self.name}"

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """What the command above has pip do: arguments of ``pip install``, in order."""
        return tuple(args for args in (self.beside, ("--no-deps", *self.alone)) if args)


FRAMEWORKS: dict[str, Framework] = {
    framework.name: framework
    for framework in (
        Framework(
            name="norse", imports=("norse", "nirtorch", "matplotlib"), alone=("nirtorch==2.6", "norse==1.1.0"),
            beside=("matplotlib>=3.8",),
        ),
        Framework(
            name="spikingjelly", imports=("spikingjelly", "nirtorch", "loguru", "tqdm"),
            alone=("nirtorch==2.6", "spikingjelly==2.0.0"), beside=("loguru>=0.7,<1", "tqdm"),
        ),
        Framework(
            name="snntorch", imports=("snntorch", "nirtorch"), alone=("nirtorch==2.6", "snntorch==1.0.0"),
            fixed_dt=1e-4,
        ),
    )
}  # fmt: skip


def select(names: tuple[str, ...] | None = None) -> tuple[Framework, ...]:
    """The frameworks called `names`, all of them by default; UsageError lists those that exist."""
    for name in names or ():
        if name not in FRAMEWORKS:
            raise UsageError(f"framework {name!r}; expected one of {', '.join(FRAMEWORKS)}")
    return tuple(FRAMEWORKS.values() if names is None else (FRAMEWORKS[name] for name in dict.fromkeys(names)))


def install_framework(name: str, run: Run = subprocess.run) -> Iterator[str]:
    """Install what is missing of a framework with pip, torch untouched; yield a sentence for each thing done.

    `run` is called as ``subprocess.run`` is.

    Raises:
        UsageError: for an unknown name.
        MissingDependencyError: where pip fails, with its last line.
    """
    (framework,) = select((name,))
    if framework.available:
        yield f"{name} is installed already."
        return
    for arguments in framework.commands:
        command = [sys.executable, "-m", "pip", "install", "--quiet", *arguments]
        done: Any = run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
            raise MissingDependencyError(f"pip install {' '.join(arguments)}: {said[-1]}")
        yield f"Installed {', '.join(arguments).replace('--no-deps, ', '')}."
