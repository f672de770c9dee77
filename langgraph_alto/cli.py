"""The command `langgraph-alto`: argument parsing only.

A command checks its arguments and returns what is to be done; `main` does it outside of the
parser. So an exception of the user's program never passes through the parser, which
would take an EOFError or KeyboardInterrupt for its own.
"""

from __future__ import annotations

import enum
import functools
import json
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import typer.core
import typer.main

from langgraph_alto.errors import (
    DeclarationError,
    InputsError,
    OptionError,
    OutputError,
    RecordingError,
    TargetError,
)
from langgraph_alto.options import Options

Action = Callable[[], int | None]
"""What a command returns: the work to do once the arguments are known to be good. It returns
the exit code, None for 0."""

BAD_USAGE = 2
"""The exit code for bad usage or input."""

_arguments: ContextVar[tuple[str, ...]] = ContextVar("alto_arguments", default=())
"""This command line, for a report that says how to get it again."""

app = typer.Typer(
    name="langgraph-alto",
    help="Run LangGraph graphs and applications on the ALTO executor.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Bad usage or input is one line on stderr and exit code 2. An exception of the user's
    own code passes through.
    """
    command = typer.main.get_command(app)
    _arguments.set(tuple(sys.argv[1:] if arguments is None else arguments))
    try:
        done = command.main(
            args=None if arguments is None else list(arguments),
            prog_name="langgraph-alto",
            standalone_mode=False,
        )
        if not callable(done):
            return int(done or 0)
    except (TargetError, OptionError, DeclarationError, InputsError) as error:
        return _bad_usage(str(error))
    except Exception as error:
        # The parser's own errors; their class moved between versions of typer.
        text = getattr(error, "format_message", None)
        if text is None:
            raise
        return _bad_usage(text())
    try:
        return done() or 0
    # Raised by this command line only, never by user code.
    except (TargetError, RecordingError, OutputError, InputsError) as error:
        return _bad_usage(str(error))


def _bad_usage(message: str) -> int:
    print(f"langgraph-alto: {' '.join(message.split())}", file=sys.stderr)
    return BAD_USAGE


class Executor(enum.StrEnum):
    """Which executor runs the graph."""

    ALTO = "alto"
    LANGGRAPH = "langgraph"


class StreamMode(enum.StrEnum):
    """LangGraph's stream modes."""

    VALUES = "values"
    UPDATES = "updates"
    MESSAGES = "messages"
    CUSTOM = "custom"
    TASKS = "tasks"
    CHECKPOINTS = "checkpoints"
    DEBUG = "debug"


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"langgraph-alto {version('langgraph-alto')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


OPTIONS_HELP = """The executor's options as JSON, e.g. '{"max_ahead": 8}'; \
default: LANGGRAPH_ALTO_OPTIONS."""


@app.command()
def run(  # noqa: PLR0917  (the parser passes them by name)
    target: Annotated[str, typer.Argument(help="path/to/file.py:graph or package.module:graph")],
    input: Annotated[
        str, typer.Option("--input", metavar="JSON|@FILE|-", help="The graph's input; - is stdin.")
    ],
    config: Annotated[
        str, typer.Option(metavar="JSON|@FILE", help="The config, e.g. with a thread_id.")
    ] = "{}",
    executor: Annotated[Executor, typer.Option(help="Which executor runs it.")] = Executor.ALTO,
    options: Annotated[str | None, typer.Option(metavar="JSON", help=OPTIONS_HELP)] = None,
    stream_mode: Annotated[
        list[StreamMode] | None,
        typer.Option(help="Print chunks as JSON lines instead of the result; repeatable."),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Print what ran ahead, to stderr.")
    ] = False,
    otlp: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send a trace there, e.g. http://localhost:4317."),
    ] = None,
) -> Action:
    """Run a graph once and print its result as JSON."""
    from langgraph_alto.run import RunRequest
    from langgraph_alto.run import run as run_target

    request = RunRequest(
        target=target,
        input=_read_json("--input", input, stdin=True),
        config=_read_object("--config", config),
        executor=executor.value,
        options=_read_options(options)[1],
        stream_modes=[mode.value for mode in stream_mode or ()],
        report=report,
        otlp=otlp,
    )
    return functools.partial(run_target, request)


