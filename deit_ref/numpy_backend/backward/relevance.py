r"""Chapter 14: what a decision rests on.

Input -> output: attentions and gradients of a class's logit -> a number for each pixel, token or head.

Attention says where a model looked, not what it made of it. The gradient of a logit says what would have changed it.
Together they come nearer to a reason: what was looked at, and mattered for this class.

None of it is a proof. A gradient holds for small changes only, and says nothing of what would happen if a thing were
gone; the test is always to hide it and to ask again.

Source: Simonyan et al. 2014 (saliency); Chefer et al. 2021, "Generic Attention-model Explainability", equations 5 and
6; Michel et al. 2019, section 4.1 (importance of heads).
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

Array: TypeAlias = np.ndarray[Any, Any]


def saliency(dpixel_values: Float[Array, "batch channels height width"]) -> Float[Array, "batch height width"]:
    r"""How strongly each pixel pulls at the logit: $\max_c |\partial o / \partial x_c|$, the largest of its channels.

    Args:
        dpixel_values: the gradient of the logit with respect to the pixels.

    Source: Simonyan et al. 2014, section 3.1.
    """
    return np.abs(dpixel_values).max(axis=1)


def attention_relevance(
    attentions: Sequence[Float[Array, "batch heads tokens tokens"]],
    dattentions: Sequence[Float[Array, "batch heads tokens tokens"]],
) -> Float[Array, "batch tokens tokens"]:
    r"""How much each token of the last layer owes to each input token, as far as it speaks for the class.

    $$R_l = R_{l-1} + \bar A_l^+ \, R_{l-1}, \qquad
      \bar A_l^+ = \mathrm{mean}_\text{heads} \big( (dA_l \odot A_l)^+ \big), \qquad R_0 = I$$

    Rollout follows every share of attention alike. Here a share counts by what the logit gains from it, its gradient;
    what speaks against the class counts nothing ($^+$). So the same photo gives another map for another class.

    Args:
        attentions: A, one array per layer, first layer first.
        dattentions: dA, the gradients of the class's logit with respect to them.

    Raises:
        ValueError: no attentions, or not as many gradients.

    Source: Chefer et al. 2021, equations 5 and 6.
    """
    if len(attentions) == 0 or len(attentions) != len(dattentions):
        raise ValueError(
            "attention_relevance needs the attentions of at least one layer and a gradient for each, got "
            f"{len(attentions)} and {len(dattentions)}: ask gradients for with_respect_to=('attentions',)."
        )
    identity = np.eye(attentions[0].shape[-1], dtype=attentions[0].dtype)  # (tokens, tokens)
    relevance = np.broadcast_to(identity, attentions[0][:, 0].shape)  # (batch, tokens, tokens)
    for attention, dattention in zip(attentions, dattentions, strict=True):
        gained = np.maximum(attention * dattention, 0).mean(axis=1)  # (batch, tokens, tokens)
        relevance = relevance + gained @ relevance
    return relevance


def head_importance(
    attentions: Sequence[Float[Array, "batch heads tokens tokens"]],
    dattentions: Sequence[Float[Array, "batch heads tokens tokens"]],
) -> Float[Array, "layers heads"]:
    r"""How much the loss would change if a head were turned down a little.

    $$\text{importance} = \mathrm{mean}_\text{images} \Big| \sum_{i,j} A_{ij} \, dA_{ij} \Big|$$

    Turning a head down multiplies all its shares by a number $\xi$ near 1, and the sum is
    $\partial \mathcal L / \partial \xi$ for one image: the gradient of `head_mask`, image by image. Heads help some
    images and harm others, and over a batch that would cancel; so the mean is of absolute values.

    Args:
        attentions: one array per layer.
        dattentions: the gradients of the sum of the images' losses or logits with respect to them.

    Raises:
        ValueError: no attentions, or not as many gradients.

    Source: Michel et al. 2019, equation 2.
    """
    if len(attentions) == 0 or len(attentions) != len(dattentions):
        raise ValueError(
            "head_importance needs the attentions of at least one layer and a gradient for each, got "
            f"{len(attentions)} and {len(dattentions)}: ask gradients for with_respect_to=('attentions',)."
        )
    each = [np.einsum("bhij,bhij->bh", a, d) for a, d in zip(attentions, dattentions, strict=True)]
    return np.abs(np.stack(each)).mean(axis=1)  # (blocks, heads)
