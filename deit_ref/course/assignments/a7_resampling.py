"""Assignment 7: resampling. Inputs and known mistakes; the solution is chapter 16."""

from collections.abc import Iterator

import numpy as np

from deit_ref.course.task import Array, Arrays, Assignment, Case, Mistake, Task


def _bicubic(rng: np.random.Generator) -> Iterator[Case]:
    def places(low: float, high: float) -> Array:
        return rng.uniform(low + 0.05, high - 0.05, int(rng.integers(7, 12)))

    yield Case("closer than one pixel", (places(0, 1),))
    yield Case("between one and two pixels away", (places(1, 2),))
    yield Case("further than two pixels away", (places(2, 4),))
    yield Case("to the left of the new pixel", (places(-2, 0).reshape(-1, 1),))


def _coefficients(rng: np.random.Generator) -> Iterator[Case]:
    few, more, many = int(rng.integers(4, 8)), int(rng.integers(10, 16)), int(rng.integers(23, 40))
    yield Case("shrinks", (many, few), {"resample": "bicubic"})
    yield Case("enlarges", (few, more), {"resample": "bicubic"})
    yield Case("loses one pixel", (more, more - 1), {"resample": "bilinear"})
    yield Case("shrinks with a wide kernel", (many, more), {"resample": "lanczos"})
    yield Case("a single new pixel", (more, 1), {"resample": "bilinear"})


def _matrix(case: Case, arrays: Arrays) -> Arrays:
    """The weight of every old pixel in every new one: windows may be wider than needed."""
    in_size, out_size = case.arguments
    if len(arrays) != 2 or arrays[0].shape != (out_size,) or arrays[1].shape[:1] != (out_size,) or arrays[1].ndim != 2:
        raise ValueError(
            f"expected first, of the shape ({out_size},), and weights, of the shape ({out_size}, taps), got "
            f"{' and '.join(str(array.shape) for array in arrays) or 'nothing'}."
        )
    first, weights = arrays
    if first.dtype.kind not in "iu" or weights.dtype.kind not in "iuf":
        raise ValueError(f"expected integers and floats, got {first.dtype} and {weights.dtype}: first is an index.")
    pixels = first.astype(np.int64)[:, None] + np.arange(weights.shape[1])
    exists = (pixels >= 0) & (pixels < in_size)
    if (weights[~exists] != 0).any():
        raise ValueError(f"a pixel that does not exist has a weight: there are only the pixels 0 to {in_size - 1}.")
    matrix = np.zeros((out_size, in_size))
    rows = np.broadcast_to(np.arange(out_size)[:, None], pixels.shape)
    np.add.at(matrix, (rows[exists], pixels[exists]), weights[exists])
    return (matrix,)


def _fixed_point(rng: np.random.Generator) -> Iterator[Case]:
    # Small, so that one step of 2^-22 is more than 1e-6 of the largest.
    small = rng.uniform(0.01, 0.05, (3, int(rng.integers(3, 6)))) * np.array([[1], [-1], [1]])
    yield Case("weights of both signs", (small,))
    halves = 2 * int(rng.integers(100, 2**16)) + np.arange(4) + 0.5
    yield Case("halfway between two steps", (np.concatenate([halves, -halves]) / 2**22,))
    yield Case("steps for 16 bits", (small,), {"arithmetic": "torchvision"})
    large = np.append(rng.uniform(-0.2, 0.2, 4), rng.uniform(0.6, 0.95))
    yield Case("steps for 16 bits and a large weight", (large,), {"arithmetic": "torchvision"})


def _bytes(rng: np.random.Generator, *shape: int) -> Array:
    return rng.integers(0, 256, shape).astype(np.uint8)


def _lines(rng: np.random.Generator) -> Iterator[Case]:
    few, more, many = int(rng.integers(6, 10)), int(rng.integers(21, 30)), int(rng.integers(50, 70))
    yield Case("shrinks", (_bytes(rng, 3, 5, many), more), {"resample": "bicubic"})
    edges = np.repeat(np.array([0, 255, 0], np.uint8), few)
    edges = np.broadcast_to(edges, (1, 2, len(edges))).copy()
    yield Case("enlarges black and white", (edges, 4 * few + more), {"resample": "bicubic"})
    start = int(rng.integers(0, 100))  # even and odd numbers in turn, so that halves lie above both
    pairs = np.array([(start + i, start + i + 1) for i in range(more)], np.uint8)
    yield Case("means of two neighbors", (pairs.reshape(1, 1, -1), more), {"resample": "box"})
    yield Case("weights of 16 bits", (_bytes(rng, 3, 64, many), more + many),
               {"resample": "bicubic", "arithmetic": "torchvision"})  # fmt: skip
    yield Case("the size stays", (_bytes(rng, 2, 3, few), few), {"resample": "lanczos"})


