"""A committee on disk: a folder with a file for each member, all of one format."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bitspike.convert.collapse import Committee
from bitspike.convert.formats import FORMATS, load
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import FileError, UsageError

MAX_MEMBERS = 4096
Write = Callable[[IntegerNetwork, Path], object]


def load_members(folder: str | os.PathLike[str]) -> dict[str, IntegerNetwork]:
    """The members in `folder` by the name of their file without its ending, in the order of their numbers.

    Raises:
        UsageError: where there is no network file, files of several formats, or members that do not answer together.
        FileError: in one line, for a damaged file.
    """
    where = Path(folder)
    endings = {ending: form.name for form in FORMATS.values() for ending in form.endings}
    files = [file for file in where.iterdir() if file.suffix.lower() in endings and not file.name.startswith(".")]
    formats = sorted({endings[file.suffix.lower()] for file in files})
    if not files:
        known = ", ".join(endings)
        raise UsageError(f"{where}: no network files; expected those of a committee's members ({known})")
    if len(formats) > 1 or len(files) > MAX_MEMBERS:
        raise UsageError(f"{where}: {len(files)} files of {', '.join(formats)}; expected members of one format")
    members = {file.stem: load(file) for file in sorted(files, key=_by_number)}
    _same_questions(where, members)
    return members


def load_networks(path: str | os.PathLike[str]) -> tuple[IntegerNetwork, ...]:
    """The network in a file, alone, or the members in a folder."""
    return tuple(load_members(path).values()) if Path(path).is_dir() else (load(path),)


def write_members(
    members: dict[str, IntegerNetwork], folder: str | os.PathLike[str], ending: str, write: Write
) -> list[Path]:
    """Write each member as ``NAME + ending`` into a new `folder`, which appears only when all of them are there.

    Args:
        members: by name.
        folder: must not exist.
        ending: of the files, as ``.nir``.
        write: writes a network to a path.
    """
    target = Path(folder)
    if target.exists():
        raise UsageError(f"{target} exists; expected a new folder for a committee")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise FileError(target, f"cannot be written ({error.strerror})") from None
    try:
        for name, member in members.items():
            write(member, temporary / f"{name}{ending}")
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o777 & ~mask)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [target / f"{name}{ending}" for name in members]


def named(committee: Committee) -> dict[str, IntegerNetwork]:
    """The members as ``bitspike collapse --members`` names their files."""
    return {f"member-{index}": member for index, member in enumerate(committee)}


def _same_questions(where: Path, members: dict[str, IntegerNetwork]) -> None:
    """UsageError unless all members take the same input and give as many scores."""
    first_name, first = next(iter(members.items()))
    for name, member in members.items():
        if _question(member) != _question(first):
            raise UsageError(f"{where}: {name} and {first_name} have other inputs, windows or read-outs; no committee")


def _question(network: IntegerNetwork) -> tuple[object, ...]:
    sizes = {p.name: p.size for p in network.populations}
    answers = [(readout.answer, readout.kind, sizes[readout.population]) for readout in network.readouts]
    return network.steps, tuple(entry.shape for entry in network.inputs), tuple(answers)


def _by_number(file: Path) -> tuple[str, int, str]:
    """``member-10`` after ``member-9``."""
    head = file.stem.rstrip("0123456789")
    digits = file.stem[len(head) :]
    return head, int(digits[:9] or 0), file.name
