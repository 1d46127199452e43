"""`wslpet phantom`: generate a cohort of phantom patients with ground truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from wslpet.core.errors import InputError


def add_to(commands: Any) -> None:
    """Add the subcommand's parser."""
    phantom = commands.add_parser("phantom", help="write a cohort of phantom patients")
    phantom.add_argument("folder", type=Path, help="for the scans; truths and cohort.csv go to FOLDER-truth")
    phantom.add_argument("--patients", type=int, default=12, metavar="N")
    phantom.add_argument("--preset", default="plain", help="plain, hard, fed, train or train-mimics (default: plain)")
    phantom.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, another cohort")
    phantom.add_argument("--orientation", default="mixed", help='axis code such as LPS, or "mixed" (default)')
    phantom.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default: 2)")
    phantom.add_argument("--dicom", action="store_true", help="a folder with a DICOM PET series for each patient")
    phantom.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    """Write scans, masks and the table."""
    from tqdm import tqdm

    from wslpet.data.phantom import PRESETS, write_cohort

    if args.patients < 1:
        raise InputError(f"--patients {args.patients} is not a number of patients; give 1 or more")
    settings = PRESETS[args.preset]
    with tqdm(total=args.patients, unit="patient", desc="phantom") as bar:
        write_cohort(
            args.folder,
            args.patients,
            args.seed,
            settings,
            orientation=args.orientation,
            workers=args.workers,
            progress=lambda done, total: bar.update(),
            dicom=args.dicom,
        )
    truths = args.folder.with_name(args.folder.name + "-truth")
    print(f"{args.patients} {args.preset} patients in {args.folder}, masks and cohort.csv in {truths}")
