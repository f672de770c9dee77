"""The virtual environment in which the suite runs, built when what it is made of changes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from compat.errors import CompatError
from compat.paths import REQUIREMENTS, ROOT, VENV
from compat.source import last_error

_STAMP = ".built-from"

_FOREIGN = ("PYTEST_", "LANGGRAPH_", "LANGCHAIN_", "LANGSMITH_", "ALTO_COMPAT_", "PYTHONPATH")
"""Variables of the user's shell that could change what a test does, by prefix."""


def ensure_environment(venv: Path = VENV) -> Path:
    """The environment's Python; builds the environment if there is none, or an outdated one.

    Raises:
        CompatError: It could not be built, e.g. without a network.
    """
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = venv / _STAMP
    wanted = fingerprint()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    _run([sys.executable, "-m", "venv", "--clear", str(venv)])
    install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]
    # In one call with the pins: a dependency that was added to ALTO and not to the pins is
    # installed all the same, and one that contradicts a pin is an error and no surprise.
    _run([*install, "--editable", str(ROOT)])
    stamp.write_text(wanted)
    return python


def fingerprint() -> str:
    """Changes when the environment has to be built again."""
    digest = hashlib.sha256()
    for part in (sys.version.encode(), str(ROOT).encode()):
        digest.update(part)
    for path in (REQUIREMENTS, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def source_state(package: Path = ROOT / "langgraph_alto") -> dict[str, int]:
    """When each file of ALTO was last written.

    The environment runs ALTO from where it is edited: a worker that is replaced in the middle
    of a run loads what is there by then.
    """
    return {str(path): path.stat().st_mtime_ns for path in sorted(package.rglob("*.py"))}


def clean_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for the suite's process.

    Nothing of the user's own settings for pytest, LangGraph or tracing gets in, and no
    service of LangGraph's test setup (Postgres, Redis) is looked for.
    """
    kept = {key: value for key, value in environ.items() if not key.startswith(_FOREIGN)}
    return {**kept, "NO_DOCKER": "true", "LANGSMITH_TRACING": "false"}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompatError(
            "The suite's environment could not be built "
            f"({last_error(done.stderr or done.stdout)}). It needs a package index and "
            f"Python's venv module; delete {VENV} to begin afresh."
        )
