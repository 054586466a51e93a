"""The lab in a browser: by mouse, by touch, by keyboard, with numbers that are NumPy's."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import served
from tolerances import assert_close

import deit_ref
from deit_ref.numpy_backend.attention import attention_rollout
from deit_ref.numpy_backend.layers import layer_norm, linear, softmax
from deit_ref.photos import bundled_photo

HEADS = {"mean": "logits", "class": "cls_logits", "distillation": "distillation_logits"}
REST = "[data-inside=lab][data-busy=false]"
BEGIN = """async () => {
  const [{ session }, { START }] = await Promise.all(
    ["session", "state"].map((name) => import(new URL(`../assets/lab/${name}.js`, location.href))),
  );
  session.set({ ...START });
  session.compare_with(null);
}"""


@pytest.fixture(scope="module")
def sub_path(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site below a path of its host, as on GitHub pages."""
    root = tmp_path_factory.mktemp("host")
    (root / "some").mkdir()
    (root / "some" / "where").symlink_to(site.resolve(), target_is_directory=True)
    with served(root) as url:
        yield f"{url}some/where/"


@pytest.fixture(scope="module")
def opened(browser: Any, sub_path: str) -> Iterator[tuple[Any, list[str]]]:
    """One page for all tests, with what it asked of the network, and what went wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 1400}, has_touch=True)
    page = context.new_page()
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{sub_path}lab/")
    page.wait_for_selector(REST)
    page.wait_for_load_state("networkidle")
    asked.clear()
    yield page, asked
    assert not wrong
    context.close()


@pytest.fixture
def lab(opened: tuple[Any, list[str]]) -> Any:
    page, _ = opened
    page.get_by_role("tab", name="Hide").click()
    page.evaluate(BEGIN)
    page.wait_for_selector(REST)
    return page


def cell(page: Any, place: int) -> Any:
    return page.locator(f".lab-board [data-place='{place}']")


def shown(page: Any) -> dict[str, np.ndarray]:
    """The exact shares of the classes that the page shows."""
    page.wait_for_selector(REST)
    rows = page.locator(".lab-classes li").evaluate_all("x => x.map((row) => ({ ...row.dataset }))")
    return {head: np.array([float(row[head]) for row in rows], np.float32) for head in HEADS}


def hidden(page: Any) -> list[int]:
    return page.locator(".lab-board [data-place]").evaluate_all(
        "x => x.filter((c) => c.getAttribute('aria-label').includes('hidden')).map((c) => Number(c.dataset.place))"
    )


def assert_shown(page: Any, weights: Any = None, photo: str = "chelsea", **options: Any) -> Any:
    """The page's shares are NumPy's; returns NumPy's output."""
    output: Any = deit_ref.forward(
        weights or deit_ref.load_weights(), bundled_photo(photo), output_attentions=True, **options
    )
    found = shown(page)
    for head, logits in HEADS.items():
        assert_close(found[head], softmax(getattr(output, logits))[0], "float32", head)
    return output


def without(places: list[int], tokens: int = 66) -> np.ndarray:
    mask = np.ones((1, tokens), bool)
    mask[0, [2 + place for place in places]] = False
    return mask


def test_every_way_into_the_book_leads_somewhere(site: Path) -> None:
    folder = Path(__file__).parents[1] / "docs" / "assets" / "lab"
    texts = [path.read_text(encoding="utf-8") for path in folder.rglob("*.js")]
    places = {place for text in texts for place in re.findall(r'\b(?:chapter|why)\("([^"]+)"', text)}
    assert len(places) > 10
    for place in places:
        page, _, part = place.partition("#")
        html = (site / "chapters" / page / "index.html").read_text(encoding="utf-8")
        assert not part or f'id="{part}"' in html, place