def _vertical_first(rng: np.random.Generator) -> Iterator[Case]:
    height, width, lost = (int(n) for n in rng.integers((300, 300, 20), (400, 400, 40)))
    new = {"pass_order": "pillow-13"}
    yield Case("the height loses exactly twice as much", ((height, width), (height - 2 * lost, width - lost)), new)
    yield Case(
        "the height loses more, but not twice as much", ((height, width), (height - lost - 5, width - lost)), new
    )
    yield Case("height and width grow", ((height, width), (height + 7, width + 5 * lost)), new)
    yield Case("the height loses more pixels, the width a larger share",
               ((10 * height, 4 * lost), (10 * height - 9 * lost, lost)), new)  # fmt: skip
    yield Case("only the width shrinks", ((height, width), (height, width - lost)), new)
    yield Case("only the width grows", ((height, width), (height, width + lost)), new)
    yield Case("the height loses a little, the width grows a lot", ((height, width), (height - 3, width + lost)), new)
    yield Case("the order of Pillow 12", ((height, width), (height - lost, width)), {"pass_order": "pillow-12"})


def _resize(rng: np.random.Generator) -> Iterator[Case]:
    side, less, new = (int(n) for n in rng.integers((30, 18, 20), (40, 26, 28)))
    yield Case("a wide photo", (_bytes(rng, side, 2 * side, 3), (less, new)))
    tall = _bytes(rng, 4 * side, side, 3)
    yield Case("a tall photo", (tall, (less, new)))
    four = _bytes(rng, 4 * side, side, 4)  # the last is not what is seen through, as elsewhere
    yield Case("four channels in the order of Pillow 12", (four, (less, new)), {"pass_order": "pillow-12"})
    yield Case("a tall photo as torchvision", (tall, (less, new)), {"arithmetic": "torchvision"})
    yield Case("one channel, enlarged", (_bytes(rng, less, new, 1), (side, 2 * side)), {"resample": "lanczos"})
    yield Case("nearest, two channels", (_bytes(rng, side, less, 2), (new, side)), {"resample": "nearest"})
    # From 4 to 30 rounding decides, and the two libraries round differently.
    ties = {"resample": "nearest", "arithmetic": "torchvision"}
    yield Case("nearest as torchvision", (_bytes(rng, 4, less, 3), (30, new)), ties)


