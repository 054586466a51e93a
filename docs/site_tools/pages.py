"""Pages that are made, not written: the source of each module, the API of each chapter, rows of links."""

import ast
import posixpath
import re

from deit_ref.chapters import CHAPTERS, Chapter
from site_tools import sources
from site_tools.directives import PageBuilder
from site_tools.listings import code_html
from site_tools.sources import ROOT, Cut

PAPERS = {
    "deit": ("Touvron et al. 2021", "https://arxiv.org/abs/2012.12877"),
    "vit": ("Dosovitskiy et al. 2021", "https://arxiv.org/abs/2010.11929"),
    "transformer": ("Vaswani et al. 2017", "https://arxiv.org/abs/1706.03762"),
    "simmim": ("Xie et al. 2022", "https://arxiv.org/abs/2111.09886"),
    "layer_norm": ("Ba et al. 2016", "https://arxiv.org/abs/1607.06450"),
    "gelu": ("Hendrycks & Gimpel 2016", "https://arxiv.org/abs/1606.08415"),
    "keys": ("Keys 1981", "https://doi.org/10.1109/TASSP.1981.1163711"),
    "pillow": ("Pillow", "https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Resample.c"),
    "backprop": ("Rumelhart et al. 1986", "https://doi.org/10.1038/323533a0"),
    "jax": ("JAX", "https://docs.jax.dev/en/latest/notebooks/autodiff_cookbook.html"),
    "adam": ("Kingma & Ba 2015", "https://arxiv.org/abs/1412.6980"),
    "adamw": ("Loshchilov & Hutter 2019", "https://arxiv.org/abs/1711.05101"),
    "chefer": ("Chefer et al. 2021", "https://arxiv.org/abs/2103.15679"),
    "saliency": ("Simonyan et al. 2014", "https://arxiv.org/abs/1312.6034"),
    "michel": ("Michel et al. 2019", "https://arxiv.org/abs/1905.10650"),
    "processor": (
        "transformers",
        "https://huggingface.co/docs/transformers/model_doc/deit#transformers.DeiTImageProcessor",
    ),
}
# Where each chapter comes from: a key of PAPERS and the place in it.
SOURCES: dict[str, tuple[tuple[str, str], ...]] = {
    "layers": (("transformer", "section 3.2.1"), ("layer_norm", "equation 4")),
    "activations": (("gelu", "section 2"),),
    "distillation": (("deit", "sections 4 and 5, tables 2 to 4"),),
    "resize": (("keys", "cubic convolution"), ("pillow", "Resample.c")),
    "image": (("processor", "DeiTImageProcessor"),),
    "patches": (("vit", "section 3.1, equation 1"),),
    "positions": (("deit", "section 3"), ("keys", "cubic convolution")),
    "tokens": (("deit", "section 4, figure 2"),),
    "attention": (("transformer", "section 3.2, equation 1"), ("deit", "section 3")),
    "encoder": (("vit", "equations 2 to 4"),),
    "heads": (("deit", "section 4, table 3"),),
    "simmim": (("simmim", "sections 3.2 to 3.4"),),
    "losses": (("deit", "section 4, equations 2 and 3"), ("simmim", "section 3.4")),
    "model": (("deit", "figure 2"),),
    "backward": (("backprop", "the chain rule, backward"), ("jax", "vjp")),
    "learning": (("deit", "section 6, table 9"), ("adam", "algorithm 1"), ("adamw", "algorithm 2")),
    "relevance": (("chefer", "equations 5 and 6"), ("saliency", "section 3"), ("michel", "section 4.1")),
}

# Links of pages that belong to no chapter with files of its own.
ROWS: dict[str, tuple[tuple[str, str], ...]] = {
    "chapters/recipe.md": (
        ("Source of the recipes", "source/training/recipe.md"),
        ("Training", "training.md"),
        ("API", "reference/training.md"),
    ),
    "notebooks/00_tour.md": (
        ("The book", "chapters/why.md"),
        ("Map of the model", "map.md"),
        ("forward", "forward.md"),
    ),
    "notebooks/where_implementations_disagree.md": (("Fidelity", "fidelity.md"),),
}

