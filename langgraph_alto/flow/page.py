"""Flows as HTML: a fragment for a page of yours, or a page that needs nothing else.

What the spans say reaches the page only as JSON text inside a script element that is not run,
and from there only as text nodes, so a node named `<script>` does nothing.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template

from langgraph_alto.flow.model import Flow
from langgraph_alto.flow.payload import payload


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of a page. `css` and `js` are needed once, however many fragments a page has.

    All CSS is scoped to the class `alto-flow`. The script fills the fragments that it finds when
    the page is loaded. Colours follow the reader's system, or `data-theme="light"` or `"dark"`
    on the page's root element.
    """

    html: str
    css: str
    js: str


def waterfall(flows: Sequence[Flow], *, label: str = "Flow of partial outputs") -> Fragment:
    """Draw flows below each other on one time axis, each from its own start.

    `label` names the drawing for screen readers.

    Example:
        >>> from langgraph_alto.flow import Span
        >>> alto = Flow("report", (Span("a", "plan", 0, 2),), executor="alto")
        >>> other = Flow("report", (Span("a", "plan", 0, 3),), executor="langgraph")
        >>> "plan" in waterfall([alto, other]).html
        True
    """
    data = script_json({"flows": [payload(flow) for flow in flows]})
    body = (
        f'<section class="alto-flow" aria-label="{html.escape(label)}">\n'
        f'<script type="application/json">{data}</script>\n'
        f"<noscript>This drawing needs JavaScript; it loads nothing.</noscript>\n"
        f"</section>\n"
    )
    return Fragment(body, _asset("flow.css"), _asset("flow.js"))


def page(flows: Sequence[Flow], *, title: str = "Flow") -> str:
    """A whole page with `waterfall(flows)`: a file that loads nothing and runs no other code."""
    fragment = waterfall(flows)
    page_css = _asset("page.css")
    page_js = _asset("page.js")
    policy = (
        f"default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src {_hash(fragment.js)} {_hash(page_js)}; "
        f"style-src {_hash(page_css)} {_hash(fragment.css)}"
    )
    return Template(_asset("page.html")).substitute(
        policy=policy,
        title=html.escape(title),
        page_css=page_css,
        flow_css=fragment.css,
        body=fragment.html,
        page_js=page_js,
        flow_js=fragment.js,
    )


def script_json(value: object) -> str:
    """JSON that can't end the script element it stands in.

    Example:
        >>> script_json({"name": "</script>"})
        '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _asset(name: str) -> str:
    return resources.files("langgraph_alto.flow").joinpath("web", name).read_text("utf-8")
