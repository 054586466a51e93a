"""Pictures of one photo on its way through the bundled model, made anew at each build: `{{ photo attention }}`."""

from collections.abc import Callable, Mapping
from typing import Any

from pictures import answers, others, tokens

# By name, from the bundled classifier's weights to a figure of HTML, in which pages have addresses such as viewer.md.
PICTURES: Mapping[str, Callable[[Any], str]] = {
    function.__name__: function
    for function in (
        answers.hero,
        tokens.patches,
        tokens.filters,
        tokens.positions,
        tokens.layers,
        answers.attention,
        answers.encoder,
        answers.lens,
        answers.heads,
        answers.model,
        others.simmim,
        others.relevance,
        others.image,
        others.squash,
        others.resize,
    )
}
