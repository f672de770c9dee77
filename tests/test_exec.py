"""`langgraph-alto exec` and `import langgraph_alto.auto`, in real processes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from langgraph_alto import launch

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parent.parent

ASK = "import langgraph.graph, langgraph_alto as a; print('on' if a.is_installed() else 'off')"
"""A program that says whether its graphs run on the executor."""

Result = subprocess.CompletedProcess[str]
Exec = Callable[..., Result]


def run_python(
    *arguments: str,
    python: str = sys.executable,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Result:
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LANGGRAPH_ALTO", "PYTHONPATH"))
    }
    return subprocess.run(
        [python, *arguments],
        cwd=cwd,
        env=environ | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def exec_(tmp_path: Path) -> Exec:
    """Runs `langgraph-alto exec ARGUMENTS` in `tmp_path`."""

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
        return run_python("-m", "langgraph_alto", "exec", *arguments, cwd=tmp_path, env=env)

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a file below `tmp_path`."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write_file


Write = Callable[[str, str], Path]


# What may be executed


def test_script_runs_on_the_executor(exec_: Exec, write: Write) -> None:
    write("app.py", ASK)
    result = exec_("app.py")
    assert (result.stdout, result.stderr, result.returncode) == ("on\n", "", 0)


def test_script_sees_itself_as_under_python(exec_: Exec, write: Write) -> None:
    script = write(
        "app.py",
        """
        import json, sys
        print(json.dumps([sys.argv, __name__, __file__, sys.path[0], sys.flags.safe_path]))
        """,
    )
    arguments = ["app.py", "--options", "-m", "--help", "x y"]
    result = exec_(*arguments)
    alone = run_python(*arguments, cwd=script.parent)
    assert (result.stdout, result.stderr) == (alone.stdout, "")


def test_module_and_package(exec_: Exec, write: Write) -> None:
    write("pack/__init__.py", "")
    write("pack/tool.py", f"import sys\n{ASK}\nprint(__name__, sys.argv[1:])")
    for spelling in (["-m", "pack.tool"], ["-mpack.tool"]):
        result = exec_(*spelling, "--flag")
        assert (result.stdout, result.stderr) == ("on\n__main__ ['--flag']\n", "")


def test_command_on_the_path(exec_: Exec, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "serve"
    command.write_text(f"#!{sys.executable}\n{ASK}\n")
    command.chmod(0o755)
    result = exec_("serve", "app", env={"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"})
    assert (result.stdout, result.stderr, result.returncode) == ("on\n", "", 0)


def test_command_beside_a_python_that_is_not_activated(exec_: Exec, tmp_path: Path) -> None:
    result = exec_(Path(sys.executable).name, "-c", ASK, env={"PATH": str(tmp_path)})
    assert (result.stdout, result.stderr) == ("on\n", "")


def test_python_with_its_own_options(exec_: Exec, write: Write) -> None:
    write("app.py", ASK)
    assert exec_(sys.executable, "-u", "-X", "utf8", "app.py").stdout == "on\n"


def test_two_dashes_end_the_options(exec_: Exec, write: Write) -> None:
    write("app.py", ASK)
    assert exec_("--options", '{"max_ahead": 2}', "--", "app.py").stdout == "on\n"


# What the program starts itself


def test_children_inherit_the_executor(exec_: Exec, write: Write) -> None:
    write(
        "app.py",
        f"""
        import multiprocessing, subprocess, sys

        def ask():
            {ASK}

        if __name__ == "__main__":
            subprocess.run([sys.executable, "-c", {ASK!r}], check=True)
            for method in "spawn", "forkserver", "fork":
                child = multiprocessing.get_context(method).Process(target=ask)
                child.start()
                child.join()
        """,
    )
    result = exec_("app.py")
    assert (result.stdout, result.stderr) == ("on\n" * 4, "")


def test_a_program_that_passes_its_path_on(exec_: Exec, write: Write) -> None:
    write(
        "app.py",
        f"""
        import os, subprocess, sys
        environ = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
        subprocess.run([sys.executable, "-c", {ASK!r}], env=environ, check=True)
        """,
    )
    assert exec_("app.py").stdout == "on\n"


def test_children_that_never_import_langgraph_pay_nothing(exec_: Exec) -> None:
    result = exec_(
        sys.executable,
        "-c",
        "import sys; print([m for m in sys.modules if m.startswith(('langgraph.', 'langchain'))])",
    )
    assert result.stdout == "[]\n"


def test_python_without_langgraph_alto(exec_: Exec, tmp_path: Path) -> None:
    """A foreign Python does its work; only the one that was asked for says what is missing."""
    venv.create(tmp_path / "foreign", with_pip=False)
    foreign = str(tmp_path / "foreign" / "bin" / "python")
    direct = exec_(foreign, "-c", "print('works')")
    assert direct.stdout == "works\n"
    assert direct.stderr.count("\n") == 1
    assert "langgraph_alto is not installed for it" in direct.stderr
    child = f"import subprocess; subprocess.run([{foreign!r}, '-c', 'print(1)'], check=True)"
    below = exec_(sys.executable, "-c", child)
    assert (below.stdout, below.stderr, below.returncode) == ("1\n", "", 0)


def test_each_way_to_import_langgraph(exec_: Exec) -> None:
    """Installing in the middle of LangGraph's imports would import half-made modules again."""
    for statement in (
        "from langgraph.graph import StateGraph",
        "from langgraph.pregel import Pregel",
        "import langgraph.pregel.main",
        "from langgraph.func import entrypoint",
        "from langgraph.prebuilt import ToolNode",
        "from langgraph.types import Send; from langgraph.graph import StateGraph",
        "from langgraph_alto import accelerate; import langgraph.graph",
    ):
        code = f"{statement}; import langgraph_alto; print(langgraph_alto.is_installed())"
        result = exec_(sys.executable, "-c", code)
        assert (result.stdout, result.stderr) == ("True\n", ""), statement