# Where a chapter's part of a forward pass can be seen live; training has no such place.
INSIDE = {
    "patches": "steps.md?step=patches",
    "tokens": "steps.md?step=tokens",
    "positions": "steps.md?step=pos_embed",
    "layers": "steps.md?step=blocks.0.norm1",
    "attention": "viewer.md",
    "encoder": "steps.md?step=blocks.0.output",
    "heads": "steps.md?step=cls_logits",
    "model": "steps.md",
    "losses": "steps.md?step=logits",
    "backward": "steps.md?step=logits",  # where the way back begins
    "distillation": "steps.md?step=distillation_logits",
    "relevance": "viewer.md?show=rollout",
    "image": "steps.md?step=images.0.normalized",
    "resize": "steps.md?step=images.0.resized",
    "activations": "steps.md?step=blocks.0.mlp.activation",
}

# The reference's other pages: title, introduction, and what mkdocstrings shows.
REFERENCE = {
    "api": (
        "The public API",
        "What `import deit_ref` gives, in reading order.",
        (
            "api.forward",
            "preparing.prepared",
            "api.gradients",
            "api.preprocess",
            "api.compare",
            "checkpoints.load_weights",
            "checkpoints.save_weights",
            "weights.init_weights",
        ),
    ),
    "config": (
        "Configuration",
        "Sizes of a model, treatment of photos, and the published variants.",
        ("config", "image_processing", "variants"),
    ),
    "weights": ("Weights", "The tree that both backends take first.", ("weights",)),
    "arrays": ("Arrays", "Numbers in any form as arrays of a backend.", ("arrays",)),
    "outputs": (
        "Outputs",
        "What `forward` returns, one type for each task, and what `compare` returns.",
        ("outputs", "comparison"),
    ),
    "trace": ("Trace", "Every step of a forward pass, by name.", ("trace",)),
    "photos": (
        "Photos",
        "From files, PIL images, arrays and tensors to pixels.",
        ("photos", "photo_files", "file_kinds", "photo_names"),
    ),
    "plots": ("Plots", "Figures of what a trace holds, with matplotlib (extra `plots`).", ("plots",)),
    "checkpoints": (
        "Checkpoints",
        "Reading and writing files, without torch, and without executing anything in them.",
        (
            "checkpoints.load",
            "checkpoints.sources",
            "checkpoints.assembly",
            "checkpoints.names",
            "checkpoints.relatives",
            "checkpoints.huggingface",
            "checkpoints.original",
            "checkpoints.timm_config",
            "checkpoints.guesses",
            "checkpoints.files",
            "checkpoints.strangers",
            "checkpoints.hub",
            "checkpoints.safetensors_reader",
            "checkpoints.pickle_reader",
            "checkpoints.pickle_program",
        ),
    ),
    "onnx": ("ONNX", "A model as one file for other programs (extra `onnx`).", ("onnx_export",)),
    "data": (
        "Labeled photos",
        "Class folders, zips and tars: found, read, and looked at before they are used, in reading order.",
        tuple(
            f"data.{name}"
            for name in (
                "opening images held_out classes survey report examine layout sources archives zips tars cifar"
            ).split()
        ),
    ),
    "training": (
        "Training",
        "Recipes, augmentation and the loop, with torch (extra `train`), in reading order.",
        tuple(
            f"training.{name}"
            for name in (
                "recipe fitted augmentation randaugment mixing prepared batches masking teacher student "
                "objectives optimization state metrics loop answers evaluate run bundle"
            ).split()
        ),
    ),
}


def notebook_name(chapter: Chapter) -> str:
    return f"{chapter.number:02d}_{chapter.name}"


def chapter_of(uri: str) -> tuple[Chapter, str] | None:
    """The chapter that a page belongs to, and which of its pages it is; None for all other pages."""
    for chapter in CHAPTERS:
        kinds = {
            f"chapters/{chapter.name}.md": "chapter",
            f"reference/{chapter.name}.md": "reference",
            f"notebooks/{notebook_name(chapter)}.md": "notebook",
            **dict.fromkeys(_sources("numpy", chapter.numpy), "numpy"),
            **dict.fromkeys(_sources("torch", chapter.torch), "torch"),
        }
        if uri in kinds:
            return chapter, kinds[uri]
    return None


def _sources(backend: str, files: tuple[str, ...]) -> list[str]:
    """The pages of a chapter's files."""
    return [f"source/{backend}_backend/{file.replace('.', '/')}.md" for file in files]


