"""`python -m lib import`: a published data set, or collected annotations, as a cohort's table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from lib.errors import InputError


def add_to(commands: Any) -> None:
    """Add the command to a parser's."""
    command = commands.add_parser("import", help="make a cohort's table of a data set or of collected clicks")
    command.add_argument("kind", help="autopet, hecktor, datastore (a server's studies folder) or dicom")
    command.add_argument("folder", type=Path, help="as it is published, or as the server keeps it")
    command.add_argument("--out", type=Path, required=True, metavar="TABLE.csv")
    command.add_argument("--type", dest="cancer_type", help="cancer type of all, where the data do not say")
    command.add_argument("--roi", help="name of the lesion's contour, in an RTSTRUCT")
    command.set_defaults(command=run)


def run(given: argparse.Namespace) -> int:
    """Write the rows that can be used; says what is wrong with the others, and then ends with 2."""
    from lib.cohort import write_table
    from lib.importers import IMPORTERS, Options

    if given.kind not in IMPORTERS:
        raise InputError(f"{given.kind!r} is not one of {', '.join(IMPORTERS)}")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    options = Options(given.cancer_type, masks=given.out.parent / "masks", roi=given.roi)
    found = IMPORTERS[given.kind](given.folder, options)
    for problem in found.problems:
        print(problem, file=sys.stderr)
    if not found.rows:
        raise InputError(f"{given.folder}: nothing that can be used")
    write_table(found.rows, given.out)
    print(f"{given.out}: {len(found.rows)} patients, {len(found.problems)} left out")
    return 2 if found.problems else 0