def test_mouse_brush_rectangle_undo_and_the_answer(lab: Any) -> None:
    assert_shown(lab)
    start, end = cell(lab, 18).bounding_box(), cell(lab, 21).bounding_box()
    lab.mouse.move(start["x"] + 9, start["y"] + 9)
    lab.mouse.down()
    lab.mouse.move(end["x"] + 9, end["y"] + 9)  # in one leap: what lies between is painted, too
    lab.mouse.up()
    assert hidden(lab) == [18, 19, 20, 21]
    assert_shown(lab, attention_mask=without([18, 19, 20, 21]))
    headline = lab.locator(".lab-answer .lab-headline strong").text_content()
    change = lab.locator(".lab-best .lab-change").text_content()
    assert change
    assert f"({change})" in headline
    lab.wait_for_url("**hidden=18-21*")
    cell(lab, 19).click()  # once more: shown
    assert hidden(lab) == [18, 20, 21]
    lab.get_by_role("button", name="Undo").click()
    assert hidden(lab) == [18, 19, 20, 21]
    lab.keyboard.press("Control+z")
    assert hidden(lab) == []
    assert_shown(lab)
    lab.get_by_role("button", name="Redo").click()
    assert hidden(lab) == [18, 19, 20, 21]
    lab.get_by_role("button", name="Reset").click()
    lab.get_by_role("radio", name="rectangle").check()
    cell(lab, 9).drag_to(cell(lab, 27))
    assert hidden(lab) == [9, 10, 11, 17, 18, 19, 25, 26, 27]
    lab.get_by_role("radio", name="brush").check()


def test_an_answer_to_an_earlier_question_looks_like_one(lab: Any) -> None:
    pale = """(input) => {
      document.querySelector(input).click();
      const root = document.querySelector("[data-inside=lab]");
      const headline = root.querySelector(".lab-headline");
      headline.style.transition = "none";
      return [root.dataset.busy, getComputedStyle(headline).opacity];
    }"""
    for change in (".lab-photos [value=rocket]", ".lab-panel [type=checkbox]"):
        assert lab.evaluate(pale, change) == ["true", "0.35"], change
        lab.wait_for_selector(REST)
        assert lab.locator(".lab-answer .lab-headline").evaluate("e => getComputedStyle(e).opacity") == "1"
        assert lab.locator(".lab-answer .lab-headline").evaluate("e => e.style.transition = ''") == ""


def test_gray_pixels_and_the_distillation_token(lab: Any) -> None:
    lab.get_by_role("radio", name="gray pixels").check()
    cell(lab, 5).click()
    lab.get_by_role("checkbox", name="distillation token").check()
    weights = deit_ref.load_weights()
    assert weights.image_processing is not None
    pixels = deit_ref.preprocess(bundled_photo(), weights.image_processing)
    pixels[:, :, 0:4, 20:24] = 0
    mask = np.ones((1, 66), bool)
    mask[0, 1] = False
    output: Any = deit_ref.forward(weights, pixel_values=pixels, attention_mask=mask)
    assert_close(shown(lab)["mean"], softmax(output.logits)[0], "float32")


def test_keyboard(lab: Any) -> None:
    cell(lab, 0).focus()
    for key in ("ArrowRight", "ArrowDown", "Space", "Shift+ArrowRight", "Shift+ArrowRight"):
        lab.keyboard.press(key)
    assert hidden(lab) == [9, 10, 11]
    assert_shown(lab, attention_mask=without([9, 10, 11]))
    lab.get_by_role("tab", name="Hide").focus()
    lab.keyboard.press("ArrowRight")
    assert lab.get_by_role("tab", name="Shuffle").get_attribute("aria-selected") == "true"
    cell(lab, 11).focus()  # two that change places
    for key in ("Enter", "ArrowUp", "Enter"):
        lab.keyboard.press(key)
    assert "holds the patch of row 1, column 4" in cell(lab, 11).get_attribute("aria-label")
    live = lab.locator(".lab-answer .lab-live")
    lab.wait_for_function("document.querySelector('.lab-answer .lab-live').textContent.startsWith('The answer: ')")
    assert live.get_attribute("role") == "status"


def test_touch(lab: Any) -> None:
    box = cell(lab, 35).bounding_box()
    lab.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert hidden(lab) == [35]
    client = lab.context.new_cdp_session(lab)
    for kind, place in (("touchStart", 40), ("touchMove", 41), ("touchMove", 42), ("touchEnd", None)):
        points = [] if place is None else [cell(lab, place).bounding_box()]
        client.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": p["x"] + 9, "y": p["y"] + 9} for p in points]},
        )
    assert hidden(lab) == [35, 40, 41, 42]
    assert_shown(lab, attention_mask=without([35, 40, 41, 42]))


