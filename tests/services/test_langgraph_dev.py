"""Real servers under `langgraph-alto exec`: unchanged, with the executor, after reloads too."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def needs(module: str, package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"needs {package} (extra: services)")


GRAPH = """
from typing import TypedDict
from langgraph.graph import StateGraph

class State(TypedDict):
    on: bool
    version: int

def node(state):
    import langgraph_alto
    return {"on": langgraph_alto.is_installed(), "version": 1}

graph = StateGraph(State).add_node("node", node).set_entry_point("node").compile()
"""

WEB = """
import json
from app_graph import graph

async def app(scope, receive, send):
    assert scope["type"] == "http"
    body = json.dumps(await graph.ainvoke({})).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app_graph.py").write_text(GRAPH)
    (tmp_path / "web.py").write_text(WEB)
    (tmp_path / "langgraph.json").write_text(
        json.dumps({"graphs": {"g": "./app_graph.py:graph"}, "dependencies": ["."]})
    )
    return tmp_path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(folder: Path, *command: str) -> Iterator[None]:
    """A server in a session of its own, which ends with its reloader and workers."""
    environ = {name: v for name, v in os.environ.items() if not name.startswith("LANGGRAPH_ALTO")}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "langgraph_alto", "exec", *command],
            cwd=folder,
            env=environ,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(server.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        server.wait()


def wait_for(
    ask: Callable[[], dict[str, Any]], version: int, folder: Path, seconds: float = 40
) -> dict[str, Any]:
    """The first answer of this version of the graph; the server may be starting or reloading."""
    last: object = None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            last = answer = ask()
            if answer["version"] == version:
                return answer
        except (OSError, urllib.error.URLError, KeyError) as error:
            last = error
        time.sleep(0.2)
    log = (folder / "server.log").read_text(errors="replace")
    raise AssertionError(f"no answer of version {version}, last: {last!r}; the server said:\n{log}")


def fetch(url: str, body: object = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def check_before_and_after_reload(folder: Path, ask: Callable[[], dict[str, Any]]) -> None:
    assert wait_for(ask, 1, folder) == {"on": True, "version": 1}
    time.sleep(1.1)  # reloaders compare modification times, some in whole seconds
    (folder / "app_graph.py").write_text(GRAPH.replace('"version": 1', '"version": 2'))
    assert wait_for(ask, 2, folder) == {"on": True, "version": 2}


@needs("langgraph_api", "langgraph-cli[inmem]")
def test_langgraph_dev(folder: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}/runs/wait"
    command = ["langgraph", "dev", "--no-browser", "--port", str(port)]
    with served(folder, *command):
        check_before_and_after_reload(
            folder, lambda: fetch(url, {"assistant_id": "g", "input": {}})
        )


@needs("uvicorn", "uvicorn")
def test_uvicorn(folder: Path) -> None:
    port = free_port()
    with served(folder, "uvicorn", "web:app", "--reload", "--port", str(port)):
        check_before_and_after_reload(folder, lambda: fetch(f"http://127.0.0.1:{port}/"))
