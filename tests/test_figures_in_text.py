"""Measured figures that README and chapters quote are those of the stored benchmarks."""

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from deit_ref.training.recipe import RECIPES

ROOT = Path(__file__).parent.parent


def ratios(batch):
    """Lowest to highest time at 224 pixels as a share of that of eager attention, for each backend, in float32."""
    found = {"numpy": [], "torch": []}
    table = json.loads((ROOT / "docs" / "data" / "side_by_side.json").read_text(encoding="utf-8"))
    table["rows"] += json.loads((ROOT / "docs" / "data" / "side_by_side_one.json").read_text(encoding="utf-8"))["rows"]
    for _, size, dtype, who, _, _, ratio, *_ in table["rows"]:
        if who in found and size == str(batch) and dtype == "float32":
            found[who].append(float(ratio))
    one_thread = json.loads((ROOT / "docs" / "data" / "cpu.json").read_text(encoding="utf-8"))
    for case, who, *_, ratio in one_thread["rows"]:
        if who in found and case.endswith(f"224 px, batch {batch}"):
            found[who].append(float(ratio))
    return {who: f"{min(values):.2f} to {max(values):.2f}" for who, values in found.items()}


@pytest.mark.parametrize("batch", [1, 8])
def test_the_readme_quotes_the_range_that_was_measured(batch):
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    measured = ratios(batch)
    for quoted in measured.values():
        assert quoted in text
    assert text.index(measured["torch"]) < text.index(measured["numpy"], text.index(measured["torch"]))


def test_chapter_16_says_what_a_resize_costs():
    table = json.loads((ROOT / "docs" / "data" / "cpu.json").read_text(encoding="utf-8"))
    found = sorted(ratio for case, who, *_, ratio in table["rows"] if case.startswith("resize") and who == "numpy")
    assert len(found) == 4
    assert f"take this NumPy code {found[0]} to {found[-1]} times as long as Pillow" in chapter("resize")


def test_the_readme_quotes_the_ratios_at_512_pixels():
    one_thread = json.loads((ROOT / "docs" / "data" / "cpu.json").read_text(encoding="utf-8"))
    found = {who: ratio for case, who, *_, ratio in one_thread["rows"] if case == "base, 512 px, batch 1"}
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"at 512 pixels takes {found['torch']} and {found['numpy']} times as long" in text


def read(name):
    return json.loads((ROOT / "docs" / "data" / f"{name}.json").read_text(encoding="utf-8"))


def times(name):
    """Milliseconds by model, batch, dtype and peer, of a run of `deit-ref benchmark`."""
    measured = [record for record in read(name)["records"] if "milliseconds" in record]
    return {(r["model"], r["batch"], r["dtype"], r["peer"]): r["milliseconds"][0] for r in measured}


def spread(name, who, beside):
    """Lowest to highest time of one peer as a share of another's in float32."""
    found = times(name)
    shares = [found[*case, "float32", who] / found[*case, "float32", beside] for case in CASES]
    return f"{min(shares):.2f} to {max(shares):.2f}"


def spread_of_both(who, beside):
    """On two threads and on one."""
    ends = [end for name in ("side_by_side", "side_by_side_one") for end in spread(name, who, beside).split(" to ")]
    return f"{min(ends)} to {max(ends)}"


CASES = [(model, batch) for model in ("tiny", "base") for batch in (1, 8)]


def test_the_readme_quotes_prepared_and_its_peers():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"compiles a pass first, takes {spread_of_both('torch-compiled', 'transformers-eager')} times" in text
    assert f"onnxruntime takes {spread_of_both('onnxruntime', 'transformers-eager')} times" in text
    low, high = zip(*(spread("side_by_side", f"{name}-compiled", "transformers-eager").split(" to ")
                      for name in ("transformers", "timm")), strict=True)  # fmt: skip
    assert f"both under `torch.compile` {min(low)} to {max(high)} (on two threads)" in text
    sdpa, timm = (spread_of_both(peer, "transformers-eager") for peer in ("transformers-sdpa", "timm"))
    assert f"transformers with SDPA {sdpa}, timm {timm}" in text


