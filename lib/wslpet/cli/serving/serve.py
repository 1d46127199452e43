"""`wslpet serve STUDIES`: run the MONAI Label server with this app.

Port and folders are checked before MONAI Label is loaded. MONAI Label writes into an app's folder, so it gets one in
the state folder: the installation may be read-only. All output of the process goes to the log file. The terminal
shows the addresses to open once the server answers, or one sentence on why it does not start.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import wslpet
from wslpet.cli.serving import lean
from wslpet.cli.serving.port import check_port, reachable
from wslpet.cli.serving.setup import complete
from wslpet.core.errors import InputError
from wslpet.data.state_folder import state_folder

# MONAI Label imports the app from main.py in the app folder.
MAIN = 'from wslpet.server.app import WSLPETApp\n\n__all__ = ["WSLPETApp"]\n'
_PACKAGE = Path(wslpet.__file__).resolve().parent
POLL_SECONDS = 0.1
_REASON = re.compile(r"^(?:[\w.]*(?:Error|Exception)|SystemExit): (.+)", re.MULTILINE)
_LOGGED = re.compile(r"\[ERROR\] \([^)]*\) - (.+)")


def add_to(commands: Any) -> None:
    """Add the subcommand's parser."""
    command = commands.add_parser("serve", help="the MONAI Label server with the annotation page", allow_abbrev=False)
    command.add_argument("studies", help="folder of scans, or DICOMweb address")
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--port", type=int, default=8000)
    command.add_argument(
        "--welcome", choices=("short", "long", "demo"), default="short", help="what the terminal shows"
    )
    command.epilog = "Other options are those of MONAI Label's start_server, such as --conf KEY VALUE."
    command.set_defaults(command=_run, passes_on=True)


def _run(args: argparse.Namespace) -> int:
    return serve(args.studies, args.host, args.port, args.welcome, args.others)


