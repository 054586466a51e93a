"""The engine in JavaScript: what a slip of the pen would be there."""

# ruff: noqa: E501
# fmt: off
from .. import Mutant

DRAWN, PILLOW, STEPS, WORKER = (
    f"tests/test_engine.py::test_{name}"
    for name in (
        "every_step_of_drawn_models",
        "resized_bytes_are_those_of_pillow",
        "preprocessing_is_equal_bit_for_bit",
        "the_worker_answers_the_newest_of_a_lane_and_lanes_first",
    )
)


def _planted(module: str, first: str, *changes: tuple[str, str, str]) -> list[Mutant]:
    tests = (first, "tests/test_engine.py")
    return [Mutant(f"docs/assets/engine/{module}.js", old, new, differs, tests) for old, new, differs in changes]


def _in_chapter(chapter: str, test: str, *changes: tuple[str, str, str]) -> list[Mutant]:
    tests = (f"tests/test_chapter_instances.py::test_{test}", "tests/test_chapter_instances.py")
    return [Mutant(f"docs/assets/lab/chapters/{chapter}.js", old, new, differs, tests) for old, new, differs in changes]


MUTANTS = [
    *_in_chapter(
        "hand", "the_example_by_hand_with_other_numbers",
        ("(value * Math.sqrt(dim)) / divisor", "value / divisor", "any"),
        ("products: scores.map((row) => row.map((score) => score * divisor))", "products: scores", "a divisor other than 1"),
        ("tokens: [[1, 0], [0, 1], [-1, -1]]", "tokens: [[1, 0], [0, 1], [0, 0]]", "the chapter's grass"),
    ),
    *_in_chapter(
        "losses", "the_loss_and_its_gradient_are_those_of_the_book",
        ("(alpha * tau) / teacher.length", "alpha / teacher.length", "tau other than 1"),
        ("(1 - alpha) * (p - Number(k === label))", "p - Number(k === label)", "alpha above 0"),
    ),
    *_in_chapter(
        "attended", "shares_with_masked_keys_and_the_sharpest_head",
        ("attention_mask.data[token] = 0", "attention_mask.data[head] = 0", "a masked key"),
    ),
    *_in_chapter(
        "../lens", "shares_with_masked_keys_and_the_sharpest_head",
        ("share > found.share", "share < found.share", "any"),
        (".slice(prefix));", ".slice(0));", "a head that looks at a special token"),
        ("...look(attentions, { layer, head, query })", "...look(attentions, { layer, head, query: 0 })", "a query other than the first"),
    ),
    *_in_chapter("patches", "where_a_number_of_a_row_comes_from", ("Math.floor(n / width) % height", "Math.floor(n / height) % height", "patches that are not square")),
    *_in_chapter("positions", "cosines_of_positions", ("length(token) * length(i)", "length(i) * length(i)", "any")),
    *_in_chapter(
        "heads", "mixtures_of_both_heads_and_where_an_answer_settles",
        ("(1 - share) * logit + share * dist[k]", "share * logit + (1 - share) * dist[k]", "other than one half"),
    ),
    *_in_chapter(
        "lens", "mixtures_of_both_heads_and_where_an_answer_settles",
        ("answers[place - 1] === answers.at(-1)", "answers[place] === answers.at(-1)", "an answer that changes"),
    ),
    *_in_chapter(
        "simmim", "mixtures_of_both_heads_and_where_an_answer_settles",
        ("i < (3 * count) / 4", "i <= (3 * count) / 4", "any"),
    ),
    *_planted(
        "layers", DRAWN,
        ("squares / dim + eps", "squares / dim + 1e-12", "another eps"),
        ("squares / dim + eps", "squares / (dim - 1) + eps", "any"),
        ("if (weights.bias) add_to", "if (!weights.bias) add_to", "any with a bias"),
        ("i++) largest = Math.max(largest, x.data[i]);", "i++) largest = 0;", "scores above 709"),
    ),
    *_planted(
        "patches", DRAWN,
        ("[0, 2, 4, 1, 3, 5]", "[0, 2, 4, 3, 5, 1]", "several channels"),
        ("[0, 2, 4, 1, 3, 5]", "[0, 4, 2, 1, 3, 5]", "several rows and columns"),
        ("bias: weights.proj.bias", "bias: null", "any"),
    ),
    *_planted(
        "tokens", DRAWN,
        ("[cls_token, dist_token, x]", "[dist_token, cls_token, x]", "a model with both"),
        ("x.data[i] * (1 - m) + ", "x.data[i] + ", "a mask"),
    ),
    *_planted(
        "positions", DRAWN,
        ("const a = -0.75", "const a = -0.5", "another size"),
        ("[-1, 0, 1, 2]", "[0, 1, 2]", "another size"),
        ("const neighbor = Math.min(Math.max(first + offset, 0), size - 1);", "const neighbor = Math.abs(first + offset) % size;", "another size, at the border"),
    ),
    *_planted(
        "attention", DRAWN,
        ("[2, 0, 3, 1, 4]", "[2, 0, 1, 3, 4]", "several heads"),
        ("[0, 2, 1, 3]", "[0, 1, 2, 3]", "several heads"),
        ("head_dim ** -0.5", "tokens ** -0.5", "tokens other than head_dim"),
        ("image * tokens + (i % tokens)", "image * tokens + (Math.floor(i / tokens) % tokens)", "an attention mask"),
        ("image * tokens + (i % tokens)", "(i % tokens)", "masks of several images"),
        ("head_mask.data[Math.floor(i / (tokens * tokens)) % heads]", "head_mask.data[0]", "a head mask"),
        ("const probabilities = softmax(scores)", "const probabilities = softmax(head_mask ? map((s) => s * head_mask.data[0], scores) : scores)", "a head mask"),
        ("(1 - residual) * mean +", "residual * mean +", "rollout, residual other than 1/2"),
    ),
    *_planted(
        "encoder", DRAWN,
        ("layer_norm(weights.norm2, x, { eps })", "layer_norm(weights.norm1, x, { eps })", "any"),
        ("subarray(i * heads, (i + 1) * heads)", "subarray(0, heads)", "a head mask per layer"),
        ("add(x, branch)); // (batch", "branch); // (batch", "any"),
    ),
    *_planted("heads", DRAWN, ("classify(head_dist, dist_token)", "classify(head_dist, cls_token)", "any with teacher")),
    *_planted(
        "simmim", DRAWN,
        ("[0, 3, 1, 4, 2, 5]", "[0, 3, 1, 5, 2, 4]", "tiles of several rows"),
        ("prefix === 2 ?", "prefix === 1 ?", "a shifted slice"),
    ),
    *_planted(
        "losses", DRAWN,
        ("hidden + 1e-5", "hidden", "nothing hidden"),
        ("/ patch_shape[0]) * columns", "/ patch_shape[0]) * rows", "grids that are not square"),
    ),
    *_planted(
        "losses", "tests/test_engine.py::test_losses_are_those_of_the_book",
        ("Math.exp(value - largest)", "Math.exp(value)", "logits above 709"),
        ("return surprise / images", "return surprise / batch", "a row left out"),
        ("tau ** 2 / (divided", "tau / (divided", "tau other than 1"),
        ("? batch * classes : batch", "? batch : batch * classes", "any soft"),
        ("cross_entropy(distillation_logits, decisions)", "cross_entropy(cls_logits, decisions)", "heads that differ"),
        ("row.indexOf(Math.max(...row))", "row.indexOf(Math.min(...row))", "any hard"),
    ),
    *_planted(
        "activations", "tests/test_engine.py::test_activations_of_all_names",
        ("1.59576854, 0.0726682984, -6.60535074e-5", "1.59576854, 0.0713548, 0", "gelu"),
        ("value > 0 ? value : 0.01 * value", "value > 0 ? value : 0.1 * value", "leaky_relu"),
        ("(value - 0.707107) / 0.282095", "(value - 0.707107) / 0.282095 / Math.SQRT2", "laplace"),
    ),
    *_planted(
        "product", DRAWN,
        ("bq += xb * wq;", "bq += xb * wp;", "4 rows and more"),
        ("Math.min(right, columns) - 4", "right - 4", "columns that are not a multiple of 4"),
        ("below < rows + 4", "below < rows", "4 rows and more"),
    ),
    *_planted(
        "resize", PILLOW,
        ("Math.fround(0.54), Math.fround(0.46)", "0.54, 0.46", "hamming"),
        ("if (i > 0) place += step;", "place = (i + 0.5) * step;", "nearest"),
        ("(weight < 0 ? -0.5 : 0.5)", "0.5", "weights below 0"),
        ("2 * (width - new_width)", "width - new_width", "tall images"),
        ("sum + 0.5, 0), 255", "sum, 0), 255", "any"),
    ),
    *_planted(
        "pixels", PILLOW,
        ("((product >> 8) + product) >> 8", "product >> 8", "alpha"),
        ("resample === \"nearest\" ||", "", "nearest with alpha"),
    ),
    *_planted(
        "image", STEPS,
        ("Math.fround(value - means", "(value - means", "any that is normalized"),
        ("Math.trunc(half) : round(half)", "Math.trunc(half) : Math.trunc(half)", "an odd margin"),
        ("Math.fround(1 / factor)", "1 / factor", "torchvision's arithmetic"),
    ),
    *_planted(
        "image_processing", STEPS,
        ("Math.trunc((exact * long) / short)", "Math.round((exact * long) / short)", "a shortest edge"),
        ("edge = round(exact)", "edge = Math.round(exact)", "a longest edge, at a half"),
        ("fast ? \"truncate\" : rest.crop_rounding", "rest.crop_rounding", "torchvision's arithmetic, an odd margin"),
    ),
    *_planted(
        "safetensors", "tests/test_engine.py::test_numbers_of_16_bits_become_float32_exactly",
        ("2 ** -14", "2 ** -15", "the smallest float16"),
        ("count < 0 ||", "", "a negative side"),
        ("start + to > buffer.byteLength", "to > buffer.byteLength", "a file that is cut off"),
    ),
    *_planted("checkpoints", DRAWN, ("\"attention.attention.query\", \"attention.attention.key\"", "\"attention.attention.key\", \"attention.attention.query\"", "any")),
    *_planted("api", DRAWN, ("Math.floor(i / heads) * of_layer", "0", "a head mask per layer")),
    *_planted(
        "service", WORKER,
        ("waiting = waiting.filter((other) => other.lane !== request.lane);", "", "two requests in a lane"),
        ("Math.max(urgent, 0)", "0", "a lane behind requests without one"),
    ),
    *_planted(
        "trace", "tests/test_engine.py::test_a_trace_keeps_what_its_patterns_name_and_changes_nothing",
        ("part.replace(\"[!\", \"[^\")", "part", "a pattern that excludes"),
        ("value.data.slice()", "value.data", "positions that are sent away with a trace"),
    ),
]
