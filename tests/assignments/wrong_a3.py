"""Wrong solutions of assignment 3."""

import numpy as np
from wrong import TYPE, changed, given, retyped, spoiling

from deit_ref.numpy_backend.activations import _gelu_float32

WRONG = (
    spoiling("layers.layer_norm"),
    changed(
        "layers.layer_norm",
        "in place",
        "centered = x - x.mean(axis=-1, keepdims=True)",
        "x -= x.mean(axis=-1, keepdims=True)\n    centered = x",
        "changes its input",
    ),
    changed("layers.layer_norm", "a fixed eps", "variance + eps", "variance + 1e-6"),
    given("layers.layer_norm", "minus", lambda right, *args, **options: -right(*args, **options), "the sign"),
    spoiling("activations.gelu"),
    changed("activations.gelu", "only above 0", "0.5 * x *", "0.5 * np.abs(x) *"),
    given(
        "activations.gelu", "float32's digits in float64", lambda right, x: right(x.astype(np.float32)).astype(x.dtype)
    ),
    given("activations.gelu", "float32's way", lambda right, x: _gelu_float32(x), "float32's way in float64"),
    given("activations.gelu", "of halves", lambda right, x: 0.5 * right(x), "a constant factor"),
    spoiling("encoder.mlp"),
    changed(
        "encoder.mlp",
        "two activations by hand",
        "activate(hidden, name=activation)",
        "activate(hidden, name='gelu' if activation == 'gelu' else 'linear')",
    ),
    changed(
        "encoder.mlp",
        "activation ignored",
        "activate(hidden, name=activation)",
        "activate(hidden, name='gelu')",
        "always GELU",
    ),
    spoiling("encoder.encoder_block"),
    changed("encoder.encoder_block", "always GELU", "activation=config.hidden_act", "activation='gelu'"),
    changed(
        "encoder.encoder_block",
        "residuals swapped",
        "    branch = mlp(weights.mlp, normed",
        "    x = normed\n    branch = mlp(weights.mlp, normed",
        None,
    ),
    changed(
        "encoder.encoder_block",
        "no masks at all",
        "head_mask=head_mask,\n        attention_mask=attention_mask",
        "head_mask=None,\n        attention_mask=None",
    ),
    changed(
        "encoder.encoder_block",
        "in place",
        "    x = x + drop_path(branch, probability=drop_path_probability, generator=generator)\n    normed",
        "    x += branch\n    normed",
        "changes its input",
    ),
    spoiling("encoder.encoder"),
    changed(
        "encoder.encoder", "two blocks at most", "in enumerate(weights.blocks)", "in enumerate(weights.blocks[:2])"
    ),
    spoiling("heads.classify_with_teacher", 0),
    retyped("heads.classify_with_teacher", "the mean alone", lambda x: x[0], None),
    retyped(
        "heads.classify_with_teacher", "in another order", lambda x: (x[1], x[0], x[2]), "results in another order"
    ),
    changed(
        "heads.classify_with_teacher",
        "the second head forgotten",
        "/ 2, cls_logits, distillation_logits",
        "/ 2, cls_logits, cls_logits",
    ),
    retyped(
        "model.classification_with_teacher", "a tuple", lambda x: (x.logits, x.cls_logits, x.distillation_logits), TYPE
    ),
    retyped("model.classification_with_teacher", "the logits alone", lambda x: x.logits, None),
    changed(
        "model.classification_with_teacher",
        "what was kept is lost",
        "hidden_states=encoded.hidden_states",
        "hidden_states=None",
    ),
    changed("model.classification_with_teacher", "attentions lost", "attentions=encoded.attentions", "attentions=None"),
    given(
        "model.classification_with_teacher",
        "no options",
        lambda right, w, x, **options: right(w, x, interpolate_pos_encoding=True),
    ),
    given(
        "model.classification_with_teacher",
        "one option by name",
        lambda right, w, x, interpolate_pos_encoding=False, head_mask=None: right(
            w, x, interpolate_pos_encoding=interpolate_pos_encoding, head_mask=head_mask
        ),
        "other arguments than those of the text",
    ),
)
