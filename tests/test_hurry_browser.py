"""Readers in a hurry: what is computed, decoded or fetched when they have gone on changes nothing that they see."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_chapter_instances_browser import instance
from test_lab_browser import REST, assert_shown, cell, hidden, shown, without

import deit_ref
from deit_ref.photos import bundled_photo

# Modules of the page are those that it uses itself: a session is one for all.
MODULES = """
  const { src } = document.querySelector("script[src$='assets/inside.js']");
  const get = (name) => import(new URL(`${name}.js`, src));
"""


def run(page: Any, code: str, argument: Any = None) -> Any:
    """The value of an asynchronous function's body, which can `get` the page's modules."""
    return page.evaluate(f"async (x) => {{ {MODULES} {code} }}", argument)


def png(color: str, size: tuple[int, int] = (40, 40)) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


BLOB = "const blob = (text) => new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], { type: 'image/png' });"


@pytest.fixture
def lab(page: Any, site_url: str) -> Any:
    page.goto(f"{site_url}lab/")
    page.wait_for_selector(REST)
    return page


def test_the_next_stop_of_a_walk_shows_its_own_answer_and_tool(lab: Any) -> None:
    lab.get_by_role("button", name="Does every head count?").click()
    lab.wait_for_selector(".lab-walk[data-step='0']")
    lab.get_by_role("tab", name="Inside").click()
    lab.wait_for_selector(REST)
    lab.get_by_role("button", name="Next").click()
    lab.wait_for_selector(".lab-walk[data-step='1']")
    lab.wait_for_selector(REST)
    silenced, expected = run(
        lab,
        """
        const [{ session }, { shares_of }] = [await get("lab/session"), await get("lab/questions")];
        return [session.state.silenced, shares_of((await session.answer({ lane: "here" })).output).mean];
        """,
    )
    assert len(silenced) == 1
    np.testing.assert_allclose(shown(lab)["mean"], expected, atol=1e-6)
    lab.get_by_role("button", name="Leave").click()
    lab.get_by_role("button", name="Who knows where a patch was?").click()
    for step in range(2):
        lab.wait_for_selector(f".lab-walk[data-step='{step}']")
        if not step:
            lab.get_by_role("button", name="Next").click()
    lab.wait_for_selector("[data-inside=lab][data-tab=shuffle][data-busy=false]")
    assert lab.locator(".lab-board").get_attribute("data-tool") == "swap"


def test_a_photo_that_is_decoded_late_displaces_none_that_was_chosen_since(lab: Any) -> None:
    bring = BLOB + "const { session } = await get('lab/session'); const late = session.bring(blob(x)); "
    run(lab, bring + "session.set({ photo: 'rocket' }); await late;", png("red"))
    assert_shown(lab, photo="rocket")
    assert lab.get_by_role("radio", name="Rocket").is_checked()
    code = (
        BLOB
        + """
      const { session } = await get('lab/session');
      await Promise.all([session.bring(blob(x[0])), session.bring(blob(x[1]))]);
      const { width, height, data } = session.photo.seen ?? {};
      const { kept } = await get('lab/store');
      const photo = await createImageBitmap(await kept());
      return [session.state.photo, photo.width];
    """
    )
    # The first is the larger one, and the second is what stays.
    assert run(lab, code, [png("red", (900, 900)), png("blue", (30, 30))]) == ["own", 30]
    code = (
        BLOB
        + """
      const { session } = await get("lab/session");
      const refused = () => "refused";
      return Promise.all([session.bring(blob(x)), session.bring(new Blob(["no photo"])).catch(refused)]);
    """
    )
    assert run(lab, code, png("red", (900, 900))) == [True, "refused"]
    code = BLOB + "const { session } = await get('lab/session'); const late = session.bring(blob(x)); "
    run(lab, code + "await session.forget(); await late;", png("green"))
    assert run(lab, "const { kept } = await get('lab/store'); return (await kept()) === undefined;")


def test_a_photo_that_is_forgotten_is_nowhere(lab: Any) -> None:
    code = (
        BLOB
        + """
      const { session } = await get('lab/session');
      await session.bring(blob(x));
      session.compare_with(session.state);
      await session.forget();
    """
    )
    run(lab, code, png("red"))
    assert_shown(lab)
    assert run(lab, "return (await get('lab/session')).session.before;") is None


def test_a_comparison_with_a_photo_of_somebody_else(page: Any, site_url: str) -> None:
    page.goto(f"{site_url}lab/?hidden=3&before=photo%3Down")
    page.wait_for_selector(REST)
    assert "only its sender’s browser has" in page.locator(".lab-photo .lab-said").text_content()
    assert_shown(page, attention_mask=without([3]))


def test_an_address_is_that_of_its_page(lab: Any) -> None:
    found = run(
        lab,
        """
        const { addressKeeper } = await get('dom');
        const [keep, here] = [addressKeeper(), location.href];
        keep({ hidden: 5 });
        const mine = location.search;
        history.replaceState(history.state, '', '../viewer/');
        keep({ hidden: 6 });
        const other = location.search;
        history.replaceState(history.state, '', here);
        return [mine, other];
        """,
    )
    assert found == ["?hidden=5", ""]


def test_effects_of_heads_that_are_of_another_state_are_not_computed_to_the_end(lab: Any) -> None:
    lab.get_by_role("tab", name="Heads").click()
    said = lab.locator("#lab-heads .lab-said")
    lab.get_by_role("button", name="What does each do?").click()
    lab.get_by_role("button", name="head 3 of block 4").click()
    lab.wait_for_function("document.querySelector('#lab-heads .lab-said').textContent === 'Stopped.'")
    assert lab.get_by_role("button", name="Stop", exact=True).count() == 0
    lab.get_by_role("button", name="What does each do?").click()
    lab.get_by_role("tab", name="Hide").click()
    cell(lab, 9).click()
    lab.wait_for_function("document.querySelector('#lab-heads .lab-said').textContent === 'Stopped.'")
    lab.get_by_role("tab", name="Heads").click()
    lab.get_by_role("button", name="What does each do?").click()
    lab.wait_for_function("/^Done: [0-9]+ passes.$/.test(document.querySelector('#lab-heads .lab-said').textContent)")
    assert "points without it" in lab.get_by_role("button", name="head 1 of block 1,").get_attribute("aria-label")
    assert said.text_content()


def test_a_map_of_effects_goes_on_where_it_was_left(lab: Any) -> None:
    lab.get_by_role("tab", name="Look").click()
    lab.get_by_role("radio", name="what hiding each does").check()
    lab.wait_for_function("document.querySelector(\".lab-board [data-place='2']\").dataset.exact?.endsWith('points')")
    lab.get_by_role("radio", name="one block’s attention").check()
    lab.wait_for_selector(REST)
    lab.get_by_role("radio", name="what hiding each does").check()
    lab.wait_for_function("document.querySelector(\".lab-board [data-place='63']\").dataset.exact?.endsWith('points')")


def test_the_focus_stays_where_something_is(lab: Any) -> None:
    focused = "document.activeElement.textContent"
    lab.get_by_role("radio", name="gray pixels").focus()
    lab.keyboard.press("ArrowRight")
    assert lab.evaluate(focused) == "Masked"
    lab.get_by_role("tab", name="Hide").click()
    lab.get_by_role("button", name="Compare with the state as it is now").click()
    lab.get_by_role("button", name="Compare with the photo as it was").press("Enter")
    assert lab.evaluate(focused) == "Compare with the state as it is now"
    cell(lab, 3).click()
    lab.get_by_role("tab", name="Look").click()
    lab.get_by_role("group", name="Block").get_by_role("radio", name="2", exact=True).check(force=True)
    for _ in range(2):
        lab.keyboard.press("Control+z")
    assert lab.evaluate(focused) == "Hide"
    lab.keyboard.press("Control+Shift+z")
    assert hidden(lab) == [3]


def test_the_line_under_the_photo_is_of_what_is_shown(lab: Any) -> None:
    cell(lab, 0).focus()
    lab.keyboard.press("Enter")
    readout = lab.locator(".lab-photo .inside-readout")
    assert readout.text_content() == "Row 1, column 1, hidden"
    lab.keyboard.press("Enter")
    assert readout.text_content() == "Row 1, column 1"
    assert hidden(lab) == []


def test_the_viewers_exact_share_is_that_of_the_new_look(page: Any, site_url: str) -> None:
    page.goto(f"{site_url}viewer/?layer=2&head=1")
    page.wait_for_selector("[data-inside-state=ready]")
    first = page.locator("[data-side=left] [data-place='20']")
    first.focus()
    page.keyboard.press("Enter")
    share = first.get_attribute("data-value")
    told = page.locator(".inside-panel").first.locator(".inside-readout").text_content()
    assert float(told.split(": ")[1]) == pytest.approx(float(share), rel=1e-6)
    output: Any = deit_ref.forward(deit_ref.load_weights(), bundled_photo(), output_attentions=True)
    assert float(share) == pytest.approx(float(output.attentions[1][0, 0, 22, 22]), rel=1e-4)


def test_a_search_that_a_reader_has_left_sets_nothing(page: Any, site_url: str) -> None:
    root = instance(page, site_url, "heads")
    button = root.get_by_role("button", name="Find a photo on which they disagree")
    button.click()
    run(page, "(await get('lab/session')).session.set({ photo: 'coffee', hidden: [1] });")
    found = run(
        page,
        """
        const { session } = await get("lab/session");
        for (let i = 0; i < 400 && session.state.photo === "coffee"; i++) await session.answer({ lane: "later" });
        return [session.state.photo, session.state.hidden];
        """,
    )
    assert found == ["coffee", [1]]
    button.click()
    page.wait_for_function(
        "document.querySelector('[data-inside=chapter-heads]').textContent.includes('They disagree')"
    )


def test_where_a_patch_looks_follows_a_photo_that_comes_late(page: Any, site_url: str) -> None:
    instance(page, site_url, "attention")
    run(
        page,
        """
        const { session } = await get('lab/session');
        session.set({ photo: 'rocket', layer: 1, head: 0 });
        await session.photo_of('rocket');
        const pause = () => new Promise((go) => setTimeout(go, 2));
        for (let i = 0; i < 40; i++) { session.set({ query: 2 + i }); await pause(); }
        """,
    )
    output: Any = deit_ref.forward(deit_ref.load_weights(), bundled_photo("rocket"), output_attentions=True)
    expected = [round(float(share), 5) for share in output.attentions[1][0, 0, 2 + 26]]  # the patch that begins
    page.wait_for_function(
        "x => JSON.parse(document.querySelector('[data-inside=chapter-attention]').dataset.shares)"
        ".every((share, i) => Math.abs(share - x[i]) < 2e-5)",
        arg=expected,
    )


def test_after_a_worker_that_could_not_be_read_the_next_one_serves(browser: Any, site_url: str) -> None:
    page = browser.new_page()
    page.route("**/engine/worker.js", lambda route: route.abort())
    page.goto(site_url)
    button = page.get_by_role("button", name="Hide a patch")
    button.click()
    page.wait_for_function("document.body.textContent.includes('The worker failed')")
    page.unroute("**/engine/worker.js")
    button.click()
    page.wait_for_selector(".lab-headline strong")
    page.close()


def test_a_walk_whose_files_could_not_be_read_says_so(browser: Any, site_url: str) -> None:
    page = browser.new_page()
    page.route("**/views/tour.js", lambda route: route.abort())
    page.goto(f"{site_url}steps/")
    page.wait_for_selector("[data-inside-state=ready]")
    button = page.get_by_role("button", name="A walk through the pass")
    button.click()
    page.wait_for_function("document.querySelector('.views-walks').textContent.includes('reload the page')")
    assert button.get_attribute("aria-disabled") is None
    page.close()


def test_who_has_left_a_walk_is_not_called_back(page: Any, site_url: str) -> None:
    page.goto(f"{site_url}steps/")
    page.wait_for_selector("[data-inside-state=ready]")
    page.get_by_role("button", name="A walk through the pass").click()
    page.wait_for_selector(".lab-walk[data-step='0']")
    page.locator(".inside-toolbar").get_by_role("button", name="Last").click()
    page.get_by_text("You have left the walk").wait_for()
    page.get_by_role("radio", name="Coffee").check(force=True)
    page.wait_for_url("**photo=coffee**")
    run(page, "await (await get('lab/session')).session.answer({ lane: 'later' });")
    assert "step=logits" in page.url


def test_a_photo_that_cannot_be_fetched_is_said_and_the_other_one_stays(browser: Any, site_url: str) -> None:
    page = browser.new_page()
    root = instance(page, site_url, "heads")
    page.route("**/*rocket*", lambda route: route.abort())
    root.get_by_role("combobox").select_option("rocket")
    page.wait_for_function("document.querySelector('[data-inside=chapter-heads] select').value === 'chelsea'")
    note = root.locator(".play-photos .inside-note")
    assert note.text_content().startswith("The photo stays, as the other one could not be had: ")
    page.unroute("**/*rocket*")
    root.get_by_role("combobox").select_option("rocket")
    page.wait_for_function("document.querySelector('.play-photos .inside-note').textContent.includes('Photo: ')")
    page.close()


def test_what_is_on_its_way_no_longer_does_not_say_that_it_is(browser: Any, site_url: str) -> None:
    page = browser.new_page()
    page.route("**/model.safetensors", lambda route: route.abort())
    page.goto(f"{site_url}lab/")
    page.wait_for_selector("[data-inside=lab][data-inside-state=failed]")
    assert "on its way" not in page.locator("[data-inside=lab]").text_content()
    page.close()