def test_swapped_patches_with_and_without_positions(lab: Any) -> None:
    before = shown(lab)["mean"]
    lab.get_by_role("tab", name="Shuffle").click()
    cell(lab, 0).drag_to(cell(lab, 36))
    swapped = shown(lab)["mean"]
    assert np.abs(swapped - before).max() > 1e-4
    lab.get_by_role("radio", name="move along").check()
    np.testing.assert_allclose(shown(lab)["mean"], before, atol=1e-5)
    lab.get_by_role("radio", name="are zero").check()
    weights = deit_ref.load_weights()
    positions = weights.pos_embed.copy()
    positions[:, 2:] = 0
    assert_shown(lab, dataclasses.replace(weights, pos_embed=positions))  # and the swap does not matter


def test_silenced_heads(lab: Any) -> None:
    lab.get_by_role("tab", name="Heads").click()
    lab.get_by_role("button", name="head 3 of block 4").click()
    lab.get_by_role("button", name="block 2", exact=True).click()
    mask = np.ones((6, 4))
    mask[3, 2] = 0
    mask[1] = 0
    assert_shown(lab, head_mask=mask)
    lab.get_by_role("button", name="head 3 of block 4").press("ArrowRight")
    lab.keyboard.press("Enter")
    mask[3, 3] = 0
    assert_shown(lab, head_mask=mask)


def test_looks_and_rollout(lab: Any) -> None:
    lab.get_by_role("tab", name="Look").click()
    lab.get_by_role("button", name="block 3, head 2").click()
    cell(lab, 44).click()
    output = assert_shown(lab)
    values = lambda: np.array(  # noqa: E731
        lab.locator(".lab-board [data-value]").evaluate_all("x => x.map((c) => Number(c.dataset.value))"), np.float32
    )
    assert_close(values(), output.attentions[2][0, 1, 46, 2:], "float32")
    lab.get_by_role("radio", name="rollout").check()
    lab.wait_for_selector(REST)
    assert_close(values(), attention_rollout(output.attentions[:3])[0, 46, 2:], "float32")
    special = lab.get_by_role("button", name="class token").get_attribute("data-value")
    assert_close(np.array(float(special)), attention_rollout(output.attentions[:3])[0, 46, 0], "float32")


def test_the_effect_map_says_how_it_hides_and_gives_one_number(lab: Any) -> None:
    lab.get_by_role("radio", name="gray pixels").check()
    lab.get_by_role("tab", name="Look").click()
    lab.get_by_role("radio", name="what hiding each does").check()
    lab.wait_for_function(
        """document.querySelector(".lab-board [data-place='63']").dataset.exact?.endsWith(" points")"""
    )
    assert "the patch turns gray" in lab.locator(".lab-way").text_content()
    for place in (0, 35, 63):
        shown_number, exact = (
            text.replace("−", "-")
            for text in (cell(lab, place).text_content(), cell(lab, place).get_attribute("data-exact").split()[0])
        )
        assert float(shown_number) == pytest.approx(float(exact), abs=0.051)
    exact_values = lab.locator(".lab-board [data-exact]").evaluate_all("x => x.map((c) => c.dataset.exact)")
    effects = np.array([float(text.split()[0].replace("−", "-")) for text in exact_values])
    output: Any = deit_ref.forward(deit_ref.load_weights(), bundled_photo(), output_attentions=True)
    attended = output.attentions[-1][0, :, 0, 2:].mean(0)
    ranks = [np.argsort(np.argsort(values)) for values in (np.abs(effects), attended)]
    lab.wait_for_function("document.querySelector('.lab-agreement').textContent")
    told = lab.locator(".lab-agreement").text_content().replace("−", "-")
    assert float(re.search(r"block: (\S+)", told)[1]) == pytest.approx(np.corrcoef(ranks)[0, 1], abs=0.0051)


def lens_of(output: Any, label: int) -> list[float]:
    """The class head's share of a class before the first block and after each."""
    weights = deit_ref.load_weights()
    states = layer_norm(weights.norm, np.concatenate(output.hidden_states), eps=weights.config.layer_norm_eps)
    return [float(shares[label]) for shares in softmax(linear(weights.head, states[:, 0]))]


