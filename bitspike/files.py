"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitspike.errors import FileError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an error.

    The folder of `path` is created. An error inside the block leaves nothing behind, and an old file as it was.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
    except OSError as error:
        raise FileError(target, f"cannot be written ({error.strerror})") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; give the result the mode that a plain open() would have given it.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(target)
    except OSError as error:
        raise FileError(target, f"cannot be written ({error.strerror or error})") from None
    finally:
        temporary.unlink(missing_ok=True)


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` as a Path; raise FileError unless it names a readable file."""
    found = Path(path)
    if not found.exists():
        raise FileError(found, "no such file")
    if not found.is_file():
        raise FileError(found, "is not a file")
    if not os.access(found, os.R_OK):
        raise FileError(found, "cannot be read (permission denied)")
    return found
