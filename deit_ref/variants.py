"""The eight published models: the config of each by its name, and a table of them when they are printed."""

from collections.abc import Mapping
from math import prod

from deit_ref.config import PUBLISHED, DeiTConfig
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


VARIANTS: Mapping[str, DeiTConfig] = Variants(PUBLISHED)
