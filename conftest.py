"""Makes pytest run the code blocks of README.md and docs/, see tests/helpers/markdown.py."""

from __future__ import annotations

import pytest
from sybil.integration.pytest import SybilItem

from tests.helpers.markdown import PAGES

pytest_collect_file = PAGES.pytest()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Blocks go on where the one before stopped, so a page is run as a whole or not at all."""
    for item in items:
        if isinstance(item, SybilItem):
            item.add_marker("slow")
            item.add_marker(pytest.mark.timeout(150))  # a command loads LangGraph anew
