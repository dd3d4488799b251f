"""The main job by hand: bring a workflow, publish, review, find, install, run, watch."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from tests.browser.conftest import ROOT, Product

EXAMPLES = ROOT / "apps" / "nodes" / "examples"
LONG = 120_000


def example(name: str, title: str, folder: Path) -> Path:
    """An example document under a title of its own."""
    document = json.loads((EXAMPLES / f"{name}.json").read_text())
    document["name"] = title
    file = folder / f"{name}.json"
    file.write_text(json.dumps(document))
    return file


def bring(page: Any, slug: str, file: Path) -> None:
    """Create a workflow from a file and commit it."""
    page.goto(f"/t/{slug}/workflows/new/")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Create workflow").click()
    page.get_by_role("link", name="Versions").click()
    page.get_by_label("Message").fill("First version")
    page.get_by_role("button", name="Commit").click()
    page.get_by_text("v1.0.0").first.wait_for()


def publish(page: Any, *, tagline: str) -> None:
    """Hand the committed workflow in."""
    page.get_by_role("link", name="Publish", exact=True).click()
    page.get_by_label("Tagline").fill(tagline)
    page.get_by_label("Tags").fill("cars, etl, quality")
    page.get_by_label("Description").fill("Validates **every row** and keeps what is wrong aside.")
    page.get_by_label("What is new").fill("First release.")
    page.get_by_role("button", name="Send to scan and review").click()


def approve(page: Any, title: str, picture: Any) -> None:
    """As staff: open the release in the queue and let it pass."""
    page.goto("/staff/approvals/")
    picture(page, "approvals")
    page.get_by_role("link", name=title).first.click()
    picture(page, "approval")
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("it is on the marketplace").wait_for()


def install(page: Any, title: str, picture: Any) -> None:
    """Find it, read the plan, agree, install."""
    page.goto("/marketplace/")
    page.get_by_label("Search workflows").fill(title)
    page.get_by_role("button", name="Search", exact=True).click()
    picture(page, "search")
    page.get_by_role("link", name=title).click()
    picture(page, "listing")
    page.get_by_role("link", name="Install in Globex").click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_text("What will be written").wait_for()
    picture(page, "install-dialog")
    dialog.get_by_label("File name").fill("mine")
    for box in dialog.locator("input[type=checkbox]").all():
        box.check()
    dialog.get_by_role("button", name="Install").click()
    page.get_by_text("It is ready to run").wait_for()
    picture(page, "installation")


def test_a_workflow_travels_from_one_organization_to_another(
    product: Product, visit: Any, picture: Any, tmp_path: Path
) -> None:
    title = f"Cars {uuid.uuid4().hex[:6]}"
    author = visit(product.acme)
    bring(author, "acme", example("cars_etl", title, tmp_path))
    picture(author, "versions")
    publish(author, tagline="Clean rows in, bad rows aside, one Parquet out.")
    author.get_by_text("Awaiting approval").first.wait_for(timeout=LONG)
    picture(author, "release-waiting")
    approve(visit(product.staff), title, picture)
    user = visit(product.globex)
    install(user, title, picture)
    user.get_by_role("link", name="Run it").click()
    picture(user, "start")
    user.get_by_role("button", name="Start run").click()
    user.locator("#live").wait_for()
    picture(user, "run-begin")
    # The page moves by itself: nobody reloads it here.
    user.locator("#live:not([hx-get])").wait_for(timeout=LONG)
    picture(user, "run-end")
    assert user.locator("#live .stat .pill").inner_text() == "Succeeded"
    with user.expect_download() as download:
        user.get_by_role("link", name="Download").first.click()
    assert Path(download.value.path()).stat().st_size > 0


def start_sample(page: Any, slug: str, name: str) -> None:
    """Run one of the seeded workflows and look at the run."""
    page.goto(f"/t/{slug}/workflows/")
    page.get_by_role("link", name=name).click()
    page.get_by_role("link", name="Run", exact=True).click()
    page.get_by_role("button", name="Start run").click()


def test_the_run_page_moves_when_the_socket_rings(product: Product, visit: Any) -> None:
    page = visit(product.acme)
    said: list[str] = []
    page.on("websocket", lambda one: one.on("framereceived", lambda data: said.append(str(data))))
    start_sample(page, "acme", "Breast-cancer classifier")
    page.locator("#live:not([hx-get])").wait_for(timeout=LONG)
    page.wait_for_function("document.querySelectorAll('#live .log-line').length > 0", timeout=LONG)
    # The socket lingers for the last log lines, a little longer than the page.
    for _ in range(60):
        if any('"complete"' in one for one in said):
            break
        page.wait_for_timeout(500)
    assert any('"next"' in one for one in said)
    assert any('"complete"' in one for one in said)


def test_the_run_page_moves_without_the_socket_too(product: Product, visit: Any) -> None:
    page = visit(product.acme)
    page.route_web_socket("**/graphql", lambda socket: socket.close())
    start_sample(page, "acme", "Cars ETL")
    page.locator("#live:not([hx-get])").wait_for(timeout=LONG)
    assert page.locator("#live .stat .pill").inner_text() == "Succeeded"


def test_a_dangerous_workflow_is_refused_with_its_findings(
    product: Product, visit: Any, picture: Any, tmp_path: Path
) -> None:
    title = f"Evil {uuid.uuid4().hex[:6]}"
    author = visit(product.acme)
    bring(author, "acme", example("evil", title, tmp_path))
    publish(author, tagline="Do not install.")
    author.get_by_text("mend the findings and publish a new version").wait_for(timeout=LONG)
    picture(author, "release-refused")
    findings = author.locator(".finding")
    assert findings.count() >= 2
    assert findings.get_by_text("Critical").count() >= 1


def test_everything_needed_works_without_a_script(
    product: Product, visit: Any, picture: Any, tmp_path: Path
) -> None:
    page = visit(product.acme, script=False, width=390)
    bring(page, "acme", example("cars_etl", f"Plain {uuid.uuid4().hex[:6]}", tmp_path))
    page.get_by_role("link", name="Run", exact=True).click()
    page.get_by_role("button", name="Start run").click()
    for _ in range(60):
        if page.locator("#live .stat .pill", has_text="Succeeded").count():
            break
        page.wait_for_timeout(1000)
        page.get_by_role("link", name="Refresh").click()
    assert page.locator("#live .stat .pill", has_text="Succeeded").count() == 1
    picture(page, "run-phone-plain")


def test_no_page_is_wider_than_a_phone(product: Product, visit: Any, picture: Any) -> None:
    page = visit(product.acme, width=360, scheme="dark")
    for path in (
        "/marketplace/",
        "/t/acme/",
        "/t/acme/workflows/",
        "/t/acme/workflows/new/",
        "/t/acme/runs/",
        "/t/acme/installations/",
        "/t/acme/releases/",
        "/t/acme/settings/members/",
        "/t/acme/settings/environments/",
        "/t/acme/settings/keys/",
        "/t/acme/settings/variables/",
        "/t/acme/settings/connections/",
        "/t/acme/steps/",
        "/t/acme/settings/secrets/",
        "/t/acme/settings/audit/",
        "/t/acme/settings/usage/",
    ):
        page.goto(path)
        picture(page, "phone-dark-" + path.strip("/").replace("/", "-"))
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_the_theme_is_remembered(product: Product, visit: Any) -> None:
    page = visit(scheme="light")
    page.goto("/marketplace/")
    page.get_by_label("Switch between light and dark").click()
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"
