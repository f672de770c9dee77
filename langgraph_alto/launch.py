"""`langgraph-alto exec`: become another program whose graphs run on the executor.

The program replaces this process, so its signals, output, traceback and exit code are its
own. What is left of us is its environment: a folder at the front of PYTHONPATH whose
`sitecustomize.py` activates the executor in it and in every Python that it starts.

Out of reach are a Python that ignores the environment (`-E`, `-I`, `-S`), a child that gets
another PYTHONPATH, and a program behind a tool whose `sitecustomize.py` hides the next one:
`opentelemetry-instrument langgraph-alto exec …` works, the other way round does not. There,
`import langgraph_alto.auto` in the program does.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from langgraph_alto.errors import TargetError
from langgraph_alto.options import ENVIRONMENT_VARIABLE

BOOTSTRAP = str(Path(__file__).resolve().parent / "_bootstrap")
"""The folder that `exec` puts on PYTHONPATH."""

PID_VARIABLE = "LANGGRAPH_ALTO_EXEC_PID"
"""Holds the process that `exec` became: the one that says so if it can't use the executor."""

_USAGE = "Write exec -m MODULE, exec SCRIPT.py or exec COMMAND, then its arguments."
_SCRIPT_SUFFIXES = (".py", ".pyw", ".pyz")


def become(arguments: Sequence[str], options: Mapping[str, Any] | None = None) -> NoReturn:
    """Replace this process by the program that `arguments` name.

    Args:
        arguments: `-m MODULE …`, `SCRIPT.py …` or `COMMAND …`.
        options: The executor's options; without them `LANGGRAPH_ALTO_OPTIONS` stays as it is.

    Raises:
        TargetError: There is no such module, script or command, or it can't be executed.
    """
    executable, argv = find_program(arguments)
    environ = environment(os.environ, options)
    sys.stdout.flush()
    sys.stderr.flush()
    for name in ("SIGPIPE", "SIGXFSZ"):
        # Python ignores these, and what is ignored stays so in the next program.
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execve(executable, argv, environ)
    except OSError as error:
        raise TargetError(f"{argv[0]!r} can't be executed: {error.strerror}.") from None


def find_program(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The executable and the argument vector for `arguments`.

    Raises:
        TargetError: Nothing is named, or what is named does not exist.
    """
    if not arguments:
        raise TargetError(f"Nothing to execute. {_USAGE}")
    first, *rest = arguments
    if first.startswith("-m"):
        module, rest = (first[2:], rest) if first != "-m" else (rest[0] if rest else "", rest[1:])
        _check_module(module)
        return sys.executable, [sys.executable, "-m", module, *rest]
    if first.startswith("-"):
        raise TargetError(f"exec has no option {first!r}. {_USAGE}")
    if first.endswith(_SCRIPT_SUFFIXES) and Path(first).is_file():
        return sys.executable, [sys.executable, first, *rest]
    if command := shutil.which(first):
        return command, [first, *rest]
    # Beside this Python: its environment need not be activated. By its full path, from
    # which a Python there tells that it belongs to the environment.
    if command := shutil.which(first, path=str(Path(sys.executable).parent)):
        return command, [command, *rest]
    raise TargetError(_missing(first))


def environment(
    environ: Mapping[str, str], options: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """`environ` with the executor switched on for every Python that is started in it."""
    result = dict(environ)
    inherited = environ.get("PYTHONPATH", "")
    # An empty entry is the working folder; it keeps its place, but none is added.
    entries = [entry for entry in inherited.split(os.pathsep) if entry != BOOTSTRAP]
    result["PYTHONPATH"] = os.pathsep.join([BOOTSTRAP, *(entries if inherited else [])])
    result[PID_VARIABLE] = str(os.getpid())
    if options is not None:
        result[ENVIRONMENT_VARIABLE] = json.dumps(options)
    return result


def _check_module(module: str) -> None:
    """Refuse a module that is not there; a submodule is left to Python, which imports parents."""
    if not module:
        raise TargetError(f"-m needs the name of a module. {_USAGE}")
    if not _has_module(module.partition(".")[0]):
        raise TargetError(
            f"No module named {module!r}. It must be installed, or lie in {os.getcwd()}."
        )


def _has_module(top: str) -> bool:
    sys.path.insert(0, os.getcwd())  # where `python -m` looks first
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False
    finally:
        del sys.path[0]


def _missing(first: str) -> str:
    """What to say of a script or command that does not exist."""
    if Path(first).is_file():
        if os.access(first, os.X_OK):
            return f"No command {first!r} on the PATH. Did you mean ./{first}?"
        return f"{first!r} is not executable. For a Python file write exec python {first}."
    if first.endswith(_SCRIPT_SUFFIXES):
        return f"No file {first!r} in {os.getcwd()}."
    if Path(f"{first}.py").is_file():
        return f"No command {first!r}. Did you mean {first}.py?"
    if first.isidentifier() and _has_module(first):
        return f"No command {first!r} on the PATH. Did you mean -m {first}?"
    return f"No command {first!r} on the PATH."
