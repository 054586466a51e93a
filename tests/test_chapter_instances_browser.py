"""The small instances of the model in the chapters, in a browser: a chapter for each page that is loaded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from test_site_browser import built_for
from tolerances import assert_close

import deit_ref
from deit_ref.numpy_backend.attention import scaled_dot_product_attention
from deit_ref.numpy_backend.heads import classify
from deit_ref.numpy_backend.layers import layer_norm, softmax
from deit_ref.photos import bundled_photo
from deit_ref.trace import Trace

MODELS = "/inside/models/"


def instance(page: Any, site_url: str, chapter: str, name: str = "") -> Any:
    """An instance that a reader has come to; its height and that of the page are what they were before."""
    address = f"{site_url}chapters/{chapter}/"
    if page.url == "about:blank":
        page.goto(address)
        page.wait_for_load_state("networkidle")  # the sitemap: from now on pages are replaced, not loaded anew
    elif page.url.split("#")[0] != address:
        page.evaluate("address => [...document.links].find(link => link.href === address).click()", address)
        page.wait_for_url(address)
    root = page.locator(f"[data-inside=chapter-{name or chapter}]")
    before = root.evaluate("root => root.offsetHeight")
    root.scroll_into_view_if_needed()
    page.wait_for_selector(f"[data-inside=chapter-{name or chapter}][data-inside-state=ready]")
    after = root.evaluate("root => root.offsetHeight")
    assert before == after, f"{chapter} {name}: {before} px are kept, {after} are needed"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return root


def kept(root: Any, name: str) -> np.ndarray:
    """Numbers that an instance shows."""
    return np.array(json.loads(root.evaluate(f"root => root.dataset.{name} ?? 'null'")), dtype=float)


def test_the_instances_of_all_chapters(page: Any, site: Path, site_url: str) -> None:
    sitemap = (site / "sitemap.xml").read_text(encoding="utf-8").replace(built_for(site), site_url)
    page.route("**/sitemap.xml", lambda route: route.fulfill(body=sitemap))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    weights, trace = deit_ref.load_weights(), Trace()
    output = deit_ref.forward(weights, bundled_photo(), trace=trace, output_hidden_states=True)
    prefix, patch = weights.config.num_prefix_tokens, weights.config.patch_shape

    # 5. By hand first: it needs no weights, and none are fetched for who only comes to the page.
    root = instance(page, site_url, "attention", "hand")
    assert not any(MODELS in address for address in requests)
    assert kept(root, "shares").round(3).tolist() == [0.106, 0.882, 0.013]
    root.get_by_role("button", name="Grass becomes").click()
    assert kept(root, "shares").round(3).tolist() == [0.057, 0.472, 0.472]
    root.get_by_role("spinbutton", name="W_V: values, row 1, number 1").fill("3")
    assert_close(kept(root, "answer"), kept(root, "shares") @ [[3, 0], [1, 2], [1, 2]], "float32")
    root.get_by_role("slider").press("ArrowRight")
    assert kept(root, "shares")[0] > 0.06  # divided by more: flatter
    root.get_by_role("button", name="Back").click()
    assert kept(root, "answer").round(3).tolist() == [0.962, 1.738]

    # 5. A patch looks, by mouse and keys; a key is masked
    root = instance(page, site_url, "attention")
    root.get_by_role("group", name="Block").get_by_role("radio", name="2", exact=True).check(force=True)
    root.get_by_role("group", name="Head").get_by_role("radio", name="3", exact=True).check(force=True)
    cells = root.get_by_role("gridcell")
    box = [cells.nth(place).bounding_box() for place in (9, 20)]
    centers = [(b["x"] + b["width"] / 2, b["y"] + b["height"] / 2) for b in box]
    page.mouse.move(*centers[0])
    page.mouse.down()
    page.mouse.move(*centers[1], steps=3)
    page.mouse.up()
    page.keyboard.press("ArrowDown")  # from place 20 to 28
    token = prefix + 28
    assert_close(kept(root, "shares"), trace["blocks.1.attention.probabilities"][0, 2, token], "float32")
    best = int(trace["blocks.1.attention.probabilities"][0, 2, token].argmax())
    root.locator(f"table [data-token='{best}']").press("Enter")
    mask = np.ones((1, prefix + weights.config.num_patches), bool)
    mask[0, best] = False
    masked = Trace()
    scaled_dot_product_attention(
        *(trace[f"blocks.1.attention.{name}"] for name in "qkv"), attention_mask=mask, trace=masked
    )
    assert_close(kept(root, "shares"), masked["probabilities"][0, 2, token], "float32")
    assert "times as large" in root.locator(".play-result").text_content()
    root.locator("[role=status]", has_text="looks most at").wait_for(state="attached")

    # 1. A patch and its row
    root = instance(page, site_url, "patches")
    root.get_by_role("gridcell", name="row 2, column 3", exact=True).click()
    root.get_by_role("group", name="pixel").get_by_role("button", name="row 1, column 2").click()
    row = trace["patches"][0, 8 + 2]
    shown = root.locator(".play-entries button").all_text_contents()
    assert shown == [f"{value:.1f}".replace("-0.0", "0.0").replace("-", "−") for value in row]
    area = patch[0] * patch[1]
    assert f"numbers 1, {area + 1} and {2 * area + 1} of the row" in root.locator(".play-result").text_content()

    # 3. Positions
    root = instance(page, site_url, "positions")
    root.get_by_role("gridcell", name="row 4, column 5").click()
    positions = weights.pos_embed[0].astype(np.float64)
    unit = positions / np.linalg.norm(positions, axis=1, keepdims=True)
    np.testing.assert_allclose(kept(root, "cosines"), unit[prefix:] @ unit[prefix + 28], atol=1e-5)

    # 7. The lens, and a hidden patch, by key
    root = instance(page, site_url, "heads", "lens")
    heads = (weights.head, weights.head_dist)

    def lens(states: Any) -> np.ndarray:
        normed = layer_norm(weights.norm, np.concatenate(states), eps=weights.config.layer_norm_eps)
        return softmax(np.stack([classify(head, normed[:, i]) for i, head in enumerate(heads)], axis=1))

    assert_close(kept(root, "lens"), lens(output.hidden_states), "float32")
    lengths = [np.linalg.norm(x[0, 0]) for x in output.hidden_states]
    np.testing.assert_allclose(kept(root, "lengths"), lengths, rtol=1e-5)
    old = root.get_attribute("data-lens")
    root.get_by_role("gridcell").first.press("Enter")
    changed = "old => document.querySelector('[data-inside=chapter-lens]').dataset.lens !== old"
    page.wait_for_function(changed, arg=old)
    mask[:] = True
    mask[0, prefix] = False
    hidden = deit_ref.forward(weights, bundled_photo(), attention_mask=mask, output_hidden_states=True)
    assert_close(kept(root, "lens"), lens(hidden.hidden_states), "float32")

    # 7. Both heads, the same patch still hidden in the same visit
    root = instance(page, site_url, "heads")
    both = [hidden.cls_logits[0], hidden.logits[0], hidden.distillation_logits[0]]
    assert_close(kept(root, "shares"), softmax(np.array(both)), "float32")
    root.get_by_role("slider").press("ArrowRight")
    mixture = 0.48 * hidden.cls_logits[0] + 0.52 * hidden.distillation_logits[0]
    assert_close(kept(root, "shares")[1], softmax(mixture), "float32")
    root.get_by_role("button", name="Undo what was done").click()
    plain = [output.cls_logits[0], output.logits[0], output.distillation_logits[0]]
    page.wait_for_function(
        "first => Math.abs(JSON.parse("
        "document.querySelector('[data-inside=chapter-heads]').dataset.shares)[0][0] - first) < 1e-5",
        arg=float(softmax(plain[0])[0]),
    )

    # 8. Sizes; a patch that does not fit
    root = instance(page, site_url, "model", "sizes")
    learned = int(root.get_attribute("data-learned"))
    root.get_by_role("slider", name="Patch side").press("ArrowLeft")
    assert "image_size must be a multiple of patch_size" in root.locator(".play-result").text_content()
    root.get_by_role("button", name="DeiT-Ti").press("Enter")
    assert 10 * int(root.get_attribute("data-learned")) < learned
    assert "tokens looking" in root.locator(".play-result").text_content()

    # 9. Temperature
    root = instance(page, site_url, "losses")
    assert abs(kept(root, "loss") - 1.3955) < 1e-4
    root.get_by_role("slider", name="Teacher’s weight").press("End")
    assert abs(kept(root, "loss") - 0.3835) < 1e-4

    # 13. A guess
    root = instance(page, site_url, "simmim")
    guesser = deit_ref.load_weights("cifar10-simmim")
    places = [int(place) for place in root.get_attribute("data-hidden").split(".")]
    hide = np.zeros((1, weights.config.num_patches), bool)
    hide[0, places] = True
    assert sum(f"{MODELS}cifar10-distilled/model.safetensors" in address for address in requests) == 1
    np.testing.assert_allclose(
        kept(root, "loss"), deit_ref.forward(guesser, bundled_photo(), bool_masked_pos=hide).loss, rtol=1e-4
    )
    root.get_by_role("button", name="Show all").click()
    page.wait_for_function("document.querySelector('.play').dataset.hidden === ''")

    # 7 again: it changes the photo that all share
    root = instance(page, site_url, "heads")
    root.get_by_role("button", name="Find a photo on which they disagree").click()
    root.locator(".play-result").get_by_text("They disagree").wait_for()
