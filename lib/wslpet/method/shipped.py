"""Where the shipped weights are."""

from pathlib import Path

SHIPPED_MODEL = Path(__file__).resolve().parents[1] / "model" / "pretrained_wslpet.pt"
