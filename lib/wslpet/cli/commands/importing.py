"""`wslpet import`: convert a published data set or collected annotations to a cohort table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from wslpet.core.errors import InputError
from wslpet.core.settings import renamed_types


def add_to(commands: Any) -> None:
    """Add the subcommand's parser."""
    command = commands.add_parser("import", help="make a cohort's table of a data set or of collected clicks")
    command.add_argument("kind", help="autopet, hecktor, datastore (a server's studies folder) or dicom")
    command.add_argument("folder", type=Path, help="as it is published, or as the server keeps it")
    command.add_argument("--out", type=Path, required=True, metavar="TABLE.csv")
    command.add_argument("--type", dest="cancer_type", help="cancer type of all, where the data do not say")
    command.add_argument("--roi", help="name of the lesion's contour, in an RTSTRUCT")
    command.add_argument(
        "--rename", default="", metavar="OLD:NEW", help="cancer types renamed since they were clicked, as --conf rename"
    )
    command.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Write the usable rows; returns 2 if others were left out, after a message for each."""
    from wslpet.data.cohort_table import write_table
    from wslpet.data.importers import IMPORTERS, Options

    if args.kind not in IMPORTERS:
        raise InputError(f"{args.kind!r} is not one of {', '.join(IMPORTERS)}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    renamed = renamed_types(args.rename)
    options = Options(args.cancer_type, masks=args.out.parent / "masks", roi=args.roi, renamed=renamed)
    found = IMPORTERS[args.kind](args.folder, options)
    for problem in found.problems:
        print(problem, file=sys.stderr)
    if not found.rows:
        raise InputError(f"{args.folder}: nothing that can be used")
    write_table(found.rows, args.out)
    print(f"{args.out}: {len(found.rows)} patients, {len(found.problems)} left out")
    return 2 if found.problems else 0
