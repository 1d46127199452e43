"""Dockerfile and compose.yaml: what they name exists. `tools/try-container` runs their steps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from wslpet.cli.main import _parser

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
STAGES = set(re.findall(r"(?m)^FROM \S+ AS (\w+)", DOCKERFILE))


def test_compose_builds_stages_that_there_are_and_publishes_on_loopback_only():
    services = COMPOSE["services"].values()
    assert {service["build"]["target"] for service in services} <= STAGES
    assert all(port.startswith("127.0.0.1:") for service in services for port in service["ports"])
    assert {volume.split(":")[0] for service in services for volume in service["volumes"]} == set(COMPOSE["volumes"])


def test_copied_files_exist():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = [name for line in re.findall(r"(?m)^COPY (?!--from)(.+)", DOCKERFILE) for name in line.split()[:-1]]
    assert copied and [name for name in copied if not (ROOT / name).exists() or name in ignored] == []


def test_the_servers_are_started_by_commands_that_there_are_and_not_by_root():
    commands = [json.loads(line) for line in re.findall(r'(?m)^CMD (\["wslpet".+)', DOCKERFILE)]
    for command in (*commands, COMPOSE["services"]["wsl-pet"]["command"]):
        args, others = _parser().parse_known_args(command[1:])
        assert args.host == "0.0.0.0" and others[:2] == ["--conf", "state_dir"]
    final = DOCKERFILE.split("FROM ")[2:]
    assert all("\nUSER " in stage for stage in final)