def link_row(uri: str, exists: set[str]) -> str:
    """The row of links under the title of a page that belongs to a chapter: to its other pages that exist."""
    found = chapter_of(uri)
    links = []
    if found is not None:
        chapter, kind = found
        # A chapter of several files is entered by its first; the code on its page leads to the others.
        targets = [
            ("chapter", f"Chapter {chapter.number}", f"chapters/{chapter.name}.md"),
            *(("numpy", "NumPy source", page) for page in _sources("numpy", chapter.numpy[:1])),
            *(("torch", "torch source", page) for page in _sources("torch", chapter.torch[:1])),
            ("notebook", "Notebook", f"notebooks/{notebook_name(chapter)}.md"),
            ("reference", "API", f"reference/{chapter.name}.md"),
        ]
        here = posixpath.dirname(uri)
        links = [
            f"[{label}]({posixpath.relpath(target, here)})"
            for other, label, target in targets
            if other != kind and target in exists
        ]
        page, *_ = INSIDE.get(chapter.name, "").split("?")
        if kind == "chapter" and page in exists:
            label = "In the viewer" if page == "viewer.md" else "In the stepper"
            links.append(f"[{label}]({posixpath.relpath(INSIDE[chapter.name], here)})")
        if kind == "chapter":
            for key, place in SOURCES[chapter.name]:
                label, url = PAPERS[key]
                links.append(f"[{label}, {place}]({url})")
    links += [f"[{label}]({posixpath.relpath(target, posixpath.dirname(uri))})" for label, target in ROWS.get(uri, ())]
    if uri == "chapters/recipe.md":
        links.append(f"[{PAPERS['deit'][0]}, section 6, tables 8 and 9]({PAPERS['deit'][1]})")
    if uri.startswith("notebooks/"):
        name = posixpath.basename(uri).removesuffix(".md")
        links.append(f"[Download {name}.ipynb]({name}.ipynb)")
    return "\n".join([*links, "{ .deit-links }"]) if links else ""


def with_link_row(markdown: str, row: str) -> str:
    """The page with the row after its first level-one title."""
    return re.sub(r"^(# .+)$", lambda title: f"{title[1]}\n\n{row}\n", markdown, count=1, flags=re.MULTILINE)


def with_bound_punctuation(html: str) -> str:
    """The page with each formula in a sentence bound to the marks around it, which would else begin a line alone."""
    formula = r'<span class="arithmatex">[^<]*</span>'
    marks = r"[^\s<&]*[.,;:!?)\]’”'\"][^\s<&]*|-[^\s<&]+"
    return re.sub(
        rf"([(\[]*)({formula})({marks})?",
        lambda found: f'<span class="deit-bound">{found[0]}</span>' if found[1] or found[3] else found[0],
        html,
    )


def with_parts_of_formulas(html: str) -> str:
    """The page with formulas that share a line apart, so that on a phone each gets a line of its own."""

    def parts(found: re.Match[str]) -> str:
        if r"\begin" in found[1]:
            return found[0]
        formulas = " ".join(rf"\[{part.strip()}\]" for part in found[1].split(r"\qquad"))
        return f'<div class="arithmatex deit-parts">{formulas}</div>'

    return re.sub(
        r'<div class="arithmatex">\s*\\\[((?:(?!\\\]).)*?\\qquad.*?)\\\]\s*</div>', parts, html, flags=re.DOTALL
    )


def with_whole_options(html: str) -> str:
    """The page with each option or name in a sentence's code on one line: broken at a hyphen, it reads as another."""
    return re.sub(
        r"(?<!<pre>)(?<!</span>)<code>([^<]*-[^<]*)</code>",
        lambda found: (
            "<code>" + re.sub(r"[^\s,]*-[^\s,]{1,30}", r'<span class="deit-bound">\g<0></span>', found[1]) + "</code>"
        ),
        html,
    )


def with_whole_numbers(html: str) -> str:
    """The page with each number such as 1e-6 in its text on one line; in listings and formulas lines do not break."""
    other = r"<(pre|script|svg)\b.*?</\2>|<[^>]*>|\\\(.*?\\\)|\\\[.*?\\\]"
    return re.sub(
        rf"({other})|(?<![\w.])\d[\d.]*e-\d+(?!\w)",
        lambda found: found[1] or f'<span class="deit-bound">{found[0]}</span>',
        html,
        flags=re.DOTALL,
    )