@app.command()
def plan(
    target: Annotated[str, typer.Argument(help="path/to/file.py:graph or package.module:graph")],
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="A diagram for GitHub or LangGraph Studio.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON, described by plan.schema.json in the package.")
    ] = False,
    options: Annotated[str | None, typer.Option(metavar="JSON", help=OPTIONS_HELP)] = None,
) -> Action:
    """Say what would start early in a graph, and why the rest would not. Nothing is run."""
    from langgraph_alto.planning import show_plan

    if mermaid and as_json:
        _refuse("--json", "can't be given together with --mermaid")
    form = "mermaid" if mermaid else "json" if as_json else "text"
    return functools.partial(show_plan, target, form, _read_options(options)[1])


@app.command()
def trace(  # noqa: PLR0917  (the parser passes them by name)
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET|FILE.json",
            help="path/to/file.py:graph or package.module:graph, to be run; "
            "or a recording: a file of OTLP JSON.",
        ),
    ],
    input: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON|@FILE|-", help="The graph's input; - is stdin."),
    ] = None,
    config: Annotated[
        str, typer.Option(metavar="JSON|@FILE", help="The config, e.g. with a thread_id.")
    ] = "{}",
    executor: Annotated[Executor, typer.Option(help="Which executor runs it.")] = Executor.ALTO,
    options: Annotated[str | None, typer.Option(metavar="JSON", help=OPTIONS_HELP)] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write a page, too; it loads nothing.")
    ] = None,
    otlp: Annotated[
        str | None, typer.Option(metavar="URL", help="Send the spans there, too (OTLP).")
    ] = None,
) -> Action:
    """Run a graph once, or open a recording, and draw how partial output flowed."""
    from langgraph_alto.tracing import TraceRequest
    from langgraph_alto.tracing import trace as trace_target

    if input is None:
        if otlp is not None:
            _refuse("--otlp", "is for a run: give --input too")
        if ":" in target and not Path(target).exists():
            raise TargetError(f"{target} needs --input, or name a file of OTLP JSON.")
        return functools.partial(trace_target, TraceRequest(recording=Path(target), html=html))
    from langgraph_alto.run import RunRequest

    request = RunRequest(
        target=target,
        input=_read_json("--input", input, stdin=True),
        config=_read_object("--config", config),
        executor=executor.value,
        options=_read_options(options)[1],
        quiet=True,
    )
    return functools.partial(trace_target, TraceRequest(run=request, html=html, otlp=otlp))


