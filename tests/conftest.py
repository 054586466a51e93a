"""Shapes in signatures are checked in every test, Hypothesis draws the same cases on every machine, and browser tests
find a built site (DEIT_REF_SITE is its folder) and a page of headless Chromium that may ask no other host."""

import functools
import inspect
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import jaxtyping
import pytest
from hypothesis import HealthCheck, Phase, settings
from jaxtyping import install_import_hook
from served import served

# Chapters are checked against their axis strings; the hook must stand before their first import.
install_import_hook(["deit_ref.numpy_backend", "deit_ref.torch_backend"], "beartype.beartype")

_jaxtyped, _made = jaxtyping.jaxtyped, Counter[CodeType]()


def _jaxtyped_at_first(function: Any = None, *, typechecker: Any) -> Any:
    """Checks the first 20 of the functions that the way back makes anew in each call: the making costs most."""
    if function is None:
        return functools.partial(_jaxtyped_at_first, typechecker=typechecker)
    if inspect.isfunction(function):
        _made[function.__code__] += 1
        if _made[function.__code__] > 20:
            return function
    return _jaxtyped(function, typechecker=typechecker)


jaxtyping.jaxtyped = _jaxtyped_at_first

_common = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile("ci", max_examples=15, derandomize=True, **_common)
settings.register_profile("thorough", max_examples=2000, **_common)
# The same cases as "ci"; whether one fails is all that is asked, and not which is the smallest that does.
settings.register_profile("unshrunk", settings.get_profile("ci"), phases=(Phase.explicit, Phase.generate))
settings.load_profile(os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE", "ci"))


CHROMIUM = "/usr/bin/chromium"
# No sandbox inside a container, and none of the browser's own requests.
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="session")
def site() -> Path:
    folder = os.environ.get("DEIT_REF_SITE")
    if not folder:
        pytest.skip("DEIT_REF_SITE is not set: build the site (mkdocs build) and give its folder")
    return Path(folder)


@pytest.fixture(scope="session")
def site_url(site: Path) -> Iterator[str]:
    with served(site) as url:
        yield url


@pytest.fixture(scope="session")
def browser(site: Path) -> Iterator[Any]:
    """Not begun without a site: Playwright leaves an event loop running, and no notebook runs beside it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, site_url: str) -> Iterator[Any]:
    """A page that fails its test on a console error, an exception, or a request to another host."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: None if _local(request.url, site_url) else wrong.append(request.url))
    yield page
    context.close()
    assert not wrong


def _local(url: str, site_url: str) -> bool:
    return url.startswith((site_url, "data:", "blob:"))