def with_places_to_break(html: str) -> str:
    """The page with places in the names of its tables where a narrow column may break them."""

    def name(found: re.Match[str]) -> str:
        places = r"(?<=[a-z][._])(?=[a-z])|(?<=[a-zT])(?=[A-Z][a-z])|(?<=\()(?=[^)\s])|(?<=[)\]])(?=\.)|(?<=\w=)(?=\w)"
        return re.sub(places, "<wbr>", found[0])

    def cell(found: re.Match[str]) -> str:
        return re.sub(r"<code>[^<]*</code>", name, found[0])

    return re.sub(r"<td\b[^>]*>.*?</td>", cell, html, flags=re.DOTALL)


def without_listings_in_search(html: str) -> str:
    """The page with its long listings and outputs left out of the search: their words are on the pages that explain."""
    html = html.replace(
        '<details class="mkdocstrings-source">', '<details class="mkdocstrings-source" data-search-exclude>'
    )
    return re.sub(r'<div class="[^"]*deit-output[^"]*highlight[^"]*"', r"\g<0> data-search-exclude", html)


def source_page(module: str) -> str:
    """The Markdown around the code of a module: a word that `source_block` replaces."""
    found = chapter_of(f"source/{module}.md")
    title = f"deit_ref/{module}.py"
    intro = ""
    if found is not None:
        chapter, kind = found
        intro = f"Chapter {chapter.number} in {'NumPy' if kind == 'numpy' else 'torch'}."
    return f"---\ntitle: {title}\nsearch:\n  exclude: true\nhide:\n  - toc\n---\n\n# `{title}`\n\n{intro}\n"


def source_index() -> str:
    """A list of all source pages, each with the first line of its docstring."""
    folders: dict[str, list[str]] = {}
    for module in sources.modules():
        docstring = ast.get_docstring(ast.parse(sources.read(module))) or ""
        folder = posixpath.dirname(f"deit_ref/{module}")
        folders.setdefault(folder, []).append(f"| [{module}.py]({module}.md) | {docstring.splitlines()[0]} |")
    tables = (f"## {folder}\n\n| file | what |\n|---|---|\n" + "\n".join(rows) for folder, rows in folders.items())
    return "# The source\n\nEvery file of the package, with its line numbers.\n\n" + "\n\n".join(tables) + "\n"


def source_block(builder: PageBuilder, module: str) -> str:
    lines = sources.read(module, builder.root).rstrip("\n").split("\n")
    return code_html(Cut(module, tuple(enumerate(lines, 1)), ""), lambda number: f"#L{number}", anchors=True)


def reference_pages() -> dict[str, str]:
    """Markdown by path: a page for each chapter, and the pages of `REFERENCE`."""
    pages = {}
    for chapter in (chapter for chapter in CHAPTERS if chapter.numpy):
        twins = "The NumPy functions come first; their [torch twins](#torch) follow." if chapter.torch else ""
        parts = [f"# {chapter.name}: API\n\nChapter {chapter.number}: {chapter.title}. {twins}\n"]
        for backend, label, files in (("numpy", "NumPy", chapter.numpy), ("torch", "torch", chapter.torch)):
            if files:
                parts.append(f"## {label} {{ #{backend} }}\n")
                parts += [_module(f"{backend}_backend.{file}") for file in files]
        pages[f"reference/{chapter.name}.md"] = "\n".join(parts) + "\n"
    for name, (title, intro, objects) in REFERENCE.items():
        parts = [f"# {title}\n\n{intro}\n"]
        for dotted in objects:
            parts.append(_module(dotted, heading=len(objects) > 1))
        pages[f"reference/{name}.md"] = "\n".join(parts)
    return pages


def _module(dotted: str, *, heading: bool = False) -> str:
    path = ROOT / "deit_ref" / (dotted.replace(".", "/") + ".py")
    if heading and path.is_file():
        file = f"[source](../source/{dotted.replace('.', '/')}.md)"
        return f"## deit_ref.{dotted} {{ #{dotted.replace('.', '-')} }}\n\n{file}\n\n{_object(dotted)}"
    if heading:
        return _object(dotted, "    options:\n      show_root_heading: true\n      heading_level: 2\n")
    return _object(dotted)


def _object(dotted: str, options: str = "    options:\n      heading_level: 3\n") -> str:
    return f"::: deit_ref.{dotted}\n{options}"
