"""Runs in every Python that starts with this folder on PYTHONPATH: see `launch.py`.

The folder holds this file alone, because whatever lies in it can be imported by its bare
name everywhere. Such a Python may be of any version and know nothing of langgraph_alto:
the file has no syntax that an old one would refuse, and does nothing there.

Python imports only the first `sitecustomize` on its path, so this one then imports the
next: the program's own, which runs, and fails, as it would without us.
"""

import os
import sys

# More than one mechanism may run this file in a process; once is enough.
if "_langgraph_alto_bootstrap" not in vars(sys):
    vars(sys)["_langgraph_alto_bootstrap"] = True

    _problem = None
    try:
        if sys.version_info >= (3, 11):  # noqa: UP036
            from langgraph_alto import _import_hook

            _import_hook.activate()
        else:
            _problem = "langgraph_alto needs Python 3.11"
    except ImportError as _error:
        if getattr(_error, "name", None) == "langgraph_alto":
            _problem = "langgraph_alto is not installed for it"
        else:
            sys.stderr.write("langgraph-alto: not active: %s\n" % _error)  # noqa: UP031
    except Exception as _error:
        sys.stderr.write("langgraph-alto: not active: %s\n" % _error)  # noqa: UP031
    # Only the process that `exec` became is told: it was meant to run on the executor,
    # while a Python further down may rightly be a foreign one.
    if _problem and os.environ.get("LANGGRAPH_ALTO_EXEC_PID") == str(os.getpid()):
        sys.stderr.write("langgraph-alto: not active in %s: %s\n" % (sys.executable, _problem))  # noqa: UP031

    _here = os.path.dirname(os.path.abspath(__file__))
    _positions = [_i for _i, _entry in enumerate(sys.path) if os.path.abspath(_entry) == _here]
    for _i in reversed(_positions):
        del sys.path[_i]
    _self = sys.modules.pop("sitecustomize", None)
    try:
        __import__("sitecustomize")
    except ImportError as _error:
        if getattr(_error, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        # Back on the path: some programs hand theirs to their children as PYTHONPATH.
        for _i in _positions:
            sys.path.insert(_i, _here)
        if _self is not None:
            sys.modules.setdefault("sitecustomize", _self)
        # And first for children: opentelemetry-instrument's file moves its own folder there,
        # and imports no other.
        _entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if _here in _entries[1:]:
            _entries = [_here] + [_entry for _entry in _entries if _entry != _here]
            os.environ["PYTHONPATH"] = os.pathsep.join(_entries)
