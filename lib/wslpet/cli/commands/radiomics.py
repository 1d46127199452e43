"""`wslpet radiomics`: write the features of the lesions of a cohort, or of scans and masks, as CSV."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wslpet.core import parallel
from wslpet.core.atomic_io import replacing
from wslpet.core.errors import InputError
from wslpet.io.tables import guarded

# Ending of the masks that `wslpet segment` writes.
MASK_END = "-mask.nii.gz"


def add_to(commands: Any) -> None:
    """Add the subcommand's parser."""
    radiomics = commands.add_parser("radiomics", help="measure the lesions of masks: features with IBSI ids, as a CSV")
    radiomics.add_argument("scans", type=Path, help="folder of scans, one scan, or a cohort with masks")
    radiomics.add_argument(
        "--masks", type=Path, metavar="DIR", help=f"of NAME{MASK_END}, as segment writes them; one file for one scan"
    )
    radiomics.add_argument("--out", type=Path, default=Path("radiomics.csv"), metavar="FILE.csv")
    parallel.add_options(radiomics)
    radiomics.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Compute the features; returns 2 if a scan failed, after a message for each."""
    from tqdm import tqdm

    from wslpet.analysis.radiomics import catalogue

    lesions = list(with_masks(args.scans, args.masks))
    files = [(scan.absolute(), mask.absolute()) for _, scan, mask in lesions]
    answers, failures = parallel.over(_measured, files, args.workers, args.scheduler), 0
    with replacing(args.out) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("name", *catalogue()), lineterminator="\n")
        writer.writeheader()
        answered = zip(lesions, answers, strict=True)
        for (name, _, _), features in tqdm(answered, total=len(lesions), unit="lesion", desc="radiomics"):
            if isinstance(features, InputError):
                tqdm.write(f"{name}: {features}", file=sys.stderr)
                failures += 1
            else:
                writer.writerow({"name": guarded(name), **features})
    print(f"{args.out}: {len(lesions) - failures} lesions, {len(catalogue())} features (docs/reference/radiomics.md)")
    return 2 if failures else 0


def _measured(files: tuple[Path, Path]) -> dict[str, float]:
    from wslpet.analysis.radiomics import radiomics
    from wslpet.core.volume import resample_labels
    from wslpet.io.masks import read_mask
    from wslpet.io.readers import read_volume

    scan, mask = files
    volume = read_volume(scan)
    return radiomics(volume, resample_labels(read_mask(mask, volume), volume).array > 0, strict=False)


def with_masks(scans: Path, masks: Path | None) -> Iterator[tuple[str, Path, Path]]:
    """Iterate over (name, scan, mask) of the scans with a mask.

    Raises
    ------
    InputError
        when there is none, or rows of a table cannot be used.
    """
    found = list(_of_folder(scans, masks) if masks is not None else _of_table(scans))
    if not found:
        raise InputError(f"{scans}: no scan has a mask; name the folder of NAME{MASK_END} with --masks")
    yield from found


def _of_table(cohort: Path) -> Iterator[tuple[str, Path, Path]]:
    from wslpet.data.cohort_table import find_table, read_table, types_in

    table = find_table(cohort)
    rows, problems = read_table(table, types_in(table))
    if problems:
        raise InputError("\n  ".join([f"{table}: {len(problems)} rows cannot be used; correct them", *problems]))
    for row in rows:
        if row.mask is not None:
            yield row.name, row.scan, row.mask


def _of_folder(scans: Path, masks: Path) -> Iterator[tuple[str, Path, Path]]:
    from wslpet.io.readers import ending

    if scans.is_file() and masks.is_file():
        yield scans.name, scans, masks
        return
    if not scans.is_dir():
        raise InputError(f"{scans} is not a folder of scans; name one")
    for scan in sorted(scans.iterdir()):
        end = ending(scan.name)
        if end and not scan.name.endswith(MASK_END):
            mask = masks / f"{scan.name.removesuffix(end)}{MASK_END}"
            if mask.exists():
                yield scan.name.removesuffix(end), scan, mask
