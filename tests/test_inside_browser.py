"""Viewer, stepper, map and the home page's small lab in a browser: mouse, keyboard, and numbers of the NumPy book."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

import deit_ref
from deit_ref.numpy_backend.attention import attention_rollout
from deit_ref.numpy_backend.layers import softmax
from deit_ref.photos import bundled_photo

READY = "[data-inside-state=ready]"
# Layout shifts count for what is seen, from the first paint on; those within half a second of a click are the reader's.
WATCH_SHIFTS = """window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });"""


@cache
def book(photo: str) -> tuple[Any, deit_ref.Trace]:
    """What the NumPy chapters make of a photo."""
    trace = deit_ref.Trace()
    output = deit_ref.forward(deit_ref.load_weights(), bundled_photo(photo), trace=trace, output_attentions=True)
    return output, trace


def attentions(photo: str) -> np.ndarray:
    """(layers, heads, tokens, tokens)"""
    return np.concatenate(book(photo)[0].attentions)


def close(found: Any, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def open_page(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(READY)


def shown(page: Any, side: str) -> np.ndarray:
    """The exact shares that the page shows: prefix tokens, then patches."""
    patches = page.eval_on_selector_all(
        f".inside-grid[data-side={side}] [data-place]", "x => x.map(c => Number(c.dataset.value))"
    )
    section = page.locator(".inside-panel").nth(0 if side == "left" else 1)
    prefix = section.locator(".inside-special").evaluate_all("x => x.map(c => Number(c.dataset.value))")
    return np.array(prefix + patches)


def query(page: Any) -> Mapping[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


# The viewer


@pytest.mark.parametrize(
    ("photo", "layer", "head", "left"), [("chelsea", 1, 1, "class"), ("astronaut", 3, 2, "4-5")], ids=lambda x: str(x)
)
def test_numbers_are_the_books(page: Any, site_url: str, photo: str, layer: int, head: int, left: str) -> None:
    """By an address of the old form, which named everything."""
    rest = "scale=shared&pixels=photo&colors=70&numbers=on"
    open_page(
        page,
        f"{site_url}viewer/?photo={photo}&show=attention&layer={layer}&head={head}&left={left}&right=distillation&{rest}",
    )
    token = 0 if left == "class" else 2 + 3 * 8 + 4
    expected = attentions(photo)
    close(shown(page, "left"), expected[layer - 1, head - 1, token])
    close(shown(page, "right"), expected[layer - 1, head - 1, 1])
    printed = page.locator(".inside-grid[data-side=left] [data-place] span").all_text_contents()
    close([float(text) for text in printed], np.round(100 * expected[layer - 1, head - 1, token, 2:], 2))
    output = book(photo)[0]
    rows = page.locator(".lab-classes li")
    for name, logits in (("mean", output.logits), ("distillation", output.distillation_logits)):
        close(rows.evaluate_all(f"x => x.map(row => Number(row.dataset.{name}))"), softmax(logits[0]))
    best = int(output.logits[0].argmax())
    assert (
        page.locator(".lab-headline strong")
        .text_content()
        .startswith((deit_ref.load_weights().class_names or ())[best])
    )
    page.wait_for_function("document.querySelector('.lab-live').textContent.startsWith('The answer: ')")
    assert page.locator(".lab-headline").is_visible()
    box = page.locator(".lab-headline").bounding_box()
    controls = page.locator(".inside-controls").bounding_box()
    assert abs(box["y"] - controls["y"]) < 400  # beside each other
    outside = "Outside the model" in page.locator(".views-more").text_content()
    assert outside == (photo != "chelsea")

    page.get_by_role("radio", name="mean").check()
    close(shown(page, "left"), expected[layer - 1].mean(axis=0)[token])
    page.get_by_role("radio", name="rollout up to the block").check()
    close(shown(page, "left"), attention_rollout(book(photo)[0].attentions[:layer])[0, token])
    assert page.locator("fieldset:disabled legend").text_content() == "Head"
    assert f"attention_rollout(output.attentions[:{layer}])" in page.locator(".inside-python").first.text_content()


def test_the_viewer_begins_with_the_sharpest_head(page: Any, site_url: str) -> None:
    open_page(page, f"{site_url}viewer/")
    rows = attentions("chelsea")[:, :, 0].astype(np.float64)
    most = rows[:, :, 2:].max(axis=-1)
    layer, head = np.unravel_index(most.argmax(), most.shape)
    close(shown(page, "left"), rows[layer, head])
    said = page.locator(".views-sharp").text_content()
    assert said.startswith(f"In block {layer + 1}, head {head + 1}, the class token")
    assert said.endswith(f": {most.max():.1%}.")

    page.get_by_role("radio", name="Coffee").check(force=True)  # the sharpest of another photo, computed anew
    page.wait_for_function("document.querySelector('.lab-board canvas + .inside-grid').ariaLabel.includes('coffee')")
    rows = attentions("coffee")[:, :, 0].astype(np.float64)
    most = rows[:, :, 2:].max(axis=-1)
    close(shown(page, "left"), rows[np.unravel_index(most.argmax(), most.shape)])
    assert query(page)["photo"] == "coffee"
    assert "layer" not in query(page)

    page.get_by_role("group", name="Block").get_by_role("radio", name="2").check()
    page.get_by_role("group", name="Head").get_by_role("radio", name="3").check()
    page.locator(".inside-grid[data-side=left]").get_by_role("gridcell", name="row 5, column 6").click()
    expected = attentions("coffee")[1, 2, 2 + 4 * 8 + 5]
    close(shown(page, "left"), expected)
    best = int(expected[2:].argmax())
    made = page.locator(".inside-origin a").first.get_attribute("href")
    place = f"step=blocks.1.attention.probabilities&cell=0.2.{2 + 4 * 8 + 5}.{2 + best}"
    assert made == f"{site_url}steps/?photo=coffee&{place}"
    assert (
        page.locator(".inside-summary")
        .first.text_content()
        .startswith(
            f"Block 2, head 3, patch in row 5, column 6: looks most at row {best // 8 + 1}, column {best % 8 + 1} "
            f"({100 * expected[2:].max():.2f}%)"
        )
    )
    page.get_by_role("gridcell", name="block 5, head 2").click()
    close(shown(page, "left"), attentions("coffee")[4, 1, 2 + 4 * 8 + 5])
    page.locator(".inside-table summary").first.click()
    cells = page.locator(".inside-panel").first.locator("td[title]").all_text_contents()
    close([float(cell) for cell in cells], np.round(100 * attentions("coffee")[4, 1, 2 + 4 * 8 + 5, 2:], 2))
    before = shown(page, "left")
    page.reload()  # who gets the address sees the same
    page.wait_for_selector(READY)
    np.testing.assert_array_equal(shown(page, "left"), before)


def test_keyboard(page: Any, site_url: str) -> None:
    open_page(page, f"{site_url}viewer/")
    grid = page.locator(".inside-grid[data-side=left]")
    grid.locator("[tabindex='0']").focus()
    focused = "document.activeElement.getAttribute('aria-label')"
    heading = page.locator(".inside-panel h2").first
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
    outlined = page.locator(".lab-outlined").evaluate_all("x => x.map(cell => cell.dataset.place)")
    assert outlined == [str(6 * 8 + 7)] * 3  # on the photo and on both maps
    assert heading.text_content() == "Looking from: class token"  # moving does not choose
    page.keyboard.press("Enter")
    assert heading.text_content() == "Looking from: patch in row 7, column 8"
    assert page.evaluate(focused).startswith("row 7, column 8:")  # the focus stays
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    assert heading.text_content() == "Looking from: patch in row 7, column 7"
    assert grid.locator("[tabindex='0']").count() == 1
    assert grid.locator("[aria-selected=true]").count() == 1
    page.get_by_role("button", name="class token gets").first.press("Enter")
    assert heading.text_content() == "Looking from: class token"


# The stepper

NAME = ".inside-facts dd"
# Facts of all steps, each reached by Next, and whether the buttons ever moved.
WALK = """async () => {
  const next = [...document.querySelectorAll(".inside-toolbar button")].find((b) => b.textContent.startsWith("Next"));
  const place = () => { const { x, y, width } = next.getBoundingClientRect(); return [x, y, width].join(); };
  const found = [], places = new Set();
  for (;;) {
    const [name, shape, dtype, ...numbers] = [...document.querySelectorAll(".inside-facts dd")];
    const drawn = document.querySelectorAll(".inside-pictures :is(canvas, ol)").length;
    const current = document.querySelectorAll("[aria-current=step]").length;
    const where = document.querySelector(".inside-where").textContent;
    const cells = [...document.querySelectorAll(".inside-table td")].map((cell) => Number(cell.title));
    const code = document.querySelector(".inside-code pre").textContent;
    found.push({ name: name.textContent, shape: shape.textContent, dtype: dtype.textContent, drawn, current,
      where, cells, numbers: numbers.map((n) => Number(n.dataset.value)), code });
    places.add(place());
    if (next.getAttribute("aria-disabled") === "true") return { found, places: [...places] };
    next.click();
    await new Promise(requestAnimationFrame);
  }
}"""


@pytest.mark.parametrize(("photo", "width"), [("chelsea", 1280), ("astronaut", 390)])
def test_every_step_is_the_books(page: Any, site: Path, site_url: str, photo: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, f"{site_url}steps/?photo={photo}&fold=off")
    page.evaluate("window.scrollTo(0, 420)")
    walk = page.evaluate(WALK)
    assert len(walk["places"]) == 1  # Next does not move under the pointer
    _, trace = book(photo)
    assert [step["name"] for step in walk["found"]] == list(trace)
    kinds = json.loads((site / "inside/steps.json").read_text())
    for i, step in enumerate(walk["found"]):
        value = trace[step["name"]]
        assert step["shape"] == f"({', '.join(map(str, value.shape))})"
        assert step["dtype"] == str(value.dtype)
        assert step["where"].startswith(f"Step {i + 1} of {len(trace)}: ")
        assert step["code"] == kinds[step["name"].split(".")[-1]]["code"]
        assert step["drawn"] > 0
        assert step["current"] == 1
        first = (0,) * (value.ndim - 2)
        image = value.dtype == np.uint8 or value.shape[-1] <= 4
        few = value[0] if value.ndim == 2 else value[:4, :6, 0] if image else value[first][:4, :6]
        # Of a JPEG, another decoder may make other bytes; this one is the same as Pillow's to a level or two.
        slack = 3.0 if step["name"].endswith((".image", ".resized")) else 1e-5 * float(np.abs(value).max())
        np.testing.assert_allclose(step["cells"], few.ravel(), rtol=0, atol=slack, err_msg=step["name"])
        numbers = [value.min(), value.max(), value.mean(dtype=np.float64)]
        np.testing.assert_allclose(step["numbers"], numbers, rtol=0, atol=slack, err_msg=step["name"])


def test_steps_by_click_key_slider_and_map(page: Any, site_url: str) -> None:
    names = list(book("chelsea")[1])
    open_page(page, f"{site_url}steps/")
    name = page.locator(NAME).first
    assert name.text_content() == names[0]
    page.get_by_role("button", name="Next").click()
    assert name.text_content() == names[1]
    page.keyboard.press("ArrowRight")  # the focus is on the button
    assert name.text_content() == names[2]
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowLeft")
    assert name.text_content() == names[1]
    page.get_by_role("slider", name="step").press("End")
    assert name.text_content() == "logits"
    page.get_by_role("button", name="Next").click(force=True)  # the last step: nothing happens
    assert name.text_content() == "logits"
    page.get_by_role("button", name="Block 1").click()
    page.get_by_role("button", name="Attention probabilities").click()
    page.get_by_role("button", name="Block 3").click()  # the same step there
    assert name.text_content() == "blocks.2.attention.probabilities"
    page.get_by_role("button", name="Next").click()  # folded: on to the output
    assert name.text_content() == "blocks.2.output"
    slider = page.get_by_role("slider", name="step")  # of all steps, as the words beside it are
    assert slider.input_value() == str(names.index("blocks.2.output"))
    assert slider.get_attribute("max") == str(len(names) - 1)
    slider.press("ArrowRight")  # to one that is folded
    assert name.text_content() == "blocks.3.norm1"


def test_rows_light_up_on_the_photo(page: Any, site_url: str) -> None:
    open_page(page, f"{site_url}steps/?step=blocks.0.output")
    rows = page.get_by_role("slider", name="Heat map")
    lit = "[...document.querySelectorAll('.lab-outlined')].map(cell => Number(cell.dataset.place))"
    rows.scroll_into_view_if_needed()
    box = rows.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] * 20.5 / 66)
    assert page.evaluate(lit) == [18]
    value = book("chelsea")[1]["blocks.0.output"][0, 20]
    said = page.locator(".inside-readout").text_content()
    counted = re.fullmatch(r"Patch in row 3, column 3, feature (\d+) \(index\): (\S+), at \[0, 20, \1\]", said)
    assert counted, said
    assert float(counted[2]) == pytest.approx(value[int(counted[1])], abs=2e-4)
    page.mouse.move(0, 0)
    assert page.evaluate(lit) == []
    rows.focus()
    for key in ("Home", "ArrowDown", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    assert rows.get_attribute("aria-valuetext") == "patch in row 1, column 2"
    assert page.evaluate(lit) == [1]
    page.get_by_role("gridcell", name="row 2, column 1").hover()
    assert rows.get_attribute("aria-valuetext") == "patch in row 2, column 1"
    assert page.locator(".inside-readout").text_content() == "Patch in row 2, column 1: token 11 of 66"
    page.get_by_role("gridcell", name="row 2, column 1").click()  # kept on the way
    assert query(page)["token"] == "2-1"
    page.get_by_role("button", name="Next").click()
    page.mouse.move(0, 0)
    assert page.evaluate(lit) == [8]


def test_pixels_and_patches_are_counted_alike(page: Any, site_url: str) -> None:
    """From 1: who counts pixels from there is led to the patch that is named. Indices are said to be such."""
    seen = book("chelsea")[1]["images.0.cropped"]
    row, column = 13, 30  # indices
    open_page(page, f"{site_url}steps/?photo=chelsea&step=images.0.cropped&cell={row}.{column}.1")
    said = page.locator(".views-origin h2").text_content()
    assert said == f"{seen[row, column, 1]} in Cropped: pixel in row 14, column 31, green"
    picture = page.get_by_role("slider", name="The photo at").locator("canvas")
    box = picture.bounding_box()
    picture.hover(position={"x": box["width"] * (column + 0.5) / 32, "y": box["height"] * (row + 0.5) / 32})
    said = page.locator(".inside-readout").text_content()
    assert said.startswith("Patch in row 4, column 8: pixel in row 14, column 31: red ")
    assert said.endswith(f"at [{row}, {column}]")
    assert [(n - 1) // 4 + 1 for n in (14, 31)] == [4, 8]  # patches of 4 x 4 pixels
    page.get_by_role("gridcell", name="row 4, column 4").hover()
    assert page.locator(".inside-readout").text_content() == f"Patch in row 4, column 4: token {2 + 3 * 8 + 4} of 66"


def test_scales_let_a_map_be_read(page: Any, site_url: str) -> None:
    open_page(page, f"{site_url}steps/?photo=chelsea&step=blocks.0.attention.scores")
    colors = """() => [...document.querySelectorAll('.inside-pictures canvas')].map((c) =>
      new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size)"""
    counts = {"linear": page.evaluate(colors)}
    assert len(counts["linear"]) == 4
    for scale in ("log", "rank"):
        page.get_by_role("radio", name=scale).check()
        counts[scale] = page.evaluate(colors)
    assert min(counts["rank"]) > 100  # all colors of the scale, whatever the numbers
    assert query(page)["scale"] == "rank"
    page.get_by_role("radio", name="all heads alike").check()
    assert query(page)["range"] == "shared"
    assert page.locator(".inside-pictures figcaption").first.text_content() == "head 1"
    page.get_by_role("button", name="Logits").or_(page.get_by_role("button", name="From tokens")).first.click()
    assert page.locator("fieldset:disabled").count() >= 1


CARD = ".views-origin"
INPUTS = ".views-arithmetic .views-term .views-link"


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def arrived(page: Any, step: str) -> None:
    """The browser's way back takes a moment."""
    page.wait_for_function(f"document.querySelector('{NAME}').textContent === '{step}'")
    assert query(page)["step"] == step


