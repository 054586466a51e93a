"""The eight published models: the config of each by its name, and a table of them when they are printed.

Source: facebookresearch/deit, models.py and README_deit.md; eps as in the published transformers checkpoints.
"""

from collections.abc import Mapping
from math import prod

from deit_ref.config import DeiTConfig
from deit_ref.weights import array_shapes


class Variants(dict[str, DeiTConfig]):
    """Configs by name."""

    def __repr__(self) -> str:
        """One line for each; parameters are those of the classifier, with both heads where there are two."""
        row = "{:<33}{:>4}{:>8}{:>7}{:>7}{:>7}{:>8}{:>12}".format
        lines = [row("name", "dim", "layers", "heads", "image", "patch", "tokens", "parameters")]
        for name, config in self.items():
            task = "classification-with-teacher" if config.distilled else "classification"
            sizes = (config.hidden_size, config.num_hidden_layers, config.num_attention_heads)
            pixels = (str(config.image_size), str(config.patch_size))
            tokens = config.num_prefix_tokens + config.num_patches
            parameters = sum(map(prod, array_shapes(config, task).values()))
            lines.append(row(name, *sizes, *pixels, tokens, f"{parameters:,}"))
        return "\n".join(lines)


def _published(hidden_size: int, num_attention_heads: int, image_size: int, *, distilled: bool) -> DeiTConfig:
    return DeiTConfig(
        hidden_size=hidden_size,
        num_attention_heads=num_attention_heads,
        intermediate_size=4 * hidden_size,
        image_size=image_size,
        num_labels=1000,
        distilled=distilled,
    )


VARIANTS: Mapping[str, DeiTConfig] = Variants(
    {
        "deit-tiny-patch16-224": _published(192, 3, 224, distilled=False),
        "deit-small-patch16-224": _published(384, 6, 224, distilled=False),
        "deit-base-patch16-224": _published(768, 12, 224, distilled=False),
        "deit-base-patch16-384": _published(768, 12, 384, distilled=False),
        "deit-tiny-distilled-patch16-224": _published(192, 3, 224, distilled=True),
        "deit-small-distilled-patch16-224": _published(384, 6, 224, distilled=True),
        "deit-base-distilled-patch16-224": _published(768, 12, 224, distilled=True),
        "deit-base-distilled-patch16-384": _published(768, 12, 384, distilled=True),
    }
)
