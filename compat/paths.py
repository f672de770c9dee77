"""Where things are. Everything that a run fetches or writes lies in `.cache/`, outside git."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = ROOT / ".cache"

EXPECTED = HERE / "expected.toml"
REQUIREMENTS = HERE / "requirements.txt"
VENV = CACHE / "compat-venv"


def run_folder(name: str) -> Path:
    """What the last run of that name left: pytest's output and the plugin's log."""
    return CACHE / "compat-runs" / name