def test_the_lens_and_the_stream(lab: Any) -> None:
    lab.get_by_role("tab", name="Inside").click()
    lab.wait_for_selector("[data-block='6']")
    last = lab.locator("[data-block='6'] [data-shares]").evaluate_all("x => x.map((c) => c.dataset.shares)")
    for text, head in zip(last, ("class", "distillation"), strict=True):
        assert_close(np.array(text.split(), np.float32), shown(lab)[head], "float32")
    output: Any = deit_ref.forward(deit_ref.load_weights(), bundled_photo(), output_hidden_states=True)
    lengths = [float(np.linalg.norm(x[0, 0])) for x in output.hidden_states]
    charts = lab.locator(".lab-chart svg")
    assert (
        charts.nth(1)
        .get_attribute("aria-label")
        .startswith("class token: " + ", ".join(f"{length:.2f}" for length in lengths))
    )
    panel = lab.locator("#lab-inside")
    panel.get_by_role("combobox").select_option("dog")
    dog = (deit_ref.load_weights().class_names or ()).index("dog")
    shares = f"class head: {', '.join(f'{share:.2f}' for share in lens_of(output, dog))}; distillation head: "
    assert charts.first.get_attribute("aria-label").startswith(shares)
    logits = [f"{float(x[0, dog]):+.2f}".replace("-", "−") for x in (output.cls_logits, output.distillation_logits)]
    assert panel.locator(".lab-sums tr:last-child td").all_text_contents() == logits


