"""A product of its own and a browser. Without `make browser` nothing here is even collected."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.supervisor.ports import any_free

ROOT = Path(__file__).parents[2]
IS_WANTED = os.environ.get("NSTARX_BROWSER") == "1"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
# Pictures of every page on the way, when somebody wants to look at them.
PICTURES = os.environ.get("NSTARX_PICTURES")
# A product that is running already (its demo.json), instead of one started here.
DEMO_FILE = os.environ.get("NSTARX_DEMO_FILE")

collect_ignore_glob = [] if IS_WANTED else ["test_*.py"]

START_SECONDS = 240


@dataclass(frozen=True)
class Account:
    """Somebody who can sign in."""

    email: str
    password: str
    slug: str = ""


@dataclass(frozen=True)
class Product:
    """A running product and who lives in it."""

    url: str
    acme: Account
    globex: Account
    viewer: Account
    staff: Account


def _product(demo: dict[str, Any]) -> Product:
    def account(one: dict[str, str]) -> Account:
        return Account(one["email"], one["password"], one.get("slug", ""))

    tenants = {one["slug"]: one for one in demo["tenants"]}
    viewer = next(one for one in demo["members"] if one["role"] == "viewer")
    return Product(
        url=demo["url"],
        acme=account(tenants["acme"]),
        globex=account(tenants["globex"]),
        viewer=account(viewer),
        staff=account(demo["staff"]),
    )


@pytest.fixture(scope="session")
def product() -> Iterator[Product]:
    """The whole product on throw-away data."""
    if DEMO_FILE:
        yield _product(json.loads(Path(DEMO_FILE).read_text()))
        return
    with tempfile.TemporaryDirectory(prefix="nstarx-browser-") as directory:
        command = [sys.executable, "-m", "config.supervisor", "up", "--data-dir", directory]
        # A port of its own: the usual one may be another product's, whose logins are not these.
        environment = {**os.environ, "NSTARX_WEB_PORT": str(any_free())}
        process = subprocess.Popen(
            [*command, "--workers", "1"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
        )
        try:
            demo = Path(directory) / "demo.json"
            until = time.monotonic() + START_SECONDS
            while not demo.exists():
                assert process.poll() is None, "the product did not start"
                assert time.monotonic() < until, "the product did not start in time"
                time.sleep(0.5)
            yield _product(json.loads(demo.read_text()))
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: install it and run `make browser` again")
    # Installed by `make browser` only, and not where the types are checked.
    playwright_api = importlib.import_module("playwright.sync_api")
    with playwright_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield started
        started.close()


Visit = Callable[..., Any]


@pytest.fixture
def visit(browser: Any, product: Product) -> Iterator[Visit]:
    """`page = visit(account, width=…, scheme=…, script=…)`: signed in; no page may complain."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_page(
        account: Account | None = None,
        *,
        width: int = 1280,
        scheme: str = "light",
        script: bool = True,
    ) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=script,
            base_url=product.url,
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on(
            "console",
            lambda message: (
                complaints.append(f"{page.url}: {message.text}")
                if message.type == "error" and "status of 4" not in message.text
                else None
            ),
        )
        if account is not None:
            page.goto("/accounts/login/")
            page.fill("input[name=login]", account.email)
            page.fill("input[name=password]", account.password)
            page.click("form button")
            page.wait_for_url("**/t/**" if account.slug else "**/*")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Any, str], None]:
    """Keep a picture of the page if somebody wants them."""

    def keep(page: Any, name: str) -> None:
        if PICTURES:
            folder = Path(PICTURES)
            folder.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=folder / f"{name}.png", full_page=True)

    return keep
