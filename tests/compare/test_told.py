"""What of an application's content a report holds: its inputs and its errors, and nothing else."""

from __future__ import annotations

import pytest

from langgraph_alto.compare.page import to_html
from tests.helpers import secrets
from tests.helpers.compared import compared

pytestmark = pytest.mark.slow


def test_a_report_shows_inputs_and_no_other_content() -> None:
    """No state, result, prompt, answer, or tool's argument or result, where results are equal."""
    given = [{"question": secrets.secret("input")}]
    report = compared(secrets.build(), given, runs=2, warm_up=0)
    assert report.equal
    assert report.runs[0].pairs
    page = to_html(report)
    assert "tells all" in page
    for text in (page, report.to_json()):
        assert secrets.told(text) == ["input"]


def test_a_report_shows_the_error_of_an_input_that_fails() -> None:
    """It is what one needs to know of it; but none of what the failed run held."""
    given = [{"question": "fail"}, {"question": "something else"}]
    report = compared(secrets.build(), given, runs=1, warm_up=0, noise=False)
    for text in (to_html(report), report.to_json()):
        assert secrets.told(text) == ["error"]