@app.command()
def compare(  # noqa: PLR0917  (the parser passes them by name)
    target: Annotated[
        str | None, typer.Argument(help="path/to/file.py:graph or package.module:graph")
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(metavar="FILE", help='JSON lines: {"input": …, "config": …, "answers": […]}'),
    ] = None,
    from_file: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="REPORT.json", help="Run nothing: draw what --json wrote, to --html."
        ),
    ] = None,
    runs: Annotated[int, typer.Option(help="How often each input runs on each executor.")] = 10,
    concurrency: Annotated[str, typer.Option(metavar="N,N", help="Runs at once, e.g. 1,8.")] = "1",
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON.")
    ] = None,
    html_file: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write the report as a page.")
    ] = None,
    executor_options: Annotated[
        str | None, typer.Option(metavar="JSON", help=f"ALTO's side. {OPTIONS_HELP}")
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Measure each class of run-ahead, too.")
    ] = False,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A key that may differ: id, messages[*].id; repeatable."),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for a run; 0: no limit.")] = 300.0,
    record: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Run once live, keep the models' answers, compare."),
    ] = None,
    replay: Annotated[
        str | None, typer.Option(metavar="FILE", help="Take the models' answers from a file.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="OLD.json", help="Compare with an older report.")
    ] = None,
    warm_up: Annotated[int, typer.Option(help="Runs of each side that don't count.")] = 1,
    mode: Annotated[str, typer.Option(help="async, sync or auto.")] = "auto",
    noise: Annotated[bool, typer.Option(help="Measure LangGraph against itself.")] = True,
    stream_mode: Annotated[
        list[StreamMode] | None, typer.Option(help="What the runs stream; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="For the order of the runs.")] = 0,
) -> Action:
    """Run a graph on both executors, and say what would be gained.

    Exits with 0 if the results are equal, 1 if they differ.
    """
    try:
        from langgraph_alto.compare import command
        from langgraph_alto.compare.comparison import Request
    except ModuleNotFoundError as error:
        if error.name not in ("numpy", "scipy"):
            raise
        raise OptionError("compare needs more: pip install 'langgraph-alto[compare]'") from None
    if from_file is not None:
        if target is not None or inputs is not None or html_file is None:
            _refuse("--from", "takes --html FILE, and neither a TARGET nor --inputs")
        return command.prepare_redrawing(from_file, html_file)
    if target is None or inputs is None:
        _refuse("TARGET and --inputs", "both are needed, or --from REPORT.json --html FILE")
    how = Request(
        runs=runs,
        concurrency=_read_numbers("--concurrency", concurrency),
        warm_up=warm_up,
        options=_read_options(executor_options, "--executor-options")[1]
        or _checked(Options.from_environment),
        ablate=ablate,
        ignore=tuple(ignore or ()),
        timeout=timeout or None,
        mode=mode,
        record=record,
        replay=replay,
        noise=noise,
        stream_modes=tuple(m.value for m in stream_mode) if stream_mode else ("custom",),
        seed=seed,
    )
    request = command.prepare(
        target,
        inputs,
        how,
        against_file=against,
        json_file=json_file,
        html_file=html_file,
        arguments=_arguments.get(),
    )
    return functools.partial(command.run, request)


def _read_numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        _refuse(option, f"{text!r} must be whole numbers, such as 1,8")


class _ExecCommand(typer.core.TyperCommand):
    """Leaves everything from the program's name on to the program.

    The parser would otherwise take `-m`, and options that the program has too, for ours.
    """

    _OURS = ("--options", "--help")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        position = 0
        while position < len(args) and args[position].split("=", 1)[0] in self._OURS:
            position += 2 if args[position] == "--options" else 1
        # An --options without a value is the parser's to refuse.
        if position <= len(args) and args[position : position + 1] != ["--"]:
            args = [*args[:position], "--", *args[position:]]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


@app.command(name="exec", cls=_ExecCommand)
def exec_(
    program: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-m MODULE | SCRIPT.py | COMMAND] [ARGS]...", show_default=False),
    ] = None,
    options: Annotated[str | None, typer.Option(metavar="JSON", help=OPTIONS_HELP)] = None,
) -> Action:
    """Run a script, module or command unchanged, with its graphs on the ALTO executor.

    Its child processes and reloads included: langgraph dev, uvicorn app:app --reload.
    """
    from langgraph_alto.launch import become

    values, _ = _read_options(options)
    return functools.partial(become, program or [], values)


def _read_options(
    text: str | None, option: str = "--options"
) -> tuple[dict[str, Any] | None, Options | None]:
    """`--options` as given and as checked; what `LANGGRAPH_ALTO_OPTIONS` holds is checked too."""
    if text is None:
        _checked(Options.from_environment)
        return None, None
    values = _read_object(option, text)
    return values, _checked(functools.partial(Options, **values))


def _checked(make: Callable[[], Options]) -> Options:
    try:
        return make()
    except TypeError as error:  # a value of a kind that Options can't even look at
        raise OptionError(f"Bad value in the options: {error}.") from None


def _read_object(option: str, text: str) -> dict[str, Any]:
    value = _read_json(option, text)
    if not isinstance(value, dict):
        _refuse(option, f"must be a JSON object such as {{}}, not {type(value).__name__}")
    return value


def _read_json(option: str, text: str, *, stdin: bool = False) -> Any:
    """The value of an option: JSON, or `@FILE` or `-` that hold JSON."""
    source = ""
    try:
        if stdin and text == "-":
            source = "stdin: "
            text = sys.stdin.read()
        elif text.startswith("@"):
            source = f"{text[1:]}: "
            text = Path(text[1:]).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        _refuse(option, f"can't read {text[1:]!r}: {error.strerror}")
    except UnicodeDecodeError as error:
        _refuse(option, f"{source}not UTF-8 text: {error.reason}")
    except json.JSONDecodeError as error:
        _refuse(option, f"{source}not valid JSON: {error}")


def _refuse(option: str, problem: str) -> NoReturn:
    raise OptionError(f"{option}: {problem}.")
