"""From tokens to an answer: looks, the stream, what the heads say, and the whole run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from inside_data import same_part

from deit_ref.photos import bundled_photo
from pictures.charts import TOKENS, bars, curves, key, table
from pictures.parts import Array, figure, lit, panel, percent, picture
from pictures.run import EYE, SHOWS, Run, cut, run, step, viewer


def hero(weights: Any) -> str:
    """From a photo to an answer, in four pictures."""
    r = run(weights)
    last, top = len(r.attentions) - 1, r.top(r.output.logits)
    looks = r.look(last, 0)
    (height, width), (rows, columns) = r.seen.shape[:2], r.grid
    return figure(
        [
            panel("A photo", picture(same_part(r.photo, r.seen, weights.image_processing), SHOWS, photo=True)),
            panel(f"{rows * columns} patches", cut(r)),
            panel("Where it looks", _glowing(r, looks, "cls", TOKENS["cls"])),
            panel("The answer", bars(top, "line")),
        ],
        f"The bundled model reads {height} × {width} pixels, cut into {rows * columns} patches. In the last of its "
        f"{last + 1} blocks the class token, which stands for the whole photo, spends {percent(looks.max())} of its "
        f"attention on a single patch, the brightest in the third picture (mean of its {r.attentions.shape[1]} "
        "attention heads). "
        f"The answer is {top[0][0]}, with {percent(top[0][1])}.",
        links={"this look in the viewer": viewer(last), "every step": "steps.md"},
    )


def hide(weights: Any) -> str:
    """The photo and what both heads answer; in the page, patches of it can be hidden."""
    r = run(weights)
    photo = picture(same_part(r.photo, r.seen, weights.image_processing), SHOWS, photo=True)
    heads = {"cls": ("class head", r.output.cls_logits), "dist": ("distillation head", r.output.distillation_logits)}
    answers = "".join(f"<p>{name}</p>{bars(r.top(logits), color)}" for color, (name, logits) in heads.items())
    return figure(
        [panel("The same photo", photo), panel("What both heads answer", answers)],
        "The photo again, and what the model's two outputs answer, one for each of its two extra tokens. Where the "
        "page can run the model, a click on a patch "
        f"hides it, and the answers move; the model, {_megabytes():.1f} MB, is fetched then, and the photo is sent "
        "nowhere.",
        links={"the lab": "lab.md"},
    )


def _megabytes() -> float:
    """Of the bundled model's file."""
    return (bundled_photo().parent / "cifar10-distilled" / "model.safetensors").stat().st_size / 1e6


def attention(weights: Any) -> str:
    """A sharp head, an even one, and a patch that asks."""
    r = run(weights)
    eye, spread = r.patch_token(EYE), r.spread(0)
    sharp, even, patch = r.sharpest(0), r.evenest(0), r.sharpest(eye)

    def shown(title: str, token: int, at: tuple[int, int], color: str, who: str) -> str:
        looks = r.look(at[0], token, at[1])
        drawn = _glowing(r, looks, color, who, outlined=[r.square(EYE)] if token == eye else [])
        return panel(
            title,
            drawn,
            f"{_where(at)}: spread over {r.spread(token)[at]:.1f} tokens, brightest {percent(looks.max())}",
        )

    return figure(
        [
            panel(
                "What the model sees",
                picture(r.seen, f"{SHOWS}, in few pixels, a patch outlined", outlined=[r.square(EYE)]),
            ),
            shown("Class token, sharp", 0, sharp, "cls", TOKENS["cls"]),
            shown("Class token, even", 0, even, "cls", TOKENS["cls"]),
            shown("The outlined patch", eye, patch, "image", "the outlined patch"),
        ],
        f"Where tokens look in the bundled model. Of its {spread.size} heads, {_where(sharp)} gives the class token "
        f"most from a single patch, {percent(r.look(sharp[0], 0, sharp[1]).max())}, and {_where(even)} spreads its "
        f"attention most, over {spread[even]:.1f} of {r.stream.shape[1]} tokens. (Equal shares for ten tokens and none "
        f"for the others are a spread of 10.) The last picture is where the outlined patch looks, in the head that "
        f"gives it most from a single patch, {_where(patch)}. Each picture has a scale of its own.",
        links={
            "the sharp head": viewer(*sharp),
            "the even one": viewer(*even),
            "the patch": viewer(*patch, right=f"{EYE[0] + 1}-{EYE[1] + 1}"),
            "all shares of the first block": step("blocks.0.attention.probabilities"),
        },
    )


def encoder(weights: Any) -> str:
    """The length of the residual stream, per kind of token."""
    r = run(weights)
    lengths = np.linalg.norm(r.stream, axis=2)  # (1 + blocks, tokens)
    patches = lengths[:, weights.config.num_prefix_tokens :]
    lines = {"cls": lengths[:, 0], "dist": lengths[:, 1], "image": patches.mean(axis=1)}
    drawn = curves(
        lines,
        "Lengths of class token, distillation token and patches after each block",
        band=(patches.min(axis=1), patches.max(axis=1)),
    )
    (cls_first, *_, cls_last), (dist_first, *_, dist_last), (first, *_, last) = lines.values()
    blocks = len(lengths) - 1
    return figure(
        [
            panel(
                "Length of the stream",
                drawn + key({**TOKENS, "image": "patches, mean"}),
                "Band: from the shortest patch to the longest.",
            )
        ],
        f"The residual stream of the photo in the bundled model, from the embeddings (0) to the last of {blocks} "
        f"blocks. The class token’s length goes from {cls_first:.1f} to {cls_last:.1f}, the distillation token’s from "
        f"{dist_first:.1f} to {dist_last:.1f}, and that of the patches, on average, from {first:.1f} to {last:.1f}.",
        links={
            "the embeddings": step("embeddings"),
            "after block 1": step("blocks.0.output"),
            f"after block {blocks}": step(f"blocks.{blocks - 1}.output"),
        },
    )