def said_total(page: Any) -> float:
    """What the page computed from the inputs; the first is the number's own."""
    return number(page.locator(".views-arithmetic .views-result").nth(-1).text_content())


def test_the_way_back_from_one_number(page: Any, site_url: str) -> None:
    """From a query to the norm to the sum to the patch to a pixel, each time by the largest input; and there again."""
    _, trace = book("chelsea")
    open_page(page, f"{site_url}steps/?photo=chelsea&step=blocks.0.attention.q&fold=off")
    assert (
        page.evaluate("performance.getEntriesByType('resource').filter((e) => /tour|guide/.test(e.name)).length") == 0
    )
    picture = page.get_by_role("slider", name="head 2").locator("canvas")
    box = picture.bounding_box()
    picture.click(position={"x": box["width"] * 7.5 / 32, "y": box["height"] * 11.5 / 66})
    page.wait_for_selector(".views-arithmetic")
    assert query(page)["cell"] == "0.1.11.7"
    assert query(page)["token"] == "2-2"  # its row is kept
    weights = deit_ref.load_weights()
    products = weights.blocks[0].attn.qkv.weight[32 + 7] * trace["blocks.0.norm1"][0, 11]
    order = np.argsort(-np.abs(products))
    shown = [number(text) for text in page.locator(".views-term .views-result").all_text_contents()]
    expected = [*products[order[:5]], products[order[5:]].sum(dtype=np.float64)]
    np.testing.assert_allclose(shown, expected, atol=2e-4)
    columns = page.locator(".views-columns").evaluate_all("x => x.map(row => [...row.cells].map((c) => c.textContent))")
    assert columns == [["made of", "inputs", "adds", ""], ["then", "input", "result so far", ""]]

    top = page.locator(CARD).bounding_box()["y"]
    page.evaluate(f"document.querySelector('{INPUTS}').click()")
    assert query(page)["step"] == "blocks.0.norm1"
    assert query(page)["cell"] == f"0.11.{order[0]}"
    assert page.locator(CARD).bounding_box()["y"] == pytest.approx(top, abs=1)  # nothing moves under the pointer
    way = ["blocks.0.attention.q", "blocks.0.norm1"]
    while "images.0.image" not in way:
        at = tuple(int(i) for i in query(page)["cell"].split("."))
        if not way[-1].endswith((".resized", ".cropped")):  # the browser's bytes may differ by one
            assert said_total(page) == pytest.approx(float(trace[way[-1]][at]), abs=2e-4)
        page.evaluate(f"document.querySelector('{INPUTS}').click()")
        way.append(query(page)["step"])
    assert way[2:5] in (["embeddings", "tokens", "patch_embed"], ["embeddings", "pos_embed"])
    assert page.evaluate("document.activeElement.tagName") == "H2"  # read aloud
    assert "nothing before it" in page.locator(".views-said").text_content()
    middle = len(way) // 2
    byte = page.url
    for step in reversed(way[middle:-1]):  # by the browser
        page.go_back()
        arrived(page, step)
    page.go_forward()
    arrived(page, way[middle + 1])
    heading = page.locator(".views-origin h2").text_content()
    page.reload()  # holds
    page.wait_for_selector(READY)
    assert page.locator(".views-origin h2").text_content() == heading
    page.go_back()
    arrived(page, way[middle])
    for _ in way[middle:-1]:
        page.evaluate(f"document.querySelector('{INPUTS}').click()")
    assert page.url == byte
    for step in reversed(way[middle:-1]):  # by the page, which is the same
        page.keyboard.press("Backspace")
        arrived(page, step)
    for step in reversed(way[:middle]):
        page.go_back()
        arrived(page, step)
    assert query(page)["cell"] == "0.1.11.7"
    assert page.get_by_role("button", name="back to the number before").count() == 0


