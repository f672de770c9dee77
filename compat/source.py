"""LangGraph's sdist: fetched once, verified, and its tests unpacked into the cache.

Only `tests/` and `pyproject.toml` are unpacked. The sdist's own `langgraph/` folder would
come before the installed package on pytest's path, and what users run is the package.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

from compat.errors import CompatError
from compat.paths import CACHE

_WANTED = ("tests", "pyproject.toml")


def fetch_suite(version: str, sha256: str, pip: list[str], cache: Path = CACHE) -> Path:
    """The folder with LangGraph's tests; downloaded where the cache does not have it.

    Args:
        version: LangGraph's version.
        sha256: The digest that its sdist must have.
        pip: The command that runs pip.
        cache: Where to keep the archive and what is unpacked from it.

    Raises:
        CompatError: No network, no such version, or an archive with another digest.
    """
    name = f"langgraph-{version}"
    archive = cache / f"{name}.tar.gz"
    if not archive.exists():
        _download(version, archive, pip)
    verify(archive, sha256)
    folder = cache / f"suite-{version}"
    complete = folder / f".complete-{sha256}"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _unpack(archive, name, folder)
        complete.touch()
    return folder


def verify(archive: Path, sha256: str) -> None:
    """Refuse an archive that is not the pinned one."""
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != sha256:
        raise CompatError(
            f"{archive} has the sha256 {found}, expected {sha256}. "
            "Delete the file to download it again; if that does not help, "
            "the package index serves another file than the one that was tested."
        )


def _download(version: str, archive: Path, pip: list[str]) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    # Only langgraph itself from source: pip reads an sdist's metadata by building it, and
    # ":all:" would make it build the build tools from source as well.
    command = [*pip, "download", "--quiet", "--no-deps", "--no-binary", "langgraph"]
    done = subprocess.run(
        [*command, f"langgraph=={version}", "--dest", str(archive.parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not archive.exists():
        raise CompatError(
            f"LangGraph {version}'s sdist could not be downloaded ({last_error(done.stderr)}). "
            f"Connect to a package index, or put the file there yourself: {archive}"
        )


def last_error(stderr: str) -> str:
    """The line of pip's output that says what went wrong."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["pip gave no reason"])[-1]


def _unpack(archive: Path, name: str, folder: Path) -> None:
    wanted = tuple(f"{name}/{part}" for part in _WANTED)
    with tarfile.open(archive) as tar:
        members = [
            member
            for member in tar.getmembers()
            if member.name in wanted or member.name.startswith(f"{name}/tests/")
        ]
        for member in members:
            member.name = member.name.removeprefix(f"{name}/")
        tar.extractall(folder, members=members, filter="data")