def test_threads_that_import_langgraph_together(exec_: Exec, write: Write) -> None:
    write(
        "app.py",
        """
        import importlib, threading
        names = ["langgraph.graph", "langgraph.func", "langgraph.pregel", "langgraph.prebuilt"]
        threads = [threading.Thread(target=importlib.import_module, args=[n]) for n in names]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        import langgraph.graph, langgraph_alto
        print(langgraph_alto.is_installed())
        """,
    )
    result = exec_("app.py")
    assert result.stdout == "True\n"
    # Python itself sometimes breaks such imports (about one run in thirty); we never do.
    assert "langgraph-alto" not in result.stderr


def test_langgraph_modules_keep_their_loaders(exec_: Exec) -> None:
    code = (
        "import inspect, langgraph.graph.state as s; "
        "print(type(s.__loader__).__name__, vars(s.__loader__).keys() - {'name', 'path'}, "
        "len(inspect.getsource(s.StateGraph)) > 1000)"
    )
    assert exec_(sys.executable, "-c", code).stdout == "SourceFileLoader set() True\n"


# The switch and the options


@pytest.mark.parametrize("value", ["0", "false", "off"])
def test_switched_off(exec_: Exec, write: Write, value: str) -> None:
    write("app.py", ASK)
    result = exec_("app.py", env={"LANGGRAPH_ALTO": value})
    assert (result.stdout, result.stderr) == ("off\n", "")


def test_options_reach_the_program(exec_: Exec, write: Write) -> None:
    write("app.py", "from langgraph_alto import Options; print(Options.from_environment())")
    given = exec_("--options", '{"max_ahead": 5}', "app.py", env={"LANGGRAPH_ALTO_OPTIONS": "{}"})
    assert "max_ahead=5" in given.stdout
    inherited = exec_("app.py", env={"LANGGRAPH_ALTO_OPTIONS": '{"max_ahead": 6}'})
    assert "max_ahead=6" in inherited.stdout


