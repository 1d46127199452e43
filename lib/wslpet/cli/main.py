"""The command `wslpet`; `wslpet --help` lists its subcommands."""

# Subcommands import their modules when they run, so that `--help` answers at once.
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from wslpet import __version__
from wslpet.cli.commands import burden, export, importing, model, phantom, radiomics, segment, study, train
from wslpet.cli.demo import command as demo
from wslpet.cli.serving import serve, setup
from wslpet.core.errors import InputError
from wslpet.core.parallel import wait_asleep


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand. Returns the exit code: 0, or 2 for unusable input, which is named in one line on stderr."""
    wait_asleep()
    parser = _parser()
    args, others = parser.parse_known_args(arguments)
    if others and not getattr(args, "passes_on", False):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    args.others = others
    try:
        return args.command(args) or 0
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        print(f"{error.filename or 'file'}: {error.strerror}; give another place or make room", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("wslpet", description="Tumours in FDG PET from one click.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (demo, serve, setup, segment, train, radiomics, burden, importing, study, phantom, model, export):
        command.add_to(commands)
    return parser
