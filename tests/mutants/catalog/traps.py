"""Where implementations of DeiT silently disagree: each trap in every place where one can fall into it."""

# ruff: noqa: E501
# fmt: off
from .. import planted

MUTANTS = [
    # 1: eps
    *planted("config.py", "test_config", ("layer_norm_eps: float = 1e-12", "layer_norm_eps: float = 1e-6", "a config without eps")),
    *planted(
        "checkpoints/names.py", "test_original",
        ("heads_of, layer_norm_eps=1e-12)\nORIGINAL", "heads_of, layer_norm_eps=1e-6)\nORIGINAL", "a bare file of transformers' names"),
        ("original_heads_of, layer_norm_eps=1e-6)", "original_heads_of, layer_norm_eps=1e-12)", "a bare file of original names"),
    ),
    *planted(
        "numpy_backend/encoder.py", "test_encoder test_model",
        ("weights.norm1, x, eps=config.layer_norm_eps", "weights.norm1, x, eps=1e-6", "tokens that hardly vary"),
        ("weights.norm2, x, eps=config.layer_norm_eps", "weights.norm2, x, eps=1e-6", "tokens that hardly vary"),
        ("weights.norm, x, eps=weights.config.layer_norm_eps", "weights.norm, x, eps=1e-6", "tokens that hardly vary"),
    ),
    *planted(
        "torch_backend/encoder.py", "test_encoder test_model",
        ("weights.norm1, x, eps=config.layer_norm_eps", "weights.norm1, x, eps=1e-6", "tokens that hardly vary"),
        ("weights.norm, x, eps=weights.config.layer_norm_eps", "weights.norm, x, eps=1e-6", "tokens that hardly vary"),
    ),
    # 2, 3: mean and std, squash or shortest edge
    *planted(
        "image_processing.py", "test_config",
        ("image_mean: tuple[float, ...] | float = (0.5, 0.5, 0.5)", "image_mean: tuple[float, ...] | float = (0.485, 0.456, 0.406)", "a file without mean"),
        ("crop_size=size, image_mean=IMAGENET_MEAN, image_std=IMAGENET_STD)", "crop_size=size)", "the huggingface preset"),
        ("return cls(size=size * 256 // 224, crop", "return cls(size={\"shortest_edge\": size * 256 // 224}, crop", "the huggingface preset"),
        ("size={\"shortest_edge\": size * 256 // 224},", "size=size * 256 // 224,", "the original preset"),
        ("size=size * 256 // 224,", "size=round(size * 256 / 224),", "384 pixels: 438, not 439"),
    ),
    # 4: the slice of masked image modeling
    *planted("numpy_backend/simmim.py", "test_simmim", ("else x[:, prefix:]", "else x[:, 1:-1]", "any distilled model")),
    *planted("torch_backend/simmim.py", "test_simmim", ("else x[:, prefix:]", "else x[:, 1:-1]", "any distilled model")),
    # 5: a head mask that does nothing
    *planted("numpy_backend/attention.py", "test_attention", ("        probabilities *= head_mask[:, None, None]", "        pass", "a head mask")),
    *planted(
        "torch_backend/attention.py", "test_attention",
        ("        probabilities = probabilities * head_mask[:, None, None]", "        pass", "a head mask"),
        ("fused = head_mask is None and (", "fused = (", "a head mask, unwatched"),
    ),
    # 6: the mean of both heads
    *planted("numpy_backend/heads.py", "test_heads", ("return (cls_logits + distillation_logits) / 2,", "return cls_logits,", "heads that differ")),
    *planted("torch_backend/heads.py", "test_heads", ("return (cls_logits + distillation_logits) / 2,", "return cls_logits,", "heads that differ")),
    # 7, 17, 22: when positions are interpolated, and which of them
    *planted(
        "numpy_backend/tokens.py", "test_model",
        ("if grid != config.grid:", "if grid[0] * grid[1] != config.num_patches:", "64 x 16 pixels for a model of 32 x 32"),
        ("(height, width) != config.image_shape", "height * width != config.image_shape[0] * config.image_shape[1]", "64 x 16 pixels, not interpolated"),
        ("num_prefix_tokens=config.num_prefix_tokens, source_grid", "num_prefix_tokens=1, source_grid", "a distilled model of another size"),
    ),
    *planted(
        "torch_backend/tokens.py", "test_model",
        ("if grid != config.grid:", "if grid[0] * grid[1] != config.num_patches:", "64 x 16 pixels for a model of 32 x 32"),
        ("(height, width) != config.image_shape", "height * width != config.image_shape[0] * config.image_shape[1]", "64 x 16 pixels, not interpolated"),
    ),
    *planted("config.py", "test_config", ("return 2 if self.distilled else 1", "return 1", "a distilled model")),
    # 8: the cubic's a
    *planted("numpy_backend/positions.py", "test_positions", ("a = real(-0.75)", "a = real(-0.5)", "another grid")),
    *planted("torch_backend/positions.py", "test_positions", ("antialias=False", "antialias=True", "a smaller grid")),
    *planted("numpy_backend/resize.py", "test_resize", ("a, x = -0.5, np.abs(x)", "a, x = -0.75, np.abs(x)", "bicubic")),
    *planted("torch_backend/resize.py", "test_resize", ("a, x = -0.5, x.abs()", "a, x = -0.75, x.abs()", "bicubic")),
    # 9, 10: the order of the passes, and bytes between them
    *planted(
        "numpy_backend/resize.py", "test_resize",
        ("height - new_height > 2 * (width - new_width)", "height - new_height >= 2 * (width - new_width)", "a loss of exactly twice"),
        ('pass_order == "pillow-13" and', 'pass_order == "pillow-12" and', "a portrait"),
        ('if downward and arithmetic == "pillow" else', "if downward else", "a portrait, as torchvision"),
        ("np.clip(part + 0.5, 0, 255).astype(np.uint8)", "(part + 0.5).astype(np.int64).astype(np.uint8)", "an edge, bicubic"),
        ("np.clip(part + 0.5, 0, 255)", "np.clip(np.rint(part), 0, 255)", "a sum of exactly a half"),
    ),
    *planted(
        "torch_backend/resize.py", "test_resize",
        ("height - new_height > 2 * (width - new_width)", "height - new_height > (width - new_width)", "a portrait"),
        ('if downward and arithmetic == "pillow" else', "if downward else", "a portrait, as torchvision"),
        ("(part + 0.5).clamp_(0, 255).to(torch.uint8)", "(part + 0.5).to(torch.int64).to(torch.uint8)", "an edge, bicubic"),
    ),
    # 11, 12: padding, rescaling
    *planted(
        "numpy_backend/image.py", "test_image",
        ("        return (in_size - out_size) // 2\n", "        return int((in_size - out_size) / 2)\n", "an odd padding"),
        ('rounding == "truncate" or in_size < out_size', 'rounding == "truncate"', "an odd padding, rounded"),
        ("(image.astype(np.float64) * factor).astype(np.float32)", "image.astype(np.float32) * np.float32(factor)", "last bits"),
        ("return round((in_size - out_size) / 2)", "return (in_size - out_size + 1) // 2", "an odd margin, original preset"),
    ),
    *planted(
        "torch_backend/image.py", "test_image",
        ("        return (in_size - out_size) // 2\n", "        return int((in_size - out_size) / 2)\n", "an odd padding"),
        ("(image.double() * factor).float()", "image.float() * factor", "last bits"),
    ),
    *planted("image_processing.py", "test_image", ('return "truncate" if fast else self.crop_rounding', "return self.crop_rounding", "an odd padding, as torchvision")),
    # 13, 24: floats in 0..1, alpha
    *planted(
        "photos.py", "test_photos",
        (".astype(np.float64) * 255).astype(np.float32).astype(np.uint8)", ".astype(np.float64) * 255 + 0.5).astype(np.float32).astype(np.uint8)", "0.999"),
        ("if do_convert_rgb and image.has_transparency_data:", "if False:", "a file with alpha"),
        ("(1.0 - alpha)", "(0.0 * alpha)", "an array with alpha"),
    ),
    # 14, 20: activations
    *planted(
        "numpy_backend/activations.py", "test_activations",
        ('    "selu": selu,\n', '    "selu": lambda x: np.maximum(x, 0),\n', "selu"),
        ("1.6732632423543772", "1.0", "selu below 0"),
        ("return 0.5 * x * (1 + erf(x / math.sqrt(2)))", "return gelu_tanh(x)", "float64"),
        ("return _gelu_float32(x)", "return gelu_tanh(x)", "float32"),
    ),
    *planted("torch_backend/activations.py", "test_activations", ("return F.gelu(x)\n", 'return F.gelu(x, approximate="tanh")\n', "any")),
    # 15: the divergence's divisor, the teacher's photos
    *planted("numpy_backend/losses.py", "test_losses", ("(np.exp(teacher) * (teacher - student)).mean()", "(np.exp(teacher) * (teacher - student)).sum(axis=-1).mean()", "soft distillation")),
    *planted("torch_backend/losses.py", "test_losses", ("(teacher.exp() * (teacher - student)).mean()", "(teacher.exp() * (teacher - student)).sum(-1).mean()", "soft distillation")),
    # 16, 23: names
    *planted(
        "checkpoints/names.py", "test_checkpoints test_original",
        ('("attn.proj", "attention.output.dense", "attention.o_proj")', '("attn.proj", "output.dense", "attention.o_proj")', "any"),
        ("_STORED_PARTS = {ours: stored for ours, stored, _ in BLOCK}", "_STORED_PARTS = {ours: v5 for ours, _, v5 in BLOCK}", "what is written"),
    ),
    # 18: hidden states before the last norm
    *planted("numpy_backend/encoder.py", "test_model", ('return record(trace, "output", x)', 'record(trace, "output", layer_norm(weights.norm1, x, eps=config.layer_norm_eps))\n    return x', "hidden_states")),
    *planted("torch_backend/encoder.py", "test_model", ('return record(trace, "output", x)', 'record(trace, "output", layer_norm(weights.norm1, x, eps=config.layer_norm_eps))\n    return x', "hidden_states")),
    # 19, 25: labels
    *planted(
        "inputs.py", "test_api",
        ("    shape = tuple(labels.shape)\n", '    object.__setattr__(weights.config, "problem_type", problem_type)\n    shape = tuple(labels.shape)\n', "a second call with other labels"),
    ),
    *planted("numpy_backend/losses.py", "test_losses", ("np.flatnonzero(labels != ignore_index)", "np.arange(len(labels))", "a label of -100")),
    *planted("torch_backend/losses.py", "test_losses", (", ignore_index=ignore_index)", ", ignore_index=-1)", "a label of -100"), ("labels.long()", "labels", "labels of int32")),
    # 21: tokens of 0 in new weights
    *planted("weights.py", "test_weights", ('if name.endswith("bias"):', 'if name.endswith(("bias", "token")):', "new weights")),
    # 26: nearest
    *planted("numpy_backend/resize.py", "test_resize", ("return np.cumsum(steps).astype(np.int64)", "return ((np.arange(out_size) + 0.5) * (in_size / out_size)).astype(np.int64)", "a tie")),
    *planted("torch_backend/resize.py", "test_resize", ("return steps.cumsum(0).long()", "return ((torch.arange(out_size) + 0.5).double() * (in_size / out_size)).long()", "a tie")),
    # 27: the longer edge
    *planted("image_processing.py", "test_config", ("int(exact * long / short)", "round(exact * long / short)", "640 x 480 to 248"), ("int(height * scale), int(width * scale)", "round(height * scale), round(width * scale)", "max_height")),
]