def test_the_page_on_performance_says_what_was_measured():
    text = " ".join((ROOT / "docs" / "performance.md").read_text(encoding="utf-8").split())
    two, one = "side_by_side", "side_by_side_one"
    prepared, sdpa, timm, eager = "torch-compiled", "transformers-sdpa", "timm", "transformers-eager"
    found = times(two)
    assert (
        f"takes {spread(two, prepared, sdpa)} times as long as transformers with SDPA on two threads, and "
        f"{spread(one, prepared, sdpa)} times on one"
    ) in text
    assert (
        f"takes {spread(two, prepared, 'onnxruntime')} times as long as onnxruntime on two threads and "
        f"{spread(one, prepared, 'onnxruntime')} times on one: less, but for the tiny model with one photo"
    ) in text
    for name in (two, one):
        ratios = {case: times(name)[*case, "float32", prepared] / times(name)[*case, "float32", "onnxruntime"]
                  for case in CASES}  # fmt: skip
        assert {case for case, ratio in ratios.items() if ratio > 0.95} == {("tiny", 1)}
        assert all(ratio < 1.05 for ratio in ratios.values())
        others = {peer for *_, peer in times(name)} - {prepared, "onnxruntime"}
        assert all(
            times(name)[*case, "float32", prepared] < times(name)[*case, "float32", peer]
            for case in CASES
            for peer in others
        )
    compiled = [spread(two, f"{name}-compiled", plain) for name, plain in (("transformers", sdpa), ("timm", timm))]
    assert f"as constants, take {compiled[0]} and {compiled[1]} times as long as without it, on two threads" in text
    low, high = zip(*(spread(two, prepared, f"{name}-compiled").split(" to ") for name in ("transformers", "timm")),
                    strict=True)  # fmt: skip
    assert f"`prepared` takes {min(low)} to {max(high)} times as long as they do" in text
    begun = [
        record["seconds_to_begin"]
        for record in read(two)["records"]
        if record["peer"] in ("transformers-compiled", "timm-compiled") and record["dtype"] == "float32"
    ]
    assert f"after {min(begun):.0f} to {max(begun):.0f} seconds" in text
    begun = [
        record["seconds_to_begin"]
        for name in (two, one)
        for record in read(name)["records"]
        if record["peer"] == prepared and record["dtype"] == "float32"
    ]
    assert f"with compiling, {min(begun):.0f} to {max(begun):.0f} seconds to its first answer" in text
    assert f"its process takes {min(begun):.0f} to {max(begun):.0f} seconds to begin" in text
    peaks = {
        (record["model"], record["batch"], record["peer"]): record["peak_bytes"]
        for record in read(two)["records"]
        if record["dtype"] == "float32"
    }
    assert all(1.8 < peaks[*case, prepared] / peaks[*case, "torch"] < 2.2 for case in CASES)
    more = [peaks[*case, prepared] / peaks[*case, "onnxruntime"] for case in CASES]
    assert f"{min(more):.1f} to {max(more):.1f} times as much as onnxruntime's" in text
    half = [found[*case, "bfloat16", prepared] / found[*case, "bfloat16", f"{name}-compiled"]
            for case in CASES for name in ("transformers", "timm")]  # fmt: skip
    assert f"in bfloat16 it takes {min(half):.2f} to {max(half):.2f} times as long as they do" in text
    assert f"Beside onnxruntime it takes {spread_of_both('torch', 'onnxruntime')} times as long" in text
    odd = {
        name: times(name)["tiny", 8, "float32", sdpa] / times(name)["tiny", 8, "float32", eager] for name in (two, one)
    }
    assert f"eight photos ({odd[two]:.2f} times), and not on one ({odd[one]:.2f})" in text
    of_three = ((prepared, sdpa), ("transformers-compiled", sdpa), ("torch", sdpa))
    with_it, without = (
        [
            min(found[*case, "float32", who] / found[*case, "float32", beside] for case in cases)
            for who, beside in of_three
        ]
        for cases in (CASES, [case for case in CASES if case != ("tiny", 8)])
    )
    told = [", ".join(f"{low:.2f}" for low in lows[:2]) + f" and {lows[2]:.2f}" for lows in (with_it, without)]
    assert f"of two threads, {told[0]}, would be {told[1]}" in text
    assert f"beside SDPA it is {spread(two, 'numpy', sdpa)} and {spread(one, 'numpy', sdpa)}" in text
    assert (
        f"takes {spread(two, 'torch', sdpa)} times as long as SDPA and {spread(two, 'torch', timm)} times as long as "
        f"timm on two threads, {spread(one, 'torch', sdpa)} and {spread(one, 'torch', timm)} times on one"
    ) in text
    shares = [found[*case, "bfloat16", "torch"] / found[*case, "float32", "torch"] for case in [*CASES[2:], *CASES[:2]]]
    assert (
        f"takes {shares[0]:.2f} and {shares[1]:.2f} of the torch backend's float32 time at base size, with one photo "
        f"and with eight, and {shares[2]:.2f} and {shares[3]:.2f} in the tiny model"
    ) in text
    assert f"takes {spread_of_both(prepared, 'torch')} of the torch backend's time" in text
    assert (
        f"takes {spread(two, 'numpy', eager)} times as long as transformers' eager attention on two threads, "
        f"{spread(one, 'numpy', eager)} on one"
    ) in text