def test_options_that_go_wrong_later_do_not_break_the_program(exec_: Exec, write: Write) -> None:
    write("app.py", f"import os; os.environ['LANGGRAPH_ALTO_OPTIONS'] = '[]'; {ASK}")
    result = exec_("app.py")
    assert (result.stdout, result.returncode) == ("off\n", 0)
    assert result.stderr.count("\n") == 1
    assert "LANGGRAPH_ALTO_OPTIONS must hold a JSON object" in result.stderr


def test_exec_inside_exec(exec_: Exec, write: Write) -> None:
    write("app.py", f"import os; {ASK}; print(os.environ['PYTHONPATH'])")
    result = exec_(sys.executable, "-m", "langgraph_alto", "exec", "app.py")
    assert result.stdout == f"on\n{launch.BOOTSTRAP}\n"


# A sitecustomize of the program's own


def test_own_sitecustomize_runs(exec_: Exec, write: Write, tmp_path: Path) -> None:
    write("site/sitecustomize.py", "import sys; sys.path.append('added'); print('own', __file__)")
    write(
        "app.py", f"import sys, sitecustomize; print(sitecustomize.__file__, sys.path[-1]); {ASK}"
    )
    own = tmp_path / "site" / "sitecustomize.py"
    result = exec_("app.py", env={"PYTHONPATH": str(own.parent)})
    lines = result.stdout.splitlines()
    assert lines[-3:] == [f"own {own}", f"{own} added", "on"]
    assert lines[:-3] == [f"own {own}"]  # our own process ran it as well
    assert result.stderr == ""


@pytest.mark.parametrize("text", ["import langgraph.graph", "import langgraph_alto.auto"])
def test_own_sitecustomize_that_imports_langgraph(exec_: Exec, write: Write, text: str) -> None:
    own = write("site/sitecustomize.py", text)
    write("app.py", ASK)
    result = exec_("app.py", env={"PYTHONPATH": str(own.parent)})
    assert (result.stdout, result.stderr) == ("on\n", "")


@pytest.mark.parametrize("text", ["1 / 0", "import no_such_module"])
def test_own_sitecustomize_fails_as_it_does_alone(exec_: Exec, write: Write, text: str) -> None:
    own = write("site/sitecustomize.py", text)
    write("app.py", "print('ran')")
    path = {"PYTHONPATH": str(own.parent)}
    alone = run_python("app.py", cwd=own.parent.parent, env=path)
    # The way to our own process runs it too, so start the program as `exec` would.
    environ = launch.environment(path)
    result = run_python("app.py", cwd=own.parent.parent, env=environ)
    assert (result.stdout, result.stderr) == (alone.stdout, alone.stderr)
    assert result.returncode == alone.returncode


def test_sitecustomize_that_chains_back(exec_: Exec, write: Write) -> None:
    """As ddtrace's does: it takes itself off the path and imports the next one."""
    own = write(
        "site/sitecustomize.py",
        """
        import os, sys
        here = os.path.dirname(__file__)
        sys.path.remove(here)
        own = sys.modules.pop("sitecustomize")
        try:
            import sitecustomize
        except ImportError:
            sys.modules["sitecustomize"] = own
        sys.path.insert(0, here)
        print("chained")
        """,
    )
    write("app.py", ASK)
    for path in (str(own.parent), os.pathsep.join([str(own.parent), launch.BOOTSTRAP])):
        result = exec_("app.py", env={"PYTHONPATH": path})
        assert result.stdout.splitlines()[-2:] == ["chained", "on"], path
        assert result.stderr == ""


