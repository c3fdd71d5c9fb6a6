"""Bytes of files and zip members, of no more than what was declared, and folders with the expected files."""

import gzip
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError

from bitspike.errors import FileError
from bitspike.files import existing_file

EXPANSION = 1032
"""Deflate packs at most so many bytes into one."""
MAX_MEMBER = 1 << 33


def folder(path: str | os.PathLike[str], expected: str) -> Path:
    """Return `path`; raise FileError unless it is a folder, that of `expected`."""
    found = Path(os.path.expanduser(path))
    if not found.is_dir():
        problem = "is not a folder" if found.exists() else "no such folder"
        raise FileError(found, f"{problem}; expected {expected}")
    return found


def one_of(place: Path, names: tuple[str, ...]) -> Path:
    """Return the first of `names` that lies in the folder `place`; raise FileError where none does."""
    for name in names:
        if (place / name).exists():
            return existing_file(place / name)
    raise FileError(place, f"holds none of {', '.join(names)}; expected one of them")


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file."""
    try:
        return existing_file(path).read_bytes()
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror})") from None


def read_gzip_head(path: Path, size: int) -> bytes:
    """Return the first `size` unpacked bytes of a ``.gz`` or plain file; fewer where it ends before."""
    found = existing_file(path)
    try:
        if found.suffix == ".gz":
            with gzip.open(found, "rb") as packed:
                return packed.read(size)
        with found.open("rb") as plain:
            return plain.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(path, f"is not a whole gzip file ({error})") from None


def room(path: Path) -> int:
    """Return how many bytes a ``.gz`` or plain file can unpack to at most."""
    size = path.stat().st_size
    return size * EXPANSION if path.suffix == ".gz" else size


@contextmanager
def opened_zip(path: Path, kind: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip file and turn what goes wrong in it into one FileError line that says it is no file of `kind`."""
    found = existing_file(path)
    try:
        with zipfile.ZipFile(found) as archive:
            yield archive
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, NotImplementedError) as error:
        raise FileError(path, f"is not a readable {kind} file ({_line(error)})") from None
    except (zipfile.BadZipFile, zlib.error, SyntaxError, TokenError, IndexError, TypeError, MemoryError) as error:
        # All but the first two are of numpy, which reads an array's header as if it were Python.
        raise FileError(path, f"is not a readable {kind} file ({_line(error)})") from None


def member_size(path: Path, info: zipfile.ZipInfo) -> int:
    """Return the unpacked size of a zip member; raise FileError where it claims more than its packed bytes can hold."""
    packed = min(info.compress_size, path.stat().st_size)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FileError(
            path, f"{shown([info.filename])}: is packed by method {info.compress_type}; expected stored or deflate"
        )
    limit = packed if info.compress_type == zipfile.ZIP_STORED else packed * EXPANSION
    if info.file_size > min(limit, MAX_MEMBER):
        raise FileError(
            path, f"{shown([info.filename])}: claims {info.file_size} bytes; expected at most {min(limit, MAX_MEMBER)}"
        )
    return info.file_size


def repeated(names: Sequence[str]) -> str:
    """Return the first name that comes twice; nothing where each comes once."""
    counts = Counter(names)
    return next((name for name in names if counts[name] > 1), "")


def shown(names: Iterable[str]) -> str:
    """Return the names in a file for a message: a dozen of them, in one line whatever they hold."""
    found = [name if name.isprintable() else ascii(name) for name in names]
    return ", ".join(found[:12] + (["..."] if len(found) > 12 else [])) or "nothing"


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