ASSIGNMENT = Assignment(
    number=7,
    slug="resampling",
    title="Resampling",
    tasks=(
        Task(
            function="resize.bicubic",
            points=2,
            minutes=15,
            cases=_bicubic,
            mistakes=(
                Mistake(
                    "a = -0.75",
                    "a, x = -0.5,",
                    "a, x = -0.75,",
                    "Pillow's cubic has the slope a = -0.5 at 1. The steeper -0.75 belongs to torch's interpolate.",
                ),
                Mistake(
                    "the sign of the distance",
                    "-0.5, np.abs(x)",
                    "-0.5, x * 1",
                    "a pixel on the left counts as much as one on the right: take the absolute value of x first.",
                ),
                Mistake(
                    "no end",
                    "np.where(x < 2, far, 0.0)",
                    "far",
                    "from a distance of 2 on, the kernel is 0; the second polynomial grows without end there.",
                ),
                Mistake(
                    "the second piece forgotten",
                    "np.where(x < 2, far, 0.0)",
                    "0.0",
                    "between 1 and 2 the kernel is below 0, and that is what keeps edges sharp.",
                ),
                Mistake(
                    "one piece for all",
                    "np.where(x < 1, near, np.where(x < 2, far, 0.0))",
                    "np.where(x < 2, near, 0.0)",
                    "there are two polynomials: one up to a distance of 1, another one from there to 2.",
                ),
            ),
        ),
        Task(
            function="resize.resample_coefficients",
            points=6,
            minutes=45,
            cases=_coefficients,
            view=_matrix,
            mistakes=(
                Mistake(
                    "no antialiasing",
                    "stretch = max(scale, 1.0)",
                    "stretch = 1.0",
                    "when shrinking, the kernel is stretched by the scale, so that every old pixel counts. Without it "
                    "pixels are left out, and fine patterns turn into coarse ones.",
                ),
                Mistake(
                    "stretched when enlarging, too",
                    "stretch = max(scale, 1.0)",
                    "stretch = scale",
                    "the kernel is never narrower than one pixel: the stretch is max(scale, 1).",
                ),
                Mistake(
                    "the window not stretched",
                    "reach = support * stretch",
                    "reach = support",
                    "the kernel was stretched, but the window was not: it reaches support * stretch to each side.",
                ),
                Mistake(
                    "no halves",
                    "centers = (np.arange(out_size) + 0.5) * scale",
                    "centers = np.arange(out_size) * scale + 0.5",
                    "pixel i covers the stretch from i to i + 1, so its center is at i + 1/2, in the old image and in "
                    "the new one. Without the halves the picture moves.",
                ),
                Mistake(
                    "no half for the new pixels",
                    "centers = (np.arange(out_size) + 0.5) * scale",
                    "centers = np.arange(out_size) * scale",
                    "a new pixel's center is (i + 1/2) * scale: the half comes before the scale.",
                ),
                Mistake(
                    "no half for the old pixels",
                    "(pixels - centers[:, None] + 0.5)",
                    "(pixels - centers[:, None])",
                    "the distance is measured from the old pixel's center, which is at j + 1/2.",
                ),
                Mistake(
                    "align_corners",
                    "centers = (np.arange(out_size) + 0.5) * scale",
                    "centers = np.arange(out_size) * (in_size - 1) / max(out_size - 1, 1) + 0.5",
                    "the outer edges of both images fall together, not the centers of their first and last pixels: the "
                    "scale is in_size / out_size, without subtracting 1.",
                ),
                Mistake(
                    "scale upside down",
                    "scale = in_size / out_size",
                    "scale = out_size / in_size",
                    "scale says how many old pixels one new pixel covers: in_size / out_size.",
                ),
                Mistake(
                    "not normalized",
                    "weights / np.cumsum(weights, axis=1)[:, -1:]",
                    "weights / stretch",
                    "at the border some of the kernel's pixels are missing, so divide the weights of each new pixel by "
                    "their own sum; else borders get dark or bright.",
                ),
                Mistake(
                    "the border repeated",
                    "return first, weights / np.cumsum(weights, axis=1)[:, -1:]",
                    "every = np.arange(-int(reach) - 3, in_size + int(reach) + 3)\n"
                    "    raw = kernel((every - centers[:, None] + 0.5) / stretch)\n"
                    "    dense = np.zeros((out_size, in_size))\n"
                    "    np.add.at(dense, (slice(None), np.clip(every, 0, in_size - 1)), raw)\n"
                    "    return first * 0, dense / dense.sum(axis=1, keepdims=True)",
                    "weights that fall outside the image are left out here; giving them to the last pixel is what "
                    "torch's interpolate does.",
                ),
            ),
        ),
        Task(
            function="resize.fixed_point",
            points=2,
            minutes=15,
            cases=_fixed_point,
            bound=0,
            mistakes=(
                Mistake(
                    "cut instead of rounded",
                    " + np.copysign(0.5, weights)",
                    "",
                    "trunc alone cuts towards 0: move by a half away from 0 first.",
                ),
                Mistake(
                    "halves rounded up",
                    "np.trunc(weights * 2**p + np.copysign(0.5, weights))",
                    "np.floor(weights * 2**p + 0.5)",
                    "floor(w + 1/2) moves -1.5 to -1. Halves go away from 0, so give the half the sign of the weight.",
                ),
                Mistake(
                    "halves rounded to even",
                    "np.trunc(weights * 2**p + np.copysign(0.5, weights))",
                    "np.rint(weights * 2**p)",
                    "np.round and np.rint move halves to the nearest even number; here they go away from 0.",
                ),
                Mistake(
                    "always 22 places",
                    'if arithmetic == "torchvision":',
                    "if False:",
                    'with arithmetic="torchvision", 2^p w must fit integers of 16 bits: find the largest p that allows '
                    "it.",
                ),
                Mistake(
                    "one place too many",
                    "2 ** (p + 1)",
                    "2**p",
                    "integers of 16 bits end at 2^15 - 1, because one bit is the sign: stop at the last p for which "
                    "the largest weight, rounded, is below 2^15.",
                ),
                Mistake(
                    "left as integers",
                    ") / 2**p",
                    ")",
                    "divide by 2^p again: the result is a weight, a multiple of 2^-p.",
                ),
            ),
        ),
        Task(
            function="resize.resample_lines",
            points=5,
            minutes=30,
            cases=_lines,
            bound=0,
            mistakes=(
                Mistake(
                    "cut instead of rounded",
                    "part + 0.5",
                    "part",
                    "astype(np.uint8) cuts the fraction off; add 1/2 first, or every pass makes the photo darker.",
                ),
                Mistake(
                    "no clipping",
                    "np.clip(part + 0.5, 0, 255).astype(np.uint8)",
                    "np.floor(part + 0.5).astype(np.int64).astype(np.uint8)",
                    "near sharp edges the sum falls below 0 or above 255, and a byte turns -1 into 255: clip before "
                    "you convert.",
                ),
                Mistake(
                    "halves rounded to even",
                    "np.clip(part + 0.5, 0, 255)",
                    "np.clip(np.rint(part), 0, 255)",
                    "np.round and np.rint move halves to the nearest even number; Pillow rounds halves up: add 1/2, "
                    "then cut.",
                ),
                Mistake(
                    "floats instead of bytes",
                    "np.clip(part + 0.5, 0, 255).astype(np.uint8)",
                    "np.clip(part, 0, 255)",
                    "each pass ends in bytes: round, clip to 0..255, and convert to np.uint8.",
                ),
                Mistake(
                    "weights not rounded",
                    "fixed_point(weights, arithmetic=arithmetic)",
                    "weights",
                    "the weights go through fixed_point first, in the arithmetic that is asked for.",
                ),
                Mistake(
                    "every window at the left border",
                    "begins = first[i : i + 16, None] - first[i]",
                    "first = first * 0\n        begins = first[i : i + 16, None] - first[i]",
                    "the weights of new pixel i belong to the old pixels from first[i] on, not from 0 on.",
                ),
            ),
        ),
        Task(
            function="resize.vertical_first",
            points=1,
            minutes=10,
            cases=_vertical_first,
            mistakes=(
                Mistake(
                    "at least instead of more than",
                    "> 2 * (width - new_width)",
                    ">= 2 * (width - new_width)",
                    "exactly twice is not enough: the height must lose more than twice what the width loses.",
                ),
                Mistake(
                    "the factor 2 forgotten",
                    "2 * (width - new_width)",
                    "(width - new_width)",
                    "the height must lose more than twice what the width loses.",
                ),
                Mistake(
                    "also when the height grows",
                    "new_height < height and ",
                    "",
                    "if the width grows a lot, what it loses is far below 0, and less than what a growing height "
                    "loses: ask for new_height < height, too.",
                ),
                Mistake(
                    "shares instead of pixels",
                    "height - new_height > 2 * (width - new_width)",
                    "height / new_height > 2 * width / new_width",
                    "the rule compares numbers of pixels: differences, not quotients.",
                ),
                Mistake(
                    "height and width exchanged",
                    "new_height < height and height - new_height > 2 * (width - new_width)",
                    "new_width < width and width - new_width > 2 * (height - new_height)",
                    "shapes and sizes are (height, width), the height first.",
                ),
                Mistake(
                    "pass_order ignored",
                    'pass_order == "pillow-13" and ',
                    "",
                    'with pass_order="pillow-12" the widths always come first.',
                ),
            ),
        ),
        Task(
            function="resize.resize",
            points=4,
            minutes=30,
            cases=_resize,
            bound=0,
            mistakes=(
                Mistake(
                    "width before height",
                    "height, width = checks.pair",
                    "width, height = checks.pair",
                    "size is (height, width), as in shapes; only Pillow's own functions take (width, height).",
                ),
                Mistake(
                    "no bytes between the passes",
                    "        planes = resample_lines(lines, side, resample=resample, arithmetic=arithmetic)"
                    ".swapaxes(axis, 2)\n"
                    "    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))",
                    "        first, weights = resample_coefficients(lines.shape[2], side, resample=resample)\n"
                    "        matrix = np.zeros((side, lines.shape[2]))\n"
                    "        taps = first[:, None] + np.arange(weights.shape[1])\n"
                    "        np.put_along_axis(matrix, taps, fixed_point(weights, arithmetic=arithmetic), axis=1)\n"
                    "        planes = (lines.astype(np.float64) @ matrix.T).swapaxes(axis, 2)\n"
                    "    return np.moveaxis(np.clip(planes + 0.5, 0, 255).astype(np.uint8), 0, -1)",
                    "the first pass rounds and clips to bytes, and the second one reads those bytes. Floats in between "
                    "are more exact, but they are not what Pillow does.",
                ),
                Mistake(
                    "pass_order not handed on",
                    "pass_order=pass_order)",
                    'pass_order="pillow-13")',
                    "hand pass_order on to vertical_first.",
                ),
                Mistake(
                    "torchvision's order",
                    'if downward and arithmetic == "pillow" else',
                    "if downward else",
                    'with arithmetic="torchvision" the widths always come first.',
                ),
                Mistake(
                    "widths always first",
                    'if downward and arithmetic == "pillow" else',
                    "if False else",
                    "bytes are rounded between the passes, so their order shows: ask vertical_first.",
                ),
                Mistake(
                    "heights always first",
                    'if downward and arithmetic == "pillow" else',
                    "if True else",
                    "bytes are rounded between the passes, so their order shows: ask vertical_first.",
                ),
            ),
        ),
    ),
)
