"""A real headless Chromium for pages: no network, and everything that the page complains about.

Playwright's driver is used with the Chromium of the machine; it downloads none. Use the fixture in
a module of its own: while it is open, the main thread counts as running an event loop.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str:
    """The path of the browser; skips the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here: `apt-get install chromium`, as .ci/run does where it can")
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    """Start it, and end it after the block."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Without a user of its own, as in a container, Chromium can't build its sandbox.
        launched = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield Browser(launched)
        finally:
            launched.close()


class Browser:
    """Opens pages."""

    def __init__(self, launched: Any) -> None:
        self._launched = launched

    @contextmanager
    def page(
        self,
        file: Path,
        *,
        scheme: str = "light",
        size: tuple[int, int] = (1280, 800),
        touch: bool = False,
    ) -> Iterator[Any]:
        """Open a file; when the block ends, it must not have complained nor asked the network."""
        context = self._launched.new_context(
            color_scheme=scheme,
            viewport={"width": size[0], "height": size[1]},
            has_touch=touch,
            offline=True,
        )
        page = context.new_page()
        page.set_default_timeout(10_000)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:"))
                or complaints.append(f"asked for {request.url}")
            ),
        )
        try:
            page.goto(file.as_uri())
            yield page
        finally:
            context.close()
        assert complaints == []

    def picture(self, url: str, path: Path, *, wait: str, size: tuple[int, int]) -> None:
        """A screenshot of a page of somebody else's, once it shows something."""
        page = self._launched.new_page(viewport={"width": size[0], "height": size[1]})
        page.goto(url)
        page.locator(wait).first.wait_for()
        page.screenshot(path=str(path))
        page.close()