def lens(weights: Any) -> str:
    """What both heads would answer after every block."""
    r = run(weights)
    answers = r.lens()  # (1 + blocks, 2, classes)
    best = answers.argmax(axis=2)
    last = int(r.output.logits[0].argmax())
    rows = [
        [
            f"block {i}" if i else "embeddings",
            *(_said(r, shares, last, color) for shares, color in zip(both, TOKENS, strict=True)),
        ]
        for i, both in enumerate(answers)
    ]
    return figure(
        [table(["after", "class head says", "distillation head says"], rows)],
        "The logit lens: the last norm and the two heads, applied to the stream of the photo after every block, as if "
        "the bundled model ended there. At the embeddings the two tokens have seen nothing yet, so what they say there "
        "is the same for every photo. A bar is the probability of the class that is named, filled where that is the "
        f"model’s answer, {r.names[last]}. {_settled('class', best[:, 0], last)} "
        f"{_settled('distillation', best[:, 1], last)}",
        links={"the last stream": step(f"blocks.{len(answers) - 2}.output"), "after the norm": step("norm")},
    )


def heads(weights: Any) -> str:
    """Class against distillation token: looks and answers."""
    r = run(weights)
    block = len(r.attentions) - 1
    tops = [r.top(logits) for logits in (r.output.cls_logits, r.output.distillation_logits, r.output.logits)]
    (first, first_share), (second, second_share), (mean, mean_share) = (top[0] for top in tops)
    looks = [r.look(block, token) for token in range(2)]
    panels = [
        panel(name.capitalize(), _glowing(r, look, color, f"the {name}") + bars(top, color))
        for (color, name), look, top in zip(TOKENS.items(), looks, tops, strict=False)
    ]
    panels.append(panel("The mean of both", bars(tops[2], "line"), wide=True))
    said = f"The class head says {first}, with {percent(first_share)}, and the distillation head "
    said += "the same" if first == second else f"{second}"
    return figure(
        panels,
        f"Where the two tokens look in the last block of the bundled model, mean of all heads, and what the two heads "
        f"and the model say. The two looks have a correlation of {np.corrcoef(*map(np.ravel, looks))[0, 1]:.2f}. "
        f"{said}, with {percent(second_share)}; the mean of their logits says {mean}, with {percent(mean_share)}.",
        links={
            "both looks": viewer(block),
            "class logits": step("cls_logits"),
            "distillation logits": step("distillation_logits"),
        },
    )


def model(weights: Any) -> str:
    """The whole run as a strip."""
    r = run(weights)
    blocks, top = len(r.attentions), r.top(r.output.logits)
    chosen = 0, (blocks - 1) // 2, blocks - 1
    first, middle, last = (r.spread(0)[block].mean() for block in chosen)
    return figure(
        [
            panel("Pixels", picture(r.seen, f"{SHOWS}, in few pixels")),
            panel("Patches", cut(r)),
            *(
                panel(
                    f"Block {block + 1}", _glowing(r, r.look(block, 0), "cls", f"the class token of block {block + 1}")
                )
                for block in chosen
            ),
            panel("Answer", bars(top, "line")),
        ],
        f"The whole run of the bundled model: pixels, {r.grid[0] * r.grid[1]} patches, where the class token looks in "
        f"three of the {blocks} blocks (mean of the heads, each on a scale of its own), and the answer, {top[0][0]}, "
        f"with {percent(top[0][1])}. On average over the heads of these blocks, the class token spreads its attention "
        f"over {first:.0f}, {middle:.0f} and {last:.0f} of {r.stream.shape[1]} tokens.",
        links={"every step of this run": "steps.md", "every look": viewer(blocks - 1)},
        narrow=True,
    )


def _where(at: tuple[int, int]) -> str:
    """As the viewer counts, from 1."""
    return f"head {at[1] + 1} of block {at[0] + 1}"


def _glowing(r: Run, looks: Array, color: str, who: str, *, outlined: Sequence[tuple[int, int, int, int]] = ()) -> str:
    """The look over the photo; for those who do not see it, the three brightest places."""
    order = np.argsort(-looks.ravel())[:3]
    places = ", ".join(f"row {i // r.grid[1] + 1}, column {i % r.grid[1] + 1}" for i in order)
    alt = f"The photo, dark; what {who} looks at glows, most in {places}"
    return picture(lit(r.seen, looks, color), alt, outlined=outlined)


def _said(r: Run, shares: Array, last: int, color: str) -> str:
    best = int(shares.argmax())
    kind = "" if best == last else ' class="deit-other"'
    return (
        f"{r.names[best]} <span>{percent(shares[best])}</span>"
        f'<i{kind} style="width: {100 * shares[best]:.1f}%; --color: var(--deit-{color})"></i>'
    )


def _settled(head: str, answers: Array, last: int) -> str:
    """After which block the head says the final answer and stays with it."""
    others = np.flatnonzero(answers != last)
    if len(others) and others[-1] + 1 == len(answers):
        return f"The {head} head never says it for good."
    return f"The {head} head says it from {f'block {others[-1] + 1}' if len(others) else 'the embeddings'} on."
