"""The attention viewer, the stepper and the map in a browser: mouse, keyboard, and numbers that are the model's."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

READY = "[data-inside-state=ready]"


def open_page(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(READY)


def data(site: Path, name: str) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """The model's sizes, attentions (layers, heads, tokens, tokens) and rollouts (layers, tokens, tokens)."""
    model = json.loads((site / "inside/photos.json").read_text())["model"]
    shape = tuple(model[key] for key in ("layers", "heads", "tokens", "tokens"))
    numbers = np.frombuffer((site / f"inside/{name}.bin").read_bytes(), "<f4")
    return model, numbers[: math.prod(shape)].reshape(shape), numbers[math.prod(shape) :].reshape(-1, *shape[2:])


def shown(page: Any, side: str) -> np.ndarray:
    """The exact shares that the page shows: prefix tokens, then patches."""
    panel = f"[data-side={side}].inside-grid"
    patches = page.eval_on_selector_all(f"{panel} [data-token]", "x => x.map(c => Number(c.dataset.value))")
    section = page.locator(".inside-panel").nth(0 if side == "left" else 1)
    prefix = section.locator(".inside-special").evaluate_all("x => x.map(c => Number(c.dataset.value))")
    return np.array(prefix + patches)


def printed(page: Any, side: str) -> list[str]:
    return page.locator(f"[data-side={side}].inside-grid [data-token] span").all_text_contents()


@pytest.mark.parametrize(
    ("photo", "layer", "head", "query"),
    [("chelsea", 1, 1, "class"), ("astronaut", 3, 2, "4-5"), ("coffee", 6, 4, "distillation"), ("rocket", 2, 3, "8-8")],
)
def test_numbers_are_the_models(
    page: Any, site: Path, site_url: str, photo: str, layer: int, head: int, query: str
) -> None:
    open_page(page, f"{site_url}viewer/?photo={photo}&layer={layer}&head={head}&left={query}&right=distillation")
    model, attentions, _ = data(site, photo)
    rows, columns = (int(x) for x in query.split("-")) if "-" in query else (0, 0)
    token = {"class": 0, "distillation": 1}.get(query, 2 + (rows - 1) * model["grid"][1] + columns - 1)
    expected = attentions[layer - 1, head - 1, token]
    np.testing.assert_array_equal(shown(page, "left").astype(np.float32), expected)
    assert printed(page, "left") == [f"{100 * share:.2f}" for share in expected[2:].astype(np.float64)]
    np.testing.assert_array_equal(shown(page, "right").astype(np.float32), attentions[layer - 1, head - 1, 1])


def test_mean_and_rollout(page: Any, site: Path, site_url: str) -> None:
    _, attentions, rollouts = data(site, "chelsea")
    open_page(page, f"{site_url}viewer/?photo=chelsea&layer=4&head=mean&left=class")
    mean = attentions[3].astype(np.float64).mean(axis=0)[0]
    np.testing.assert_allclose(shown(page, "left"), mean, rtol=1e-7)
    page.get_by_role("radio", name="rollout up to the layer").check()
    np.testing.assert_array_equal(shown(page, "left").astype(np.float32), rollouts[3, 0])
    assert page.locator("fieldset:disabled legend").text_content() == "Head"
    assert "attention_rollout(output.attentions[:4])" in page.locator(".inside-python").first.text_content()


def test_mouse_and_address(page: Any, site: Path, site_url: str) -> None:
    open_page(page, f"{site_url}viewer/")
    page.get_by_role("radio", name="Coffee").check()
    page.get_by_role("group", name="Layer").get_by_role("radio", name="2").check()
    page.get_by_role("group", name="Head").get_by_role("radio", name="3").check()
    page.get_by_role("grid").first.get_by_role("gridcell", name="row 5, column 6").click()
    page.wait_for_function("document.querySelector('h2').textContent.includes('row 5, column 6')")
    _, attentions, _ = data(site, "coffee")
    expected = attentions[1, 2, 2 + 4 * 8 + 5]
    np.testing.assert_array_equal(shown(page, "left").astype(np.float32), expected)
    best = int(expected[2:].argmax())
    summary = page.locator(".inside-summary").first.text_content()
    assert summary.startswith(
        f"Layer 2, head 3, patch in row 5, column 6: looks most at row {best // 8 + 1}, column {best % 8 + 1} "
        f"({100 * expected[2:].max():.2f}%)"
    )
    address = page.url
    open_page(page, address)  # who gets the address sees the same
    np.testing.assert_array_equal(shown(page, "left").astype(np.float32), expected)


