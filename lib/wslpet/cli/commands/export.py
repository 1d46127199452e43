"""`wslpet export`: write the model for other software, as a MONAI Bundle or as ONNX."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from wslpet import __version__
from wslpet.method.shipped import SHIPPED_MODEL


def add_to(commands: Any) -> None:
    """Add the subcommand's parser."""
    export = commands.add_parser("export", help="the model as a MONAI Bundle or as ONNX")
    export.add_argument("what", choices=("bundle", "onnx"))
    export.add_argument(
        "out", type=Path, metavar="OUT", help="new folder of the bundle, or FILE.onnx and FILE-segmenter.onnx"
    )
    export.add_argument("--model", type=Path, default=SHIPPED_MODEL, metavar="MODEL.pt", help="default: the shipped")
    export.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    """Export the model."""
    from wslpet.method.network.checkpoint import load_model
    from wslpet.method.network.export import export_bundle, export_onnx

    model = load_model(args.model)
    if args.what == "bundle":
        export_bundle(model, args.out, __version__, SHIPPED_MODEL.with_name("README.md"))
    else:
        export_onnx(model, args.out)
    print(f"{args.out}: {args.what} of weights {model.version}")
