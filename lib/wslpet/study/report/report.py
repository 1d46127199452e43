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
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from string import Template

from wslpet.study.report.figures import draw_all
from wslpet.study.results.results import REFERENCE, Results
from wslpet.study.results.tables import all_tables
from wslpet.study.results.text_table import Table

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
    _write_patients(results, folder / "patients.csv")
    note = f'Everything that is called "here" or "ours" was measured on {data}.'
    pages = Pages(TITLE, note, SECTIONS, all_tables(results, data), drawn)
    return pages.write(folder, made_by(json.dumps(results.study.plan.to_dict()), command))


@dataclass(frozen=True)
class Pages:
    """What a report says, as one HTML page and as tables in Markdown and LaTeX.

    Parameters
    ----------
    note : what the data is; on top.
    sections : heading → ends of the names of the tables and figures below it.
    drawn : file name → caption of the figures in `figures/`.
    marked : first cell of the rows that stand out.
    """

    title: str
    note: str
    sections: Sequence[tuple[str, tuple[str, ...]]]
    tables: Sequence[Table]
    drawn: Mapping[str, str]
    marked: str = REFERENCE

    def write(self, folder: Path, facts: Mapping[str, str]) -> Path:
        """Write tables.md, tables.tex and report.html, which is returned; facts : how it was made."""
        listed = [f"- {key}: `{value}`" for key, value in facts.items()]
        text = [f"# {self.title}", "", self.note, "", *(table.markdown() for table in self.tables)]
        pictures = [f"![{text}](figures/{name})\n\n*{text}*\n" for name, text in self.drawn.items()]
        _write(folder / "tables.md", "\n".join([*text, *pictures, "## How it was made", "", *listed, ""]))
        latex = "\n".join(table.latex() for table in self.tables)
        _write(folder / "tables.tex", "% needs \\usepackage{booktabs}\n" + latex)
        _write(folder / "report.html", self._html(folder / "figures", facts))
        return folder / "report.html"

    def _html(self, figures: Path, facts: Mapping[str, str]) -> str:
        parts = []
        for heading, wanted in self.sections:
            shown = []
            for end in wanted:
                shown += [_table(table, self.marked) for table in self.tables if table.name.endswith(end)]
                shown += [_figure(figures / name, text) for name, text in self.drawn.items() if name == end]
            if shown:
                parts += [f"<h2>{html.escape(heading)}</h2>", *shown]
        known = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items())
        page = Template(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
        note = html.escape(self.note)
        return page.substitute(title=html.escape(self.title), data=note, body="\n".join(parts), facts=known)


def made_by(plan: str, command: Sequence[str]) -> dict[str, str]:
    """Provenance: command, plan, versions and hardware."""
    return {
        "command": shlex.join(command),
        "plan": plan,
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


def _table(table: Table, marked: str) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    rows = "".join(_row(row, marked) for row in table.rows)
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in table.notes)
    kind = ' class="words"' if table.name == "systems" else ""
    caption = f"<caption>{html.escape(table.title)}</caption>"
    return f'<div class="wide"><table{kind}>{caption}<tr>{head}</tr>{rows}</table></div>{notes}'


def _row(cells: Sequence[str], marked: str) -> str:
    mark = ' class="ours"' if cells[0] == marked else ""
    return f"<tr{mark}>" + "".join(f"<td>{html.escape(cell.replace('**', ''))}</td>" for cell in cells) + "</tr>"


def _figure(path: Path, text: str) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    alt = html.escape(text)
    return f'<figure><img alt="{alt}" src="data:image/png;base64,{content}"><figcaption>{alt}</figcaption></figure>'