def test_sitecustomize_that_puts_itself_first_for_children(exec_: Exec, write: Write) -> None:
    """As opentelemetry-instrument's does, which imports no other."""
    own = write(
        "site/sitecustomize.py",
        """
        import os
        here = os.path.dirname(__file__)
        entries = os.environ["PYTHONPATH"].split(os.pathsep)
        os.environ["PYTHONPATH"] = os.pathsep.join([here] + [e for e in entries if e != here])
        """,
    )
    write("app.py", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ASK!r}])")
    result = exec_("app.py", env={"PYTHONPATH": str(own.parent)})
    assert (result.stdout, result.stderr) == ("on\n", "")


def test_pythonpath_of_the_program_is_kept() -> None:
    join = os.pathsep.join
    for inherited, expected in (
        (None, [launch.BOOTSTRAP]),
        ("", [launch.BOOTSTRAP]),
        ("a", [launch.BOOTSTRAP, "a"]),
        (join(["a", "", "b"]), [launch.BOOTSTRAP, "a", "", "b"]),
        (join(["a", launch.BOOTSTRAP, "b"]), [launch.BOOTSTRAP, "a", "b"]),
    ):
        given = {} if inherited is None else {"PYTHONPATH": inherited}
        assert launch.environment(given)["PYTHONPATH"] == join(expected)


def test_bootstrap_folder_offers_no_other_name() -> None:
    """Whatever lies there can be imported by its bare name in every program."""
    names = {path.name for path in Path(launch.BOOTSTRAP).iterdir()}
    assert names - {"__pycache__"} == {"sitecustomize.py"}


# Exceptions, exit codes and signals are the program's own


@pytest.mark.parametrize(
    "body",
    [
        "raise KeyError('mine')",
        "import sys; sys.exit(3)",
        "import sys; sys.exit('a message')",
        "raise EOFError",
        "raise KeyboardInterrupt",
        "import os; os._exit(7)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "def broken(:",
        "from langgraph_alto.errors import TargetError; raise TargetError('mine')",
    ],
)
def test_failure_is_unchanged(exec_: Exec, write: Write, body: str) -> None:
    script = write("app.py", f"def main():\n    {body}\n\nmain()\n")
    alone = run_python("app.py", cwd=script.parent)
    result = exec_("app.py")
    assert (result.stdout, result.stderr) == (alone.stdout, alone.stderr)
    assert result.returncode == alone.returncode != 0


def test_ignored_signals_are_not_passed_on(exec_: Exec) -> None:
    """Python ignores SIGPIPE; a shell that inherits that never ends in `yes | head -1`."""
    result = exec_("sh", "-c", "yes | head -1")
    assert (result.stdout, result.stderr) == ("y\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Nothing to execute. Write exec -m MODULE"),
        (["nope.py"], "No file 'nope.py'"),
        (["no-such-command", "x"], "No command 'no-such-command' on the PATH."),
        (["thing"], "No command 'thing'. Did you mean thing.py?"),
        (["json"], "Did you mean -m json?"),
        (["./data.txt"], "'./data.txt' is not executable"),
        (["./data"], "'./data' can't be executed"),
        (["-m"], "-m needs the name of a module"),
        (["-m", "no_such_module"], "No module named 'no_such_module'"),
        (["-u", "thing.py"], "exec has no option '-u'"),
        (["--options"], "requires an argument"),
        (["--options", "{", "thing.py"], "--options: not valid JSON"),
        (["--options", "[]", "thing.py"], "--options: must be a JSON object"),
        (["--options", '{"speed": 1}', "thing.py"], "Unknown option speed. Valid: run_ahead, "),
        (["--options", '{"emit": "fast"}', "thing.py"], "Valid: 'ordered', 'eager'"),
        (["--options", '{"nodes": 5}', "thing.py"], "must be a mapping"),
        (["--options", '{"nodes": {"a": {"effects": "no"}}}', "thing.py"], "Valid: 'pure'"),
    ],
)
def test_bad_input(exec_: Exec, write: Write, arguments: list[str], message: str) -> None:
    write("thing.py", "print('ran')")
    write("data.txt", "")
    write("data", "\x00\x01").chmod(0o755)
    result = exec_(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("langgraph-alto: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


@pytest.mark.parametrize("text", ["{", "[]", '{"speed": 1}', '{"max_ahead": 0}', '{"tools": 1}'])
def test_bad_options_in_the_environment(exec_: Exec, write: Write, text: str) -> None:
    write("app.py", "print('ran')")
    result = exec_("app.py", env={"LANGGRAPH_ALTO_OPTIONS": text})
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)


# The one-line form


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (f"import langgraph_alto.auto; {ASK}", "on"),
        (f"import langgraph.graph, langgraph_alto.auto; {ASK}", "on"),
        (
            "import langgraph.graph, langgraph_alto.auto; from langgraph_alto import install; "
            f"install(); install(); {ASK}",
            "on",
        ),
        (
            "import langgraph.graph, langgraph_alto.auto; from langgraph_alto import uninstall; "
            f"uninstall(); uninstall(); {ASK}",
            "off",
        ),
        (
            f"import os; os.environ['LANGGRAPH_ALTO'] = '0'; import langgraph_alto.auto; {ASK}",
            "off",
        ),
        (f"import langgraph_alto.auto, os; os.environ['LANGGRAPH_ALTO'] = '0'; {ASK}", "off"),
    ],
)
def test_auto(code: str, expected: str) -> None:
    result = run_python("-c", code)
    assert (result.stdout, result.stderr) == (f"{expected}\n", "")