def serve(studies: str, host: str, port: int, greeting: str, others: Sequence[str]) -> int:
    """Run the server until a signal stops it.

    Parameters
    ----------
    greeting : text shown in the terminal: "short", "long" or "demo".
    others : options of MONAI Label's start_server.

    Returns
    -------
    exit code: 2 when the address or a folder cannot be used, 1 when the server failed, else 0.
    """
    try:
        check_port(host, port)
        complete()
        state = prepared(studies, _conf(others))
        app = app_folder(state)
    except InputError as error:
        print(f"The server does not start: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _redirect_caches(state)
    log = log_file(state)
    begun = log.stat().st_size if log.exists() else 0
    terminal = os.fdopen(os.dup(1), "w", encoding="utf-8")
    terminal.write(f"Starting the server; its log is {_relative(log)}\n")
    terminal.flush()
    _redirect_output(log)
    address = _Address(studies, host, port, greeting)
    threading.Thread(target=_greet, args=(address, log, terminal), daemon=True).start()
    if _serve(address, app, log, terminal, others):
        return 0
    terminal.write(f"The server ended: {_reason(log, begun)} (log: {_relative(log)})\n")
    terminal.flush()
    return 1


@dataclass(frozen=True)
class _Address:
    """Address of the server, and what it serves."""

    studies: str
    host: str
    port: int
    greeting: str


def prepared(studies: str, conf: dict[str, str]) -> Path:
    """Check the studies and create the state folder; raises InputError when the server cannot start."""
    from wslpet.server.storage.places import cache_folder, check_state, check_studies, is_remote

    remote = is_remote(studies)
    folder = cache_folder(studies) if remote else Path(studies)
    if not remote:
        check_studies(folder, conf.get("wait_for_scans", "").lower() in ("true", "1", "yes", "on"))
    state = Path(conf["state_dir"]) if conf.get("state_dir") else state_folder(folder)
    check_state(state, None if remote else folder)
    return state


def app_folder(state: Path) -> Path:
    """Create MONAI Label's app folder in the state folder, with the app's main.py."""
    folder = (state / "app").resolve()
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    main = folder / "main.py"
    if main.is_symlink() or not main.exists() or main.read_text(encoding="utf-8") != MAIN:
        main.unlink(missing_ok=True)
        main.write_text(MAIN, encoding="utf-8")
    return folder


def log_file(state: Path) -> Path:
    """Path of the log file."""
    return (state / "app" / "logs" / "app.log").resolve()


def _serve(address: _Address, app: Path, log: Path, terminal: TextIO, others: Sequence[str]) -> bool:
    """Run MONAI Label's start_server in this process; returns whether it ended without an error."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        json.dump(log_config(log), config)
        config.flush()
        sys.argv = [
            *("monailabel", "start_server", "--app", str(app), "--studies", address.studies),
            *("--host", address.host, "--port", str(address.port), "--log_config", config.name, *others),
        ]
        try:
            lean.import_framework()
            from monailabel.main import Main

            from wslpet.server.http import install

            install.terminal = terminal

            Main().run()
        except KeyboardInterrupt:
            return True
        except SystemExit as ended:
            return not ended.code
        except Exception:
            logging.getLogger(__name__).exception("the server failed")
            return False
    return True


def log_config(log: Path) -> dict[str, Any]:
    """MONAI Label's logging configuration without the console handler."""
    import monailabel

    text = (Path(monailabel.__file__).parent / "logging.json").read_text(encoding="utf-8")
    config: dict[str, Any] = json.loads(text.replace("${LOGFILE}", json.dumps(str(log))[1:-1]))
    for logger in (config["root"], *config["loggers"].values()):
        logger["handlers"] = ["task_handler" if "task_handler" in logger["handlers"] else "file_handler"]
    config["handlers"] = {name: config["handlers"][name] for name in ("task_handler", "file_handler")}
    return config


def _redirect_output(log: Path) -> None:
    """Redirect stdout and stderr of the process to the end of a file, at the level of file descriptors."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _greet(address: _Address, log: Path, terminal: TextIO) -> None:
    host = reachable(address.host).strip("[]")
    while True:
        try:
            socket.create_connection((host, address.port), timeout=5).close()
            break
        except OSError:
            time.sleep(POLL_SECONDS)
    terminal.write(
        f"{_words(address)}\n  The log is {_relative(log)} . Ctrl-C stops the server; images and clicks are kept.\n"
    )
    terminal.flush()


def _words(address: _Address) -> str:
    url = f"http://{reachable(address.host)}:{address.port}"
    if address.greeting != "short":
        from wslpet.cli.demo.welcome import welcome, welcome_to_pacs  # slow to import

        try:
            if "://" in address.studies:
                return welcome_to_pacs(address.studies, address.host, address.port)
            return welcome(Path(address.studies), address.host, address.port, demo=address.greeting == "demo")
        except InputError as error:
            logging.getLogger(__name__).warning("no long welcome: %s", error)
    return f"\n  Annotate in a browser, with {address.studies}: {url}/wslpet/\n  3D Slicer and OHIF ask for: {url}"


def _reason(log: Path, begun: int) -> str:
    """Last error in the log since this start."""
    with open(log, encoding="utf-8", errors="replace") as file:
        file.seek(begun if begun <= log.stat().st_size else 0)
        text = file.read()
    found = [*_LOGGED.findall(text), *_REASON.findall(text)]
    return found[-1].strip() if found else "without a reason"


def _relative(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _redirect_caches(state: Path) -> None:
    """Set cache folders for libraries that write to the home folder or beside their source, if those are read-only."""
    from monailabel.config import settings

    if not _is_writable(Path.home()):
        settings.MONAI_LABEL_SESSION_PATH = settings.MONAI_LABEL_SESSION_PATH or str((state / "sessions").resolve())
        os.environ.setdefault("MPLCONFIGDIR", str((state / "cache").resolve()))
        os.environ.setdefault("XDG_CACHE_HOME", str((state / "cache").resolve()))
    if not _is_writable(_PACKAGE):
        os.environ.setdefault("NUMBA_CACHE_DIR", str((state / "cache" / "numba").resolve()))


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _conf(words: Sequence[str]) -> dict[str, str]:
    """Collect repeated `--conf KEY VALUE` options."""
    at = [n for n, word in enumerate(words) if word in ("--conf", "-c") and n + 2 < len(words)]
    return {words[n + 1]: words[n + 2] for n in at}