def test_the_page_on_performance_says_how_long_many_photos_take():
    text = " ".join((ROOT / "docs" / "performance.md").read_text(encoding="utf-8").split())
    *_, longer, _, half = zip(*read("many_photos")["rows"], strict=True)
    assert f"takes {min(longer)} to {max(longer)} times as long as the longer part" in text
    assert f"it takes {min(half)} to {max(half)} times the sum, divided by the cores" in text
    assert longer.index(max(longer)) == half.index(max(half)) == 0


def stored(name):
    return read(f"inside_{name}")["results"]


def chapter(name):
    return " ".join((ROOT / "docs" / "chapters" / f"{name}.md").read_text(encoding="utf-8").split())


def test_chapter_5_says_how_far_heads_look():
    """Which blocks look nearest and farthest."""
    blocks = stored("distance")
    even = float(re.search(r"gives (\S+)\.", json.dumps(read("inside_distance")["notes"])).group(1))
    assert min(min(heads) for heads in blocks[-2:]) > 0.9 * even
    text = chapter("attention")
    assert "the last two blocks every head looks nearly as far as one that gives all patches the same share" in text
    order = sorted((look, block) for block, heads in enumerate(blocks, 1) for look in heads)
    assert {block for _, block in order[:4]} == {2, 3}
    assert "The heads that look nearest are in blocks 2 and 3, not in block 1." in text


def test_chapter_7_says_where_the_answer_is_made():
    heads = stored("lens")
    for values in heads.values():
        assert values[4] - values[2] > (values[6] - values[0]) / 2
    assert "More than half of the way is made in blocks 3 and 4." in chapter("heads")
    ahead = [b - a for a, b in zip(heads["class head"], heads["distillation head"], strict=True)][1:]
    assert all(0 < points < 0.02 for points in ahead)
    assert "ahead of the class head after every block, but never by as much as two points" in chapter("heads")


def test_chapter_7_draws_the_numbers_that_it_computes():
    """Bars of Figure 7.1, from left to right, against the printed logits of the class and distillation token."""
    drawing = (ROOT / "docs" / "figures" / "heads.svg").read_text(encoding="utf-8")
    bars = re.findall(r'<rect x="(?:4|5|6)\d\d" y="[\d.]+" width="30" height="([\d.]+)"', drawing)
    printed = re.findall(r"^\[\[(.*)\]\]$", (ROOT / "docs/chapters/heads.md").read_text(encoding="utf-8"), re.M)[:3]
    mean, cls, dist = ([float(value) for value in row.split(",")] for row in printed)
    assert [float(bar) / 28 for bar in bars] == pytest.approx([*cls, *dist, *mean])


def test_chapter_14_says_what_a_silent_head_costs():
    whole = float(re.search(r"([\d.]+)%", " ".join(read("inside_silenced")["notes"])).group(1)) / 100
    cost = [whole - accuracy for heads in stored("silenced") for accuracy in heads]
    assert f"{sum(c < 0.01 for c in cost)} of the {len(cost)} heads cost less than one point" in chapter("relevance")
    assert max(cost) < 0.03


def test_chapter_12_says_how_alike_the_tokens_are():
    found = stored("cosine")
    blocks = f"{min(found['blocks']):.2f} to {max(found['blocks']):.2f} after the blocks"
    assert f"{blocks}, and {found['end']:.2f} at the end" in chapter("distillation")
    start = f"{found['learned']:.2f} as learned, {found['with positions']:.2f} with the positions"
    assert start in chapter("distillation")


def students(*questions):
    return {way: runs for question in questions for way, runs in read(f"distillation_{question}")["results"].items()}


