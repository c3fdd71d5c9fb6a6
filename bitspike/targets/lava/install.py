"""The installation of Lava into the running interpreter's environment, and what of it is there.

Lava 0.10 and lava-dl 0.6 are the last releases. They forbid Python 3.11 and pin old versions of what they need, so they
are installed without their dependencies and against their pins; :mod:`bitspike.targets.lava.repair` does the rest.
Both wheels also bring a package called ``tests``, which gets in the way of everybody else's: it is removed.
"""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bitspike.errors import MissingDependencyError
from bitspike.targets.lava.child import environment
from bitspike.targets.lava.repair import INSTALL

#: The releases that the repair, the encoding and the tests hold for.
PINNED = {"lava-nc": "0.10.0", "lava-dl": "0.6.0"}
#: What Lava needs at run time; its metadata ask for more, and for old versions.
NEEDED = ("asteval", "networkx", "scipy", "h5py")
_IMPORTS = (
    "from bitspike.targets.lava.repair import import_lava, import_netx; "
    "import_lava(); import lava.proc.lif.models; print('lava', flush=True); import_netx(); print('netx')"
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def install_lava(run: Run = subprocess.run) -> Iterator[str]:
    """Install what is missing with pip and remove the stray tests; yield a sentence for each thing done.

    A second call finds everything in place and says so. `run` is called as ``subprocess.run`` is.

    Raises:
        MissingDependencyError: where pip fails, with its last line.
    """
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        _pip(run, absent)
        yield f"Installed {', '.join(absent)}."
    wrong = [f"{name}=={version}" for name, version in PINNED.items() if _version(name) != version]
    if wrong:
        _pip(run, ["--no-deps", "--ignore-requires-python", *wrong])
        yield f"Installed {', '.join(wrong)}, without the old versions that they pin."
    removed = remove_stray_tests()
    if removed:
        yield f"Removed the stray package tests that they bring ({removed} files)."
    if not (absent or wrong or removed):
        yield "Lava is installed already."


def lava_status() -> dict[str, Any]:
    """Versions and whether they work.

    Returns:
        ``lava-nc``, ``lava-dl``, ``asteval``: version or None; ``importable``: whether Lava can be imported here, tried
        in a process of its own; ``netx``: likewise lava-dl's reader of network files; ``problem``: the line that says
        why not, or empty; ``install``: the command that adds them.
    """
    status: dict[str, Any] = {name: _version(name) for name in (*PINNED, "asteval")}
    works: list[str] = []
    problem = "not installed"
    if status["lava-nc"] is not None:
        try:
            done = subprocess.run(
                [sys.executable, "-c", _IMPORTS],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
                env=environment(),
            )
            works, problem = done.stdout.split(), _last_line(done.stderr) if done.returncode else ""
        except subprocess.TimeoutExpired:
            problem = "importing it takes longer than 120 s"
    return {
        **status,
        "importable": "lava" in works,
        "netx": "netx" in works,
        "problem": problem,
        "install": INSTALL,
    }


def remove_stray_tests(path: Sequence[str] | None = None) -> int:
    """Remove the top-level package ``tests`` of the two wheels; return the number of files that went.

    Only files that the wheels' own records list go, with their compiled copies, and the folders that this leaves empty.
    A file that another distribution lists as well stays.

    Args:
        path: folders in which to look for distributions; default: where Python looks.
    """
    ours: set[Path] = set()
    others: set[Path] = set()
    for distribution in metadata.distributions() if path is None else metadata.distributions(path=list(path)):
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        for file in distribution.files or ():
            if file.parts[0] == "tests" and ".." not in file.parts:
                (ours if name in PINNED else others).add(Path(str(distribution.locate_file(file))))
    removed = 0
    folders: set[Path] = set()
    for stray in ours - others:
        compiled = (stray.parent / "__pycache__").glob(f"{stray.stem}.*.pyc") if stray.suffix == ".py" else ()
        for unwanted in (stray, *compiled):
            if unwanted.is_file():
                unwanted.unlink()
                removed += unwanted == stray
        folders |= _folders_of(stray)
    for folder in sorted(folders, key=lambda f: len(f.parts), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return removed


def _folders_of(file: Path) -> set[Path]:
    """The folders from the file's own, and its cache of compiled files, up to ``tests``."""
    folders = {file.parent / "__pycache__"}
    for folder in file.parents:
        folders.add(folder)
        if folder.name == "tests":
            break
    return folders


def _pip(run: Run, arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    done = run(command, capture_output=True, text=True, check=False)
    importlib.invalidate_caches()
    if done.returncode != 0:
        names = ", ".join(argument for argument in arguments if not argument.startswith("-"))
        raise MissingDependencyError(f"pip could not install {names}: {_last_line(done.stderr or done.stdout)}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next(
        (line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1] if lines else "it said nothing"
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
