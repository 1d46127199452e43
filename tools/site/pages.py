"""MkDocs hooks: pages that live elsewhere in the repository, and the command line's help as a page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# Their links are relative to the repository, as its host shows them; on the site, docs/ is the root.
ELSEWHERE = ("SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md", "model/README.md", "benchmarks/results/*.*")
COMMANDS_MARK = "<!-- commands -->"
_HELP = """
import argparse, json
from wslpet.cli.main import _parser
actions = (action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
print(json.dumps({name: command.format_help() for name, command in next(actions).choices.items()}))
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of `ELSEWHERE` and the pictures beside them, under the places that they have in the repository."""
    for pattern in ELSEWHERE:
        for path in sorted(ROOT.glob(pattern)):
            if path.suffix in (".md", ".png"):
                files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mend links between docs/ and the rest of the repository; write the commands' help where the mark is."""
    if page.file.generated_by is not None:
        markdown = markdown.replace("](docs/", "](").replace("](../docs/", "](../")
    else:
        depth = page.file.src_uri.count("/")
        markdown = markdown.replace("](" + "../" * (depth + 1), "](" + "../" * depth)
    if COMMANDS_MARK in markdown:
        markdown = markdown.replace(COMMANDS_MARK, _commands())
    return markdown


def _commands() -> str:
    """The help of every command, from the environment that the package is installed in."""
    python = os.environ.get("WSLPET_PYTHON", sys.executable)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "lib"), "COLUMNS": "100"}
    printed = subprocess.run([python, "-c", _HELP], env=environment, capture_output=True, text=True, check=True).stdout
    return "\n".join(f"## {name}\n\n```text\n{text}```\n" for name, text in json.loads(printed).items())