def test_from_logits_to_the_answer(lab: Any) -> None:
    cell(lab, 12).click()
    output = assert_shown(lab, attention_mask=without([12]))
    worked = lab.locator(".lab-logits")
    worked.locator("summary").press("Enter")
    worked.locator("tbody tr").first.wait_for()  # a browser tells the page a moment later that it is open
    answered = worked.get_by_role("button", name=lab.locator(".lab-best > span").first.text_content(), exact=True)
    others = worked.locator(".lab-name").all_text_contents()
    expected = [f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−") for value in output.logits[0]]
    assert worked.locator("tbody tr[data-class] td:nth-child(4)").all_text_contents() == expected
    worked.locator(".lab-name").first.focus()
    lab.keyboard.press("ArrowDown")
    assert others[1] in worked.locator(".lab-linked").text_content()  # and its bar, too
    assert lab.locator(".lab-classes .lab-linked > span").first.text_content() == others[1]
    worked.get_by_role("slider").press("End")  # a temperature of 10
    shares = np.array(json.loads(worked.get_attribute("data-shares")), np.float32)
    assert_close(shares, softmax(output.logits / np.float32(10))[0], "float32")
    assert_shown(lab, attention_mask=without([12]))  # the answer itself stays
    answered.hover()
    assert "at 1, gives" in worked.text_content()
    worked.get_by_role("button", name="Back to 1").click()
    worked.locator("summary").press("Enter")


def test_the_guess(lab: Any) -> None:
    lab.get_by_role("tab", name="Masked").click()
    lab.wait_for_selector(REST)
    cell(lab, 1).drag_to(cell(lab, 6))
    lab.wait_for_selector(REST)
    mask = np.zeros((1, 64), bool)
    mask[0, 1:7] = True
    output: Any = deit_ref.forward(
        deit_ref.load_weights("cifar10-simmim"), bundled_photo(), bool_masked_pos=mask, output_attentions=True
    )
    found = float(lab.locator(".lab-guess").get_attribute("data-loss"))
    assert found == pytest.approx(float(output.loss), rel=1e-5)
    lab.get_by_role("tab", name="Hide").click()
    assert_shown(lab, attention_mask=without([1, 2, 3, 4, 5, 6]))


def test_compare_link_and_walk(lab: Any) -> None:
    cell(lab, 3).click()
    lab.get_by_role("button", name="Compare with the state as it is now").click()
    kept = shown(lab)["mean"]
    cell(lab, 4).click()
    now = shown(lab)["mean"]
    best = int(now.argmax())
    moved = 100 * (float(now[best]) - float(kept[best]))
    change = lab.locator(".lab-best .lab-change").text_content().replace("−", "-") or "0"
    assert float(change) == pytest.approx(moved, abs=0.051)
    lab.get_by_role("button", name="Copy a link").click()
    other = lab.context.new_page()
    other.goto(lab.url)
    np.testing.assert_array_equal(shown(other)["mean"], now)
    assert "hidden" in other.locator(".lab-before canvas").get_attribute("aria-label")
    other.close()
    lab.get_by_role("button", name="Compare with the photo as it was").click()
    lab.get_by_role("button", name="What if it sees nothing?").click()
    lab.wait_for_selector(".lab-walk[data-step='0']")
    count = lab.get_by_role("button", name="Next").evaluate(
        "next => (next.click(), next.click(), document.querySelector('.lab-count').textContent)"
    )
    assert count.startswith("2 of ")  # while a step is computed, Next waits
    for step in range(1, 3):
        lab.wait_for_selector(f".lab-walk[data-step='{step}']")
        lab.get_by_role("button", name="Next").click()
    lab.wait_for_selector(".lab-walk[data-step='3']")
    assert lab.get_by_role("radio", name="Rocket").is_checked()
    assert_shown(lab, photo="rocket")
    lab.get_by_role("button", name="Leave").click()
    assert not lab.locator(".lab-walk").is_visible()
    lab.evaluate(LEFT_AT_ONCE)
    assert lab.get_by_role("radio", name="Rocket").is_checked()
    assert_shown(lab, photo="rocket")


LEFT_AT_ONCE = """async () => {
  const { session } = await import(new URL("../assets/lab/session.js", location.href));
  document.querySelector("[data-walk=nothing]").click();
  [...document.querySelectorAll(".lab-walk button")].find((one) => one.textContent === "Leave").click();
  await session.answer({ lane: "after what the step asked" });
  await new Promise(requestAnimationFrame);
}"""


def test_own_photo_stays_here_and_what_is_none_is_refused(
    lab: Any, opened: tuple[Any, list[str]], tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    (tmp_path / "text.txt").write_text("no photo")
    chooser = lab.locator("input[type=file]")
    chooser.set_input_files(tmp_path / "text.txt")
    lab.wait_for_function("document.querySelector('.lab-picker .lab-said').textContent.includes('is not a photo')")
    chooser.set_input_files(tmp_path / "mine.png")
    lab.wait_for_function("location.search.includes('photo=own')")
    output: Any = deit_ref.forward(deit_ref.load_weights(), tmp_path / "mine.png")
    assert_close(shown(lab)["mean"], softmax(output.logits)[0], "float32")
    lab.reload()
    assert_close(shown(lab)["mean"], softmax(output.logits)[0], "float32")
    Image.new("RGB", (70, 40), "red").save(tmp_path / "red.png")
    cut = {"red.png": "43%, left and right, is cut away", "mine.png": "24%, above and below, is cut away"}
    for name in ("red.png", "mine.png", "red.png"):  # one after another: the name in the state stays "own"
        chooser.set_input_files(tmp_path / name)
        lab.wait_for_function("document.querySelector('input[type=file]').value === ''")
        lab.wait_for_function("x => document.body.textContent.includes(x)", arg=cut[name])
        output = deit_ref.forward(deit_ref.load_weights(), tmp_path / name)
        found = shown(lab)
        for head, logits in HEADS.items():
            assert_close(found[head], softmax(getattr(output, logits))[0], "float32", f"{name}: {head}")
    drop = """([place, names]) => {
      const data = new DataTransfer();
      for (const name of names) {
        const type = name.endsWith("txt") ? "text/plain" : "image/png";
        data.items.add(new File(["no photo"], name, { type }));
      }
      const event = (kind) => new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
      return ["dragover", "drop"].map((kind) => !document.querySelector(place).dispatchEvent(event(kind)));
    }"""
    for place, names, told in (
        ("h1", ["a.txt"], "a.txt is not a photo"),
        ("body", ["b.txt", "c.png"], "c.png is not a photo"),
    ):
        assert lab.evaluate(drop, [place, names]) == [True, True]  # the browser does not open the file instead
        lab.wait_for_function("x => document.querySelector('.lab-picker .lab-said').textContent.includes(x)", arg=told)
    lab.get_by_role("button", name="Forget my photo").click()
    lab.wait_for_function("!location.search.includes('own')")
    lab.wait_for_load_state("networkidle")
    opened[1].clear()


FAKE_CAMERA = """() => {
  window.tracks = [];
  window.asked = 0;
  window.refuse = "";
  window.wait = 0;
  navigator.mediaDevices.getUserMedia = async () => {
    window.asked += 1;
    await new Promise((go) => setTimeout(go, window.wait));
    if (window.refuse) throw new DOMException("Constraint.", window.refuse);
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
    const context = canvas.getContext("2d");
    const timer = setInterval(() => {
      context.fillStyle = `hsl(${(performance.now() / 10) % 360} 90% 50%)`;
      context.fillRect(0, 0, 64, 64);
    }, 20);
    const stream = canvas.captureStream();
    window.tracks.push(...stream.getTracks());
    return stream;
  };
}"""


def test_the_camera_is_asked_once_and_always_switched_off(lab: Any, opened: tuple[Any, list[str]]) -> None:
    lab.evaluate(FAKE_CAMERA)
    camera = lab.get_by_role("button", name="Camera")
    said = lab.locator(".lab-picker .lab-said")
    states = "window.tracks.map(({ readyState }) => readyState)"
    for error, told in (("NotAllowedError", "may not be used here"), ("NotFoundError", "No camera was found")):
        lab.evaluate("error => { window.refuse = error; }", error)
        camera.click()
        lab.wait_for_function("x => document.querySelector('.lab-picker .lab-said').textContent.includes(x)", arg=told)
    lab.evaluate("window.refuse = ''; window.asked = 0; window.wait = 100")
    camera.evaluate("button => { button.click(); button.click(); }")
    lab.wait_for_selector(".lab-camera video")
    camera.click()  # once more, while it is open
    assert lab.evaluate("window.asked") == 1
    assert said.text_content() == "The camera is on."
    lab.get_by_role("button", name="Cancel").press("Escape")
    assert lab.evaluate(states) == ["ended"]
    assert camera.evaluate("button => button === document.activeElement")
    camera.click()
    lab.wait_for_function("document.querySelector('.lab-camera video')?.videoWidth > 0")
    lab.get_by_role("button", name="Take the photo").click()
    lab.wait_for_selector("[data-inside=lab][data-busy=false]:not(:has(.lab-camera video))")
    lab.wait_for_function("location.search.includes('own')")
    assert lab.evaluate(states) == ["ended", "ended"]
    lab.get_by_role("button", name="Forget my photo").click()
    lab.wait_for_function("!location.search.includes('own')")
    assert lab.get_by_role("button", name="Your photo").evaluate("button => button === document.activeElement")
    lab.wait_for_load_state("networkidle")
    opened[1].clear()


def test_a_camera_that_comes_too_late_is_switched_off(browser: Any, site_url: str) -> None:
    page = browser.new_page()
    page.goto(f"{site_url}lab/")
    page.wait_for_selector(REST)
    page.evaluate(FAKE_CAMERA)
    page.evaluate("window.wait = 1000; window.same = true")
    page.get_by_role("button", name="Camera").click()
    page.evaluate("document.querySelector('[data-inside=lab]').remove(); window.document$?.next(document)")
    page.wait_for_function("window.tracks.length === 1 && window.tracks[0].readyState === 'ended'")
    assert page.evaluate("window.same")  # the page was not loaded again, which would end it, too
    page.close()


HEARD = """() => {
  const listen = () => {
    for (const region of document.querySelectorAll("[data-inside=lab] [role=status]")) {
      const copy = region.cloneNode(true);
      for (const silent of copy.querySelectorAll("[aria-hidden=true]")) silent.remove();
      const text = region.closest("[hidden]") ? "" : copy.textContent;
      if (text && text !== region.heard) window.heard.push(text);
      region.heard = text;
    }
  };
  window.heard = [];
  listen();
  window.heard = []; // what stood there before
  const lab = document.querySelector("[data-inside=lab]");
  new MutationObserver(listen).observe(lab, { subtree: true, childList: true, characterData: true });
}"""


def test_what_a_screen_reader_hears(lab: Any) -> None:
    """A change is said once, where it is heard; what does not change is not said again."""
    said = "The answer: " + lab.locator(".lab-answer .lab-headline strong").text_content().replace(" ", ", ") + "."
    lab.wait_for_function("x => document.querySelector('.lab-answer .lab-live').textContent === x", arg=said)
    lab.evaluate(HEARD)

    def heard(until: str) -> list[str]:
        lab.wait_for_function("x => window.heard.some((text) => text.includes(x))", arg=until)
        found: list[str] = lab.evaluate("window.heard.splice(0)")
        return found

    cell(lab, 3).click()
    assert len(heard(", before ")) == 1
    lab.get_by_role("tab", name="Look").click()
    lab.get_by_role("button", name="block 3, head 2").click()
    told = heard("Block 3, head 2: the class token looks most at row ")
    assert not any(text.startswith("The answer") for text in told)  # it is the same
    assert cell(lab, 5).get_attribute("aria-label").endswith("%")
    lab.get_by_role("radio", name="what hiding each does").check()
    told = heard("Rank correlation")
    assert [text for text in told if "passes" in text] == ["Done: 64 passes."]
    lab.get_by_role("tab", name="Masked").click()
    assert heard("1 patch is hidden; the guess is off by ")
    lab.get_by_role("button", name="Hide half at random").click()
    assert heard("32 patches are hidden; the guess is off by ")
    lab.get_by_role("tab", name="Inside").click()
    lab.wait_for_selector("[data-block='6']")
    lens = lab.get_by_role("table", name="after every block")
    assert lens.get_by_role("columnheader").all_text_contents() == ["after", "class head", "distillation head"]
    lab.get_by_role("tab", name="Shuffle").click()
    cell(lab, 2).press("Enter")
    assert cell(lab, 2).get_attribute("aria-label").endswith(", taken")
    cell(lab, 2).press("Escape")
    assert "taken" not in cell(lab, 2).get_attribute("aria-label")


def test_nothing_moves_under_the_pointer_when_the_focus_leaves_the_photo(lab: Any) -> None:
    undo = lab.get_by_role("button", name="Undo", exact=True)
    cell(lab, 12).press(" ")
    box = undo.bounding_box()
    lab.mouse.move(box["x"] + 9, box["y"] + 3)
    lab.mouse.down()
    lab.mouse.up()
    assert hidden(lab) == []


def test_with_a_finger_on_a_phone(browser: Any, site_url: str) -> None:
    context = browser.new_context(viewport={"width": 412, "height": 839}, is_mobile=True, has_touch=True)
    page = context.new_page()
    client = context.new_cdp_session(page)

    def drag(start: Any, end: Any, *, by: float = 0) -> None:
        first, last = ({"x": b["x"] + b["width"] / 2, "y": b["y"] + b["height"] / 2} for b in map(box, (start, end)))
        last["y"] -= by
        between = [{axis: first[axis] + (last[axis] - first[axis]) * i / 6 for axis in "xy"} for i in range(1, 7)]
        for kind, point in [("touchStart", first), *(("touchMove", point) for point in between), ("touchEnd", None)]:
            client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point] if point else []})

    def box(locator: Any) -> Any:
        return locator.bounding_box()

    def to_the_middle(locator: Any) -> None:
        locator.evaluate("e => e.scrollIntoView({ block: 'center', behavior: 'instant' })")

    page.goto(f"{site_url}lab/?how=mask")
    page.wait_for_selector(REST)
    to_the_middle(page.locator(".lab-board"))
    assert box(page.locator(".lab-guess"))["height"] < 190  # the photo is not below it
    drag(cell(page, 17), cell(page, 20))
    assert hidden(page) == [17, 18, 19, 20]
    page.get_by_role("tab", name="Shuffle").press("Enter")  # as below
    page.wait_for_selector("[data-inside=lab][data-tab=shuffle][data-busy=false]")
    to_the_middle(page.locator(".lab-board"))
    drag(cell(page, 16), cell(page, 36))
    assert "holds the patch of row 3, column 1" in cell(page, 36).get_attribute("aria-label")
    page.wait_for_selector(REST)
    page.locator(".lab-logits summary").press("Enter")  # a tap so soon after a drag ends its fling
    page.wait_for_selector(".lab-logits[open] table")
    row = page.locator(".lab-logits tr[data-class='6']")
    to_the_middle(row)
    row.locator("td").nth(1).tap()
    page.wait_for_selector(".lab-logits tr[data-class='6'].lab-linked")

    # Chapters: a patch that is held moves, and the page does not; elsewhere the page does, and nothing is hidden.
    page.goto(f"{site_url}chapters/attention/")
    root = page.locator("[data-inside=chapter-attention]")
    root.scroll_into_view_if_needed()
    page.wait_for_selector("[data-inside=chapter-attention][data-inside-state=ready]")
    to_the_middle(root.locator(".lab-board"))
    looks = root.locator("[aria-selected=true]")
    place, top = int(looks.get_attribute("data-place")), page.evaluate("scrollY")
    drag(looks, root.locator(f"[data-place='{place + 16}']"))
    page.wait_for_selector(f"[data-inside=chapter-attention] [data-place='{place + 16}'][aria-selected=true]")
    assert page.evaluate("scrollY") == top
    page.goto(f"{site_url}chapters/simmim/")
    root = page.locator("[data-inside=chapter-simmim]")
    root.scroll_into_view_if_needed()
    page.wait_for_selector("[data-inside=chapter-simmim][data-inside-state=ready]")
    to_the_middle(root.locator(".lab-board"))
    before, top = root.get_attribute("data-hidden"), page.evaluate("scrollY")
    corner = root.locator("[data-place='56']")
    drag(corner, corner, by=200)
    page.wait_for_function("top => scrollY > top + 50", arg=top)
    page.wait_for_function("hidden => document.querySelector('.play').dataset.hidden === hidden", arg=before)
    context.close()


