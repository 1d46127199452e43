"""The report of a study: one HTML page, tables in Markdown and LaTeX, a CSV of all patients."""

from __future__ import annotations

import base64
import csv
import html
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from string import Template

from wslpet.study.report.figures import draw_all
from wslpet.study.results.results import REFERENCE, Results
from wslpet.study.results.tables import Table, all_tables

TITLE = "WSL-PET: the study"
PACKAGES = ("torch", "monai", "numpy", "scipy", "scikit-learn", "pyradiomics", "SimpleITK")
# Heading → the tables and figures below it.
SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("The paper's tables", ("-paper",)),
    ("Detection and delineation", ("delineation", "dice.png", "gallery.png")),
    ("How many annotated patients", ("curve.png",)),
    ("Outcome", ("-outcome", "roc.png", "leakage")),
    ("Stability of features", ("stability",)),
    ("The systems", ("systems",)),
)


def write_report(results: Results, data: str, command: Sequence[str]) -> Path:
    """Write report.html, tables.md, tables.tex, patients.csv and figures/ into the study's folder.

    Parameters
    ----------
    data : description of the cohort, such as "60 phantom patients".
    command : that made the study.
    """
    folder = results.study.folder
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    drawn = draw_all(results, figures, data)
    tables, facts = all_tables(results, data), made_by(results, command)
    listed = [f"- {key}: `{value}`" for key, value in facts.items()]
    text = [f"# {TITLE}", "", f"Measured on {data}.", "", *(table.markdown() for table in tables)]
    pictures = [f"![{text}](figures/{name})\n\n*{text}*\n" for name, text in drawn.items()]
    _write(folder / "tables.md", "\n".join([*text, *pictures, "## How it was made", "", *listed, ""]))
    _write(folder / "tables.tex", "% needs \\usepackage{booktabs}\n" + "\n".join(table.latex() for table in tables))
    _write_patients(results, folder / "patients.csv")
    page = folder / "report.html"
    _write(page, _page(tables, drawn, figures, facts, data))
    return page


def made_by(results: Results, command: Sequence[str]) -> dict[str, str]:
    """Provenance: command, plan, versions and hardware."""
    return {
        "command": shlex.join(command),
        "plan": json.dumps(results.study.plan.to_dict()),
        "versions": ", ".join([f"Python {platform.python_version()}", *(f"{p} {version(p)}" for p in PACKAGES)]),
        "hardware": f"{_processor()}, {os.cpu_count()} cores, {_device()}",
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "processor not known"


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _write_patients(results: Results, path: Path) -> None:
    rows = [{"system": name, **asdict(m)} for name, one in results.systems.items() for m in one.measured]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["system"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _page(tables: Sequence[Table], drawn: Mapping[str, str], folder: Path, facts: Mapping[str, str], data: str) -> str:
    parts = []
    for heading, wanted in SECTIONS:
        shown = []
        for end in wanted:
            shown += [_table(table) for table in tables if table.name.endswith(end)]
            shown += [_figure(folder / name, text) for name, text in drawn.items() if name == end]
        if shown:
            parts += [f"<h2>{html.escape(heading)}</h2>", *shown]
    known = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items())
    page = Template(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
    note = f'Everything that is called "here" or "ours" was measured on {html.escape(data)}.'
    return page.substitute(title=html.escape(TITLE), data=note, body="\n".join(parts), facts=known)


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    rows = "".join(_row(row) for row in table.rows)
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in table.notes)
    kind = ' class="words"' if table.name == "systems" else ""
    caption = f"<caption>{html.escape(table.title)}</caption>"
    return f'<div class="wide"><table{kind}>{caption}<tr>{head}</tr>{rows}</table></div>{notes}'


def _row(cells: Sequence[str]) -> str:
    mark = ' class="ours"' if cells[0] == REFERENCE else ""
    return f"<tr{mark}>" + "".join(f"<td>{html.escape(cell.replace('**', ''))}</td>" for cell in cells) + "</tr>"


def _figure(path: Path, text: str) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    alt = html.escape(text)
    return f'<figure><img alt="{alt}" src="data:image/png;base64,{content}"><figcaption>{alt}</figcaption></figure>'