def test_one_number_by_keyboard(page: Any, site_url: str) -> None:
    _, trace = book("chelsea")
    open_page(page, f"{site_url}steps/?photo=chelsea&step=blocks.0.mlp.activation")
    rows = page.get_by_role("slider", name="Heat map")
    rows.focus()
    for key in ("Home", "ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector(".views-curve svg")
    assert query(page)["cell"] == "0.1.1"
    assert query(page)["step"] == "blocks.0.mlp.activation"  # arrows in a picture do not move through the steps
    assert page.evaluate("document.activeElement.tagName") == "H2"
    assert said_total(page) == pytest.approx(float(trace["blocks.0.mlp.activation"][0, 1, 1]), abs=1e-4)
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "slider"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert query(page)["cell"] == "0.1.2"
    page.get_by_role("button", name="the number below").click()
    assert query(page)["cell"] == "0.2.2"
    page.get_by_role("button", name="Close").click()
    assert "cell" not in query(page)
    page.get_by_role("button", name="From tokens to answers").click()
    page.get_by_role("button", name="mean: Logits", exact=True).click()
    page.locator(".inside-bars .views-link").nth(3).click()
    answer = softmax(book("chelsea")[0].logits[0])[3]
    assert said_total(page) == pytest.approx(float(answer), abs=1e-4)  # what becomes of it


def test_two_steps_and_all_blocks(page: Any, site_url: str) -> None:
    _, trace = book("chelsea")
    open_page(page, f"{site_url}steps/?photo=chelsea&step=blocks.2.output&token=3-4&range=blocks")
    most = max(float(np.abs(trace[f"blocks.{i}.output"]).max()) for i in range(6))
    assert page.locator(".inside-scale span").last.text_content() == f"{most:.4f}"
    page.get_by_role("radio", name="the step before").check()
    heading = page.locator(".views-second h3")
    assert heading.text_content().startswith("Before: Block 3, Mlp: narrow")
    assert page.locator(".views-mark:visible").count() == 2  # one token in both
    kept, this = (page.locator(f".views-pair > {part}").bounding_box() for part in ("section", "div"))
    assert kept["x"] + kept["width"] <= this["x"]
    page.get_by_role("radio", name="this step, kept").check()
    assert query(page)["beside"] == "blocks.2.output"
    page.get_by_role("button", name="Block 5").click()
    assert heading.text_content().startswith("Kept: Block 3, Block output")
    small = page.locator(".views-node canvas")
    assert small.evaluate_all("x => x.every((canvas) => canvas.width > 1 && canvas.clientWidth > 10)")
    page.set_viewport_size({"width": 390, "height": 900})
    kept, this = (page.locator(f".views-pair > {part}").bounding_box() for part in ("section", "div"))
    assert kept["y"] >= this["y"] + this["height"]
    assert page.locator(".views-node canvas:visible").count() == 0
    page.locator(".views-which .views-link").first.click()
    assert query(page)["step"] == "blocks.2.output"


def test_a_walk_and_steps_that_play(page: Any, site_url: str) -> None:
    page.clock.install()  # runs by itself until it is moved; later, it would leave the site's own timers half real
    open_page(page, f"{site_url}steps/?photo=chelsea")
    page.get_by_role("button", name="A walk through the pass").click()
    said = []
    for stop in range(10):
        page.wait_for_selector(f".lab-walk[data-step='{stop}']")
        said.append(page.locator(".lab-walk p").text_content())
        card = page.locator(".lab-walk").bounding_box()
        assert card["y"] + card["height"] <= 900
        if stop == 1:  # by the other Next, and back
            left = page.get_by_text("You have left the walk at stop 2 of 10.")
            page.locator(".inside-toolbar").get_by_role("button", name="Next").click()
            assert left.is_visible()
            page.get_by_role("button", name="Back to it").click()
            arrived(page, "patches")
            assert left.count() == 0
            page.wait_for_selector(".lab-walk[data-step='1']")
        if stop < 9:
            page.locator(".lab-walk").get_by_role("button", name="Next").click()
    assert len(set(said)) == 10
    assert query(page)["step"] == "logits"
    page.get_by_role("button", name="First", exact=True).click()
    assert page.get_by_text("You go on by yourself now.").is_visible()  # the last stop sends the reader away
    page.get_by_role("button", name="Back to it").click()
    page.get_by_role("radio", name="Coffee").check(force=True)  # the same stop of another photo
    page.wait_for_function(f"document.querySelector('.lab-walk p').textContent !== {json.dumps(said[9])}")
    page.get_by_role("button", name="Leave").click()
    page.get_by_role("button", name="First", exact=True).click()
    name = page.locator(NAME).first
    names = list(book("chelsea")[1])
    page.get_by_role("button", name="Play").click()
    assert name.text_content() == names[1]
    page.clock.run_for(3100)
    assert name.text_content() == names[3]
    page.keyboard.press("Shift")  # any key
    page.clock.run_for(5000)
    assert name.text_content() == names[3]


def test_links_to_code_lead_to_the_line(page: Any, site: Path, site_url: str) -> None:
    if not (site / "source").is_dir():
        pytest.skip("this site has no source pages")
    open_page(page, f"{site_url}steps/?step=blocks.0.attention.probabilities")
    page.locator(".inside-code a").first.click()
    page.wait_for_url("**/source/numpy_backend/attention/#*")
    anchor = page.url.split("#")[1]
    page.wait_for_selector(f"[id='{anchor}']", state="attached")
    assert "softmax(scores)" in page.locator(f"[id='{anchor}']").text_content()


# The map and the home page


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


def test_a_patch_is_hidden_on_the_home_page(page: Any, site_url: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_page(page, site_url)
    page.wait_for_load_state("networkidle")
    assert not [url for url in asked if "safetensors" in url or "/engine/" in url]  # light until someone asks
    still = page.locator(".lab-still")
    box = still.bounding_box()
    still.click(position={"x": box["width"] * 2.5 / 8, "y": box["height"] * 3.5 / 8})
    page.wait_for_selector(".lab-classes li[data-mean]")
    mask = np.ones(66, bool)
    mask[2 + 3 * 8 + 2] = False
    weights = deit_ref.load_weights()
    hidden = deit_ref.forward(weights, bundled_photo("chelsea"), attention_mask=mask[None])
    rows = page.locator(".lab-classes li")
    close(rows.evaluate_all("x => x.map(row => Number(row.dataset.mean))"), softmax(hidden.logits[0]))
    change = rows.locator(".lab-change").all_text_contents()
    assert any(change)
    assert page.get_by_role("link", name="Go on in the lab").get_attribute("href") == f"{site_url}lab/?hidden=26"
    page.get_by_role("gridcell", name="row 4, column 3, hidden").press("Enter")  # and shown again
    page.wait_for_function("[...document.querySelectorAll('.lab-change')].every((e) => e.textContent === '')")


# All of them


def test_without_loading_anew(page: Any, site: Path, site_url: str) -> None:
    """Material replaces the page's content on a click: the parts stop and start, and share a photo and an engine."""
    # It does so for addresses of the sitemap, which names the host that the site was built for.
    sitemap = (site / "sitemap.xml").read_text()
    built_for = min(re.findall("<loc>(.*?)</loc>", sitemap), key=len)
    page.route("**/sitemap.xml", lambda route: route.fulfill(body=sitemap.replace(built_for, site_url)))
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url) if request.url.endswith(".safetensors") else None)
    open_page(page, f"{site_url}map/")
    page.wait_for_load_state("networkidle")  # Material reads the sitemap first
    for name, there in [
        ("viewer", ".views-right"),
        ("steps", ".inside-facts"),
        ("map", "[data-shape]"),
        ("viewer", ".views-right"),
    ]:
        page.evaluate("window.still = true")
        page.evaluate(f"document.querySelector('a[href$=\"{name}/\"]').click()")
        page.wait_for_selector(there)
        page.wait_for_selector(READY)
        assert page.evaluate("window.still") is True
        if name == "viewer" and "photo" not in query(page):
            page.get_by_role("radio", name="Rocket").check(force=True)
        if name == "steps":
            assert page.get_by_role("radio", name="Rocket").is_checked()
    assert len(loaded) == 1
    page.keyboard.press("ArrowRight")  # the stepper no longer listens
    assert "step=" not in page.url


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(
    "address", ["viewer/", "steps/?step=blocks.0.attention.probabilities&beside=before&cell=0.1.5.9", "map/", ""]
)
def test_accessible_steady_and_no_wider_than_the_screen(page: Any, site_url: str, address: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.add_init_script(WATCH_SHIFTS)
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, site_url + address)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        violations = axe.Axe().run(page, context="[data-inside]").response["violations"]
        serious = [(v["id"], v["nodes"][0]["html"]) for v in violations if v["impact"] in ("serious", "critical")]
        assert serious == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate("window.shifted") < 0.02