def test_keyboard(page: Any, site_url: str) -> None:
    open_page(page, f"{site_url}viewer/")
    grid = page.get_by_role("grid").first
    grid.locator("[tabindex='0']").focus()
    focused = "document.activeElement.getAttribute('aria-label')"
    for key, place in [
        ("ArrowRight", "row 1, column 2"),
        ("ArrowDown", "row 2, column 2"),
        ("End", "row 2, column 8"),
        ("ArrowRight", "row 2, column 8"),
        ("Home", "row 2, column 1"),
        ("Control+End", "row 8, column 8"),
        ("ArrowUp", "row 7, column 8"),
    ]:
        page.keyboard.press(key)
        assert page.evaluate(focused).startswith(f"{place}:")
    assert page.locator("h2").first.text_content() == "Looking from: class token"  # moving does not choose
    page.keyboard.press("Enter")
    assert page.locator("h2").first.text_content() == "Looking from: patch in row 7, column 8"
    assert page.evaluate(focused).startswith("row 7, column 8:")  # the focus stays
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    assert page.locator("h2").first.text_content() == "Looking from: patch in row 7, column 7"
    assert grid.locator("[tabindex='0']").count() == 1
    assert grid.locator("[aria-selected=true]").count() == 1
    page.get_by_role("button", name="class token gets").first.press("Enter")
    assert page.locator("h2").first.text_content() == "Looking from: class token"


def test_overview_and_table(page: Any, site: Path, site_url: str) -> None:
    open_page(page, f"{site_url}viewer/?photo=rocket")
    page.get_by_role("gridcell", name="layer 5, head 2").click()
    _, attentions, _ = data(site, "rocket")
    np.testing.assert_array_equal(shown(page, "left").astype(np.float32), attentions[4, 1, 0])
    page.locator(".inside-panel summary").first.click()
    cells = page.locator(".inside-panel").first.locator("td[title]").all_text_contents()
    assert cells == [f"{100 * share:.2f}" for share in attentions[4, 1, 0, 2:].astype(np.float64)]


def test_predictions(page: Any, site: Path, site_url: str) -> None:
    open_page(page, f"{site_url}viewer/?photo=astronaut")
    book = json.loads((site / "inside/photos.json").read_text())
    photo = next(photo for photo in book["photos"] if photo["name"] == "astronaut")
    for head in ("class", "distillation", "average"):
        probabilities = np.array(photo["heads"][head]["probabilities"])
        order = np.argsort(-probabilities)[:5]
        texts = page.locator(f"[data-head={head}] li").all_text_contents()
        assert texts == [f"{book['model']['classes'][i]}{100 * probabilities[i]:.2f}%" for i in order]


def test_steps_by_click_key_and_slider(page: Any, site: Path, site_url: str) -> None:
    steps = json.loads((site / "inside/steps.json").read_text())["steps"]
    open_page(page, f"{site_url}steps/")
    name = page.locator(".inside-facts dd").first
    assert name.text_content() == steps[0]["name"]
    page.get_by_role("button", name="Next").click()
    page.wait_for_function(f"document.querySelector('.inside-facts dd').textContent === {steps[1]['name']!r}")
    page.keyboard.press("ArrowRight")  # the focus is on the button
    page.wait_for_function(f"document.querySelector('.inside-facts dd').textContent === {steps[2]['name']!r}")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"document.querySelector('.inside-facts dd').textContent === {steps[1]['name']!r}")
    page.get_by_role("slider").press("End")
    page.wait_for_function("document.querySelector('.inside-facts dd').textContent === 'logits'")
    page.get_by_role("button", name="Next").click(force=True)  # the last step: nothing happens
    assert name.text_content() == "logits"


@pytest.mark.parametrize("folded", [True, False])
def test_every_step_is_reached_in_order(page: Any, site: Path, site_url: str, folded: bool) -> None:
    steps = json.loads((site / "inside/steps.json").read_text())["steps"]
    open_page(page, f"{site_url}steps/")
    page.get_by_role("checkbox").set_checked(folded)
    expected = [
        step["name"]
        for step in steps
        if not folded
        or not step["name"].startswith("blocks.")
        or step["name"].startswith("blocks.0.")
        or step["name"].endswith(".output")
    ]
    for i, step in enumerate(expected):
        page.wait_for_function(f"document.querySelector('.inside-facts dd').textContent === {step!r}")
        assert page.locator(".inside-pictures").locator("canvas, img, ol").count() > 0
        assert page.locator("[aria-current=step]").count() == 1
        if i + 1 < len(expected):
            page.get_by_role("button", name="Next").click()