def test_auto_is_harmless_twice_and_under_exec(exec_: Exec) -> None:
    again = "import importlib, langgraph_alto.auto as b; importlib.reload(b)"
    result = exec_(sys.executable, "-c", f"{again}; {ASK}; import sys; {again}; {ASK}")
    assert (result.stdout, result.stderr) == ("on\non\n", "")


def test_auto_reports_bad_options_where_it_is_imported() -> None:
    result = run_python("-c", "import langgraph_alto.auto", env={"LANGGRAPH_ALTO_OPTIONS": "{"})
    assert result.returncode == 1
    assert "OptionError: LANGGRAPH_ALTO_OPTIONS must hold a JSON object" in result.stderr


# An installed wheel


@pytest.mark.timeout(300)
def test_exec_from_an_installed_wheel(tmp_path: Path, write: Write) -> None:
    """Nothing may depend on the checkout: the wheel holds the folder that `exec` needs."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    if importlib.util.find_spec("pip") is None or importlib.util.find_spec("hatchling") is None:
        pytest.skip("needs pip and hatchling in this environment (extra: dev)")
    wheels = tmp_path / "wheels"
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(PROJECT)],
        check=True,
        timeout=200,
    )
    venv.create(tmp_path / "env", with_pip=False)
    python = str(tmp_path / "env" / "bin" / "python")
    (wheel,) = wheels.glob("*.whl")
    subprocess.run(
        [*pip, "--python", python, "install", "--no-deps", "--no-index", str(wheel)],
        check=True,
        timeout=200,
    )
    purelib = Path(
        run_python(
            "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", python=python
        ).stdout.strip()
    )
    # The dependencies of this environment, without its own (editable) langgraph_alto: a line
    # in a .pth file adds a folder but does not run the .pth files in it.
    import langgraph.graph

    dependencies = Path(langgraph.graph.__file__).parents[2]
    (purelib / "dependencies.pth").write_text(f"{dependencies}\n")
    write("app.py", f"{ASK}; print(a.__file__)")
    script = tmp_path / "env" / "bin" / "langgraph-alto"
    result = run_python(str(script), "exec", "app.py", python=python, cwd=tmp_path)
    expected = f"on\n{purelib / 'langgraph_alto' / '__init__.py'}\n"
    assert (result.stdout, result.stderr) == (expected, "")
    version = run_python(str(script), "--version", python=python, cwd=tmp_path)
    assert version.stdout.startswith("langgraph-alto ")