def test_no_request_after_load_and_memory_is_steady(lab: Any, opened: tuple[Any, list[str]]) -> None:
    client = lab.context.new_cdp_session(lab)

    def used() -> int:
        client.send("HeapProfiler.collectGarbage")
        nodes: int = client.send("Memory.getDOMCounters")["nodes"]
        return nodes

    change = """async (n) => {
      const { session } = await import(new URL("../assets/lab/session.js", location.href));
      for (let i = 0; i < n; i++) session.set({ hidden: [i % 64] });
    }"""
    lab.evaluate(change, 300)  # as many as are remembered
    shown(lab)
    before = used()
    lab.evaluate(change, 500)
    assert_shown(lab, attention_mask=without([499 % 64]))
    assert used() <= before + 50
    for name in ("Astronaut", "Coffee", "Rocket"):
        lab.get_by_role("radio", name=name).check()
        shown(lab)
    # (The browser looks for the page's icon again when the address changes.)
    assert [url for url in opened[1] if not url.endswith("favicon.svg")] == []


@pytest.mark.parametrize(
    ("width", "scheme", "tabs"), [(390, "light", ("Inside", "Look")), (1280, "dark", ("Heads", "Masked", "Hide"))]
)
def test_accessible_and_no_wider_than_the_screen(
    page: Any, site_url: str, width: int, scheme: str, tabs: tuple[str, ...]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{site_url}lab/?hidden=3.4")
    for tab in tabs:
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector(REST)
        page.evaluate("Promise.all(document.getAnimations().map((change) => change.finished))")  # pale becomes clear
        violations = axe.Axe().run(page, context="[data-inside]").response["violations"]
        serious = [(v["id"], v["nodes"][0]["html"]) for v in violations if v["impact"] in ("serious", "critical")]
        assert serious == [], tab
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for between in (1000, 1190) if width == 1280 else ():  # three columns, and no navigation beside them
        page.set_viewport_size({"width": between, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), between
    if width == 390:  # the answer stays in view
        page.get_by_role("tab", name="Hide").click()
        page.wait_for_selector(REST)
        page.evaluate("document.querySelector('.lab-all').scrollIntoView()")
        assert 0 < page.locator(".lab-answer").bounding_box()["y"] < 100