def span(values, form=".1f"):
    # Halves, which float64 holds a little too large or too small, go away from 0.
    low, high = (format(value + math.copysign(1e-9, value), form) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def ahead(one, other, head="mean of logits", beside=None):
    """By how many points of percent, seed by seed."""
    assert [run["seed"] for run in one] == [run["seed"] for run in other] == [0, 1, 2]
    return [100 * (a[head] - b[beside or head]) for a, b in zip(one, other, strict=True)]


RELEASED, EQUATION, NINE = "soft, as released", "soft, equation 2", "soft, equation 2, weight 0.9"
HARD_NINE = "hard, weight 0.9"


def test_chapter_12_says_which_teaching_is_ahead():
    found, text = students("teaching"), chapter("distillation")
    gains = {way: ahead(found[way], found["no teacher"]) for way in (RELEASED, "hard", EQUATION, HARD_NINE, NINE)}
    assert min(map(min, gains.values())) > 0
    assert (
        "gains {} points with soft distillation as released, {} with hard distillation, {} with soft distillation as "
        "in equation 2, and at nine tenths of the weight {} with hard and {} with soft distillation".format(
            *map(span, gains.values())
        )
    ) in text
    behind = ahead(found["hard"], found[RELEASED])
    level, lead = (ahead(found[way], found["hard"]) for way in (EQUATION, NINE))
    assert min(*behind, *lead) > 0
    assert min(level) < 0 < max(level)
    assert f"soft distillation stays {span(behind)} points behind hard distillation, with every seed" in text
    assert f"is level with it ({span(level, '+.1f')} points)" in text
    assert f"With nine tenths of the weight it is {span(lead)} points ahead with every seed" in text
    itself, soft = (ahead(found[way], found[HARD_NINE]) for way in ("hard", NINE))
    assert min(*itself, *soft) > 0
    assert f"is {span(itself)} points behind hard distillation at one half with every seed, and {span(soft)} be" in text
    pulls = [[run["pull"] for run in found[way]] for way in (RELEASED, EQUATION, NINE, "hard", HARD_NINE)]
    assert all(max(less) < min(more) for less, more in itertools.pairwise(pulls))
    lone = [run["pull"] for run in found["no teacher"]]  # the label's, at a weight of a half
    loud, hard, loudest = ([a / b for a, b in zip(pull, lone, strict=True)] for pull in pulls[2:])
    assert f"the loudest of all, with {span([times / 0.2 for times in loudest], '.0f')} times the label's pull" in text
    assert 5 < min(loud) / 0.2 < max(loud) / 0.2 < 6
    assert f"this teacher has more than five times the label's pull, and the hard one {span(hard)} times" in text
    assert (
        f"({span(pulls[1], '.2f')} against {span(pulls[3], '.3f')}), $\\alpha = 0.9$ to {span(pulls[2], '.2f')}" in text
    )


def test_chapter_12_says_what_each_head_is_worth():
    found, text = students("teaching"), chapter("distillation")
    taught = [run for way, runs in found.items() if way != "no teacher" for run in runs]
    gap = [100 * (run["distillation head"] - run["class head"]) for run in taught]
    assert min(gap) > 0
    assert f"The distillation head ends up {span(gap)} points ahead of the class head, with every way" in text
    behind = sum(run["mean of logits"] < run["distillation head"] for run in taught)
    assert f"in {behind} of {len(taught)} runs it is behind the distillation head alone" in text
    differ = [100 * run["differ"] for run in taught]
    assert f"the two rules differ on {span(differ)}% of the photos" in chapter("heads")
    moved = max(abs(run["mean of probabilities"] - run["mean of logits"]) for run in taught)
    assert f"changes {span(differ)}% of the answers, and no accuracy by more than {100 * moved:.2f} points" in text
    assert min(run["mean of probabilities"] - run["mean of logits"] for run in found["hard"]) > 0
    learned = [100 * run["train_accuracy"] for runs in students("teaching", "token").values() for run in runs]
    assert f"on mixed training photos the students name the larger share of {span(learned, '.0f')}%" in text


def test_chapter_12_says_what_the_second_token_adds():
    found, text = students("token"), chapter("distillation")
    taught = ahead(found["hard, one token"], found["no teacher, one token"], "class head")
    assert f"the gain is the teacher's, {span(taught)} points with one token" in text
    both, alone = (
        ahead(found["hard"], found["hard, one token"], head, "class head")
        for head in ("mean of logits", "distillation head")
    )
    assert f"the mean of both heads has {span(both, '+.1f')} points and the distillation head" in text
    assert f"the distillation head alone {span(alone, '+.1f')}: neither" in text
    level, more = (
        ahead(found["hard"], found["hard, two class tokens"], head, "mean of logits")
        for head in ("mean of logits", "distillation head")
    )
    assert f"the mean is level ({span(level, '+.1f')}) and the distillation head {span(more)} ahead with every" in text
    paper = re.search(r"a hard teacher, one token \|(.*?)\| a hard.*?distillation head \|(.*?)\| both", text)
    one, head = ([float(cell) for cell in cells.split("|") if cell.strip()] for cells in paper.groups())
    assert f"is {span([b - a for a, b in zip(one, head, strict=True)])} points ahead of one token" in text
    cosines = {way: [run["cosines"] for run in found[way]] for way in ("no teacher", "hard, two class tokens", "hard")}
    blocks = [span([x for run in runs for x in run["blocks"]], ".3f") for runs in cosines.values()]
    assert (
        "copies, by labels alone ({} after the blocks) and with a hard teacher whom both hear ({}). With a target each "
        "they come less close ({})".format(*blocks)
    ) in text
    apart = span([run["learned"] for run in cosines.pop("hard")], ".2f")
    copies = span([run["learned"] for runs in cosines.values() for run in runs], ".2f")
    assert f"they have learned to be farther apart ({apart} instead of {copies})" in text


def test_chapter_12_says_how_often_the_teacher_names_the_label():
    (_, label, larger, _, neither), _ = read("distillation_in_training")["rows"]
    text = chapter("distillation")
    assert f"the convnet names the label of {float(label):.1f}%" in text
    assert f"In {float(neither):.1f}% it names a class that is in neither" in text
    assert f"the teacher of {float(larger):.0f}%" in text


def test_chapter_12_says_what_label_smoothing_does_to_a_soft_teacher():
    """Its logits differ by log(0.82 / 0.02); at temperature 3, beside ten equal classes."""
    smoothing = RECIPES["cifar10-teacher"].label_smoothing
    shares = np.full(10, smoothing / 10)
    shares[0] += 1 - smoothing
    flat = shares ** (1 / 3)
    pull = 1.5 * np.linalg.norm(flat / flat.sum() - 0.1)
    text = chapter("distillation")
    assert (
        f"smoothed labels ({smoothing}): one that had learned those exactly would pull {pull:.2f} on any photo" in text
    )


def test_chapter_12_says_who_teaches_better():
    found, text = students("teacher"), chapter("distillation")
    deit, both = "hard, from a DeiT", "hard, from both"
    lead = ahead(found[deit], found["hard"])
    assert min(lead) > 0
    assert f"the DeiT is the better teacher**, by {span(lead)} points with every seed" in text
    over, behind = ahead(found[both], found["hard"]), ahead(found[deit], found[both])
    assert min(*over, *behind) > 0
    assert f"with every seed, too, by {span(over)} points, and behind the DeiT by {span(behind)}." in text
    (_, _, one, *_), (_, _, other, *_) = read("distillation_in_training")["rows"]
    assert f"equally often all the same, {float(one):.1f} and {float(other):.1f}%" in text


def test_chapter_12_says_whom_the_heads_agree_with():
    table, text = read("distillation_agreement"), chapter("distillation")
    rows = {name: [float(cell.split()[0]) for cell in cells[:4] if cell] for name, *cells in table["rows"]}
    assert table["columns"][1:5] == ["labels", "convnet", "deit", "no teacher"]
    head, dist = rows["hard: class head"], rows["hard: distillation head"]
    labels, convnet, deit, lone = (a - b for a, b in zip(head, dist, strict=True))
    assert min(labels, convnet, deit) > 0 > lone
    assert f"closer to the convnet that teaches than the class head is, {dist[1]:.1f} against {head[1]:.1f}" in text
    assert f"closer to the labels as well, by {labels:.1f} points, and to the DeiT, by {deit:.1f}" in text
    assert f"away from the student without a teacher, {dist[3]:.1f} against {head[3]:.1f}" in text
    assert all(row[2] < row[1] for name, row in rows.items() if name not in ("convnet", "deit"))
    right = [f"{100 - rows[name][0]:.1f}%" for name in ("deit", "convnet")]
    assert f"it names {right[0]} of the test photos, and `cifar10-teacher` as it teaches, with one look" in text
    assert f"at the photo and not two, {right[1]}." in text
    closer = [f"{a - b:.1f}" for a, b in zip(rows["hard: both"], rows["hard, from a DeiT: both"], strict=True)][:3]
    assert "to the labels by {} points, to the convnet by {}, to the DeiT by {}.".format(*closer) in text
    other = {name: cells[4].split()[0] for name, *cells in table["rows"] if cells[4]}
    assert f"these two heads differ on {float(other['hard: class head']):.1f}% of the photos" in text


def test_the_recipe_says_what_each_part_costs_a_small_student():
    found, text = students("augmentation"), chapter("recipe")
    means = {way: 100 * run["mean of logits"] for way, (run,) in found.items()}
    gain = {way: mean - means["all augmentation"] for way, mean in means.items()}
    assert (
        f"Without RandAugment the student gains {gain['all but RandAugment']:.1f} points, without mixup and cutmix "
        f"{gain['all but mixup and cutmix']:.1f}, without repeats {gain['all but repeated augmentation']:.1f}, "
        f"and with crop and flip alone {gain['crop and flip alone']:.1f}." in text
    )
    assert f"Only mixup does not ({gain['all but mixup']:.1f} without it" in text
    assert f"stochastic depth ({gain['all but stochastic depth']:.1f}) cannot be told" in text
    assert {way for way in gain if gain[way] < 0} == {"all but mixup", "all but stochastic depth"}
    (plain,) = found["crop and flip alone"]
    shares = (100 * plain[name] for name in ("train_accuracy", "mean of logits"))
    assert "names {:.0f}% of the photos that it learns from and {:.0f}% of those it".format(*shares) in text
    usual = np.mean([run["mean of logits"] for run in students("teaching")["no teacher"]])
    assert f"a little stochastic depth: {100 * usual:.1f}%" in text


def test_the_recipe_says_what_other_sizes_cost():
    found, text = read("resolution")["results"], chapter("recipe")
    before, after = ({size: 100 * found[f"{size} pixels, bicubic"][when] for size in (24, 32, 40, 48)}
                     for when in ("before", "after"))  # fmt: skip
    lost = [before[32] - before[size] for size in (24, 40, 48)]
    assert [round(2 * loss) / 2 for loss in lost] == [2.5, 2.5, 10.5]
    assert "loses 2.5 points at 24 and at 40 pixels and 10.5 at 48" in text
    assert f"back to {after[40]:.1f} and {after[48]:.1f}%, and leaves 24 where it was" in text
    assert abs(after[24] - before[24]) < 0.2
    assert f"costs {before[32] - after[32]:.1f} points by itself" in text
    assert {f"{after[size] - after[32]:.1f}" for size in (40, 48)} == {"0.3"}
    ways = [[100 * row["before"] for name, row in found.items() if name.startswith(f"{size} ")] for size in before]
    assert f"differ by {max(max(row) - min(row) for row in ways):.1f} points at most" in text


def test_chapter_13_and_the_card_say_what_drawing_first_is_worth():
    found, text = read("pretraining")["results"], chapter("simmim")
    new, drawn = (
        {rate: [100 * value for value in found[f"{start}, {rate}"]["10"]] for rate in ("0.0005", "0.002")}
        for start in ("new weights", "after masked pre-training")
    )
    assert all(min(values["0.002"]) > max(values["0.0005"]) for values in (new, drawn))
    lead = [a - b for a, b in zip(drawn["0.002"], new["0.002"], strict=True)]
    assert f"those that drew first are {span(lead)} points ahead with every seed" in text
    card = (ROOT / "deit_ref/pretrained/cifar10-simmim/README.md").read_text(encoding="utf-8")
    for what, values in (("500 labeled photos of a class, 3 seeds", drawn), ("from new weights", new)):
        mean, spread = np.mean(values["0.002"]), np.std(values["0.002"], ddof=1)
        assert f"{what} | {mean:.1f} ± {spread:.1f}% |" in card


@pytest.mark.parametrize("page", ["README.md", "docs/training.md"])
def test_pages_quote_the_means_of_three_seeds(page):
    found = students("teaching")
    means = {way: f"{100 * sum(run['mean of logits'] for run in runs) / 3:.1f}%" for way, runs in found.items()}
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    start = text.index(means["no teacher"])
    places = [text.index(means[way], start) for way in ("no teacher", RELEASED, "hard", EQUATION, NINE, HARD_NINE)]
    assert places == sorted(places)
    assert places[-1] - places[0] < 400
