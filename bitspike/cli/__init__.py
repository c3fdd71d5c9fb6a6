"""The command line: a thin face over the functions of :mod:`bitspike.api`."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 for success, 1 where a check failed, 2 for a user's mistake.

    A user's mistake is told in one line on standard error, without a traceback.
    """
    import typer

    from bitspike.cli.commands import app
    from bitspike.errors import BitspikeError

    command = typer.main.get_command(app)
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        code = command.main(args=given, prog_name="bitspike", standalone_mode=False)
    except BitspikeError as error:
        return _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        return _fail(f"{error.format_message()} (see bitspike --help)", 2)
    except typer.Abort:
        return _fail("stopped", 130)
    except BrokenPipeError:
        sys.stdout = None
        return 1
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    sys.stderr.write(f"bitspike: {line}\n")
    return code