def test_a_steps_picture_code_and_numbers(page: Any, site: Path, site_url: str) -> None:
    steps = json.loads((site / "inside/steps.json").read_text())["steps"]
    step = next(step for step in steps if step["name"] == "blocks.2.attention.scores")
    open_page(page, f"{site_url}steps/?step={step['name']}")
    assert "(1, 4, 66, 66)" in page.locator(".inside-facts").text_content()
    assert page.locator(".inside-code pre").text_content() == step["code"]
    assert page.locator(".inside-pictures canvas").count() == step["shape"][1]
    colors = page.locator(".inside-pictures canvas").first.evaluate(
        "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
    )
    assert colors > 10
    link = page.locator(".inside-code a").first
    assert link.get_attribute("href") == site_url + step["source_link"]
    page.get_by_text("Some of the numbers").click()
    titles = page.locator(".inside-table td").evaluate_all("x => x.map(c => Number(c.title))")
    np.testing.assert_array_equal(titles, np.ravel(step["corner"]))


def test_links_to_code_lead_to_the_line(page: Any, site: Path, site_url: str) -> None:
    if not (site / "source").is_dir():
        pytest.skip("this site has no source pages")
    open_page(page, f"{site_url}steps/?step=blocks.0.attention.probabilities")
    page.locator(".inside-code a").first.click()
    page.wait_for_url("**/source/numpy_backend/attention/#*")
    anchor = page.url.split("#")[1]
    page.wait_for_selector(f"[id='{anchor}']", state="attached")
    assert "softmax(scores)" in page.locator(f"[id='{anchor}']").text_content()


def test_map_changes_shapes(page: Any, site: Path, site_url: str) -> None:
    open_page(page, f"{site_url}map/")
    box = page.get_by_role("combobox", name="Shapes of")
    assert box.input_value() == "deit-base-distilled-patch16-224"
    before = page.locator("svg [data-shape]").all_text_contents()
    assert "(1, 12, 198, 198)" in before
    for variant in json.loads((site / "inside/variants.json").read_text()):
        box.select_option(variant["name"])
        texts = page.locator("svg [data-shape]").all_text_contents()
        assert "(1, {heads}, {tokens}, {tokens})".format(**variant) in texts
        assert "(1, {tokens}, {hidden})".format(**variant) in texts
        assert (page.locator("svg .absent").count() == 0) == variant["distilled"]
    box.select_option("deit-base-distilled-patch16-224")
    assert page.locator("svg [data-shape]").all_text_contents() == before
    page.locator("[data-inside] svg a", has_text="scores, softmax").click()
    page.wait_for_url("**/chapters/attention/")


def test_without_loading_anew(page: Any, site: Path, site_url: str) -> None:
    """Material replaces the page's content on a click: the parts stop and start."""
    # It does so for addresses of the sitemap, which names the host that the site was built for.
    sitemap = (site / "sitemap.xml").read_text()
    built_for = min(re.findall("<loc>(.*?)</loc>", sitemap), key=len)
    page.route("**/sitemap.xml", lambda route: route.fulfill(body=sitemap.replace(built_for, site_url)))
    open_page(page, f"{site_url}map/")
    page.wait_for_load_state("networkidle")  # Material reads the sitemap first
    for name, there in [
        ("viewer", ".inside-grid"),
        ("steps", ".inside-facts"),
        ("map", "[data-shape]"),
        ("viewer", ".inside-grid"),
    ]:
        page.evaluate("window.still = true")
        page.evaluate(f"document.querySelector('a[href$=\"{name}/\"]').click()")
        page.wait_for_selector(there)
        page.wait_for_selector(READY)
        assert page.evaluate("window.still") is True
    page.keyboard.press("ArrowRight")  # the stepper no longer listens
    assert "step=" not in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("address", ["viewer/", "steps/?step=blocks.0.attention.probabilities", "map/"])
def test_accessible_and_no_wider_than_the_screen(
    page: Any, site_url: str, address: str, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    open_page(page, site_url + address)
    violations = axe.Axe().run(page, context="[data-inside]").response["violations"]
    serious = [(v["id"], v["nodes"][0]["html"]) for v in violations if v["impact"] in ("serious", "critical")]
    assert serious == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_bad_addresses_show_the_default(page: Any, site_url: str) -> None:
    open_page(page, f"{site_url}viewer/?photo=nobody&layer=99&head=x&left=9-9&colors=-5&scale=odd")
    assert page.get_by_role("radio", name="Chelsea the cat").is_checked()
    assert page.locator("h2").first.text_content() == "Looking from: class token"
    open_page(page, f"{site_url}steps/?step=nothing")
    assert page.locator(".inside-facts dd").first.text_content() == "images.0.image"