def test_without_javascript_pictures_stand_there(browser: Any, site_url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for address, command in (("viewer/", "deit-ref attention"), ("steps/", "deit-ref inspect")):
        page.goto(site_url + address)
        assert command in page.locator("[data-inside]").inner_text()
        assert page.locator("[data-inside] figure svg").first.is_visible()
    context.close()


def test_bad_addresses_show_the_default(page: Any, site_url: str) -> None:
    open_page(page, f"{site_url}viewer/?photo=nobody&layer=99&head=x&left=9-9&colors=-5&scale=odd")
    assert page.get_by_role("radio", name="Chelsea the cat").is_checked()
    assert page.locator(".inside-panel h2").first.text_content() == "Looking from: class token"
    assert query(page)["photo"] == "chelsea"  # the address says what is shown
    assert not re.search("=(nobody|99|x|9-9|-5|odd)(&|$)", page.url)
    open_page(page, f"{site_url}steps/?step=nothing&photo=own&token=0-0&scale=odd&cell=0.99.0&beside=q&range=no")
    assert page.locator(".views-said").text_content().startswith("Click a number")
    assert page.locator(".views-second:visible").count() == 0
    assert page.locator(NAME).first.text_content() == "images.0.image"
    assert query(page) == {
        **{"photo": "chelsea", "step": "images.0.image", "fold": "on"},
        **{"scale": "linear", "range": "own"},
    }
    assert "photo that stayed with its maker" in page.locator(".views-beside").text_content()
