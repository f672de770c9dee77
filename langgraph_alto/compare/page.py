"""A report as one HTML file that loads nothing and runs only its own script.

What a report says (names of nodes, errors, values) reaches the page through a template that
escapes it, and the page's policy runs no script but the package's own, known by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any

from langgraph_alto.compare import page_view as view
from langgraph_alto.compare import wording
from langgraph_alto.compare.flows import NAMES, flows
from langgraph_alto.compare.page_words import outcome
from langgraph_alto.compare.report import Report
from langgraph_alto.errors import OptionError
from langgraph_alto.flow.page import Fragment, waterfall

LIBRARIES = ("jinja2", "matplotlib")


def require_libraries() -> None:
    """Tell before hours are spent that a page can't be drawn here.

    Raises:
        OptionError: The extra `compare` is not installed.
    """
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise OptionError(
            f"a report page needs {' and '.join(missing)}: pip install 'langgraph-alto[compare]'."
        )


def to_html(report: Report) -> str:
    """Draw a report.

    Raises:
        OptionError: The extra `compare` is not installed.

    Example:
        >>> from pathlib import Path
        >>> def redraw(file: Path) -> None:
        ...     report = Report.model_validate_json(file.read_text("utf-8"))
        ...     file.with_suffix(".html").write_text(to_html(report), "utf-8")
    """
    require_libraries()
    from markupsafe import Markup

    fragment = _waterfalls(report)
    # The order of the scripts is that of the hashes in the policy; all of them are ours.
    scripts = [_asset("report.js")] + ([fragment.js] if fragment else [])
    styles = [_asset("report.css")] + ([fragment.css] if fragment else [])
    drawn: str = _template().render(
        report=report,
        executor_names=NAMES,
        policy=_policy(scripts),
        styles=[Markup(style) for style in styles],
        scripts=[Markup(script) for script in scripts],
        waterfalls=Markup(fragment.html) if fragment else None,
        **view.values(report),
    )
    return drawn


def _waterfalls(report: Report) -> Fragment | None:
    typical = report.typical
    if typical is None or not (typical.langgraph.spans or typical.alto.spans):
        return None
    drawn = flows(typical, graph=report.graph)
    return waterfall(drawn, label="A typical run on LangGraph and on ALTO")


def _policy(scripts: Sequence[str]) -> str:
    """What the browser may do with the page: show it and run our scripts, nothing else.

    Styles may stand inline, since the plots hold theirs in attributes.
    """
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'unsafe-inline'; script-src {' '.join(_hash(text) for text in scripts)}"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _asset(name: str) -> str:
    return resources.files("langgraph_alto.compare").joinpath("web", name).read_text("utf-8")


@cache
def _template() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "seconds": wording.seconds,
        "number": wording.number,
        "percent": wording.percent,
        "rate": wording.rate,
        "ratio": wording.ratio,
        "plain_ratio": wording.plain_ratio,
        "outcome": outcome,
    }
    environment.filters.update(filters)
    return environment.get_template("report.html.j2")
