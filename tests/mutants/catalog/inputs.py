"""What users hand in and get back: forward, its inputs and outputs, arrays, configs, weights."""

# ruff: noqa: E501
# fmt: off
from .. import planted

MUTANTS = [
    *planted(
        "inputs.py", "test_api",
        ("if not ((mask >= 0) & (mask <= 1)).all():", "if not ((mask >= 0) & (mask < 1)).all():", "a mask of 1"),
        ("weights.config.num_prefix_tokens + _num_patches(weights, pixel_values)", "weights.config.num_prefix_tokens + weights.config.num_patches", "another size and an attention mask"),
        ("if not mask.any(-1).all():", "if not mask.any():", "one image of which nothing is left"),
        ("& (labels != -100)", "", "a label of -100"),
        ("(labels >= num_labels)", "(labels > num_labels)", "a label one too high"),
        ("if (labels == -100).all():", "if False:", "labels of -100 alone"),
        ("((heads,), (layers, 1), (layers, heads))", "((heads,), (layers, heads))", "a head mask of one number per layer"),
        ("return int((height // patch_height) * (width // patch_width))", "return int(weights.config.num_patches)", "another size and a mask"),
        ("getattr(weights.config, name) if value is None else value", "bool(value)", "a config that asks for attentions"),
        ("mask = mask == 1\n    if not mask.any", "mask = mask != 1\n    if not mask.any", "an attention mask"),
    ),
    *planted(
        "api.py", "test_api",
        ("weights.image_processing if image_processing is None else image_processing", "weights.image_processing", "another processing"),
        ("pixel_values.transpose(0, 2, 3, 1) if", "pixel_values.transpose(0, 3, 2, 1) if", "channels_last"),
        ("key = (backend, str(wanted), str(where))", "key = (backend, str(where))", "two dtypes"),
        ("if any(getattr(array, \"requires_grad\", False) for _, array in named_arrays(weights)):", "if False:", "weights that learn"),
        ("return replace(output, class_names=())", "return output", "a model without labels"),
        ("apply_exif=image_processing.apply_exif,", "apply_exif=False,", "photos that lie turned"),
        ("input_data_format=image_processing.input_data_format,", "input_data_format=None,", "photos of three pixels"),
    ),
    *planted(
        "outputs.py", "test_outputs",
        ("np.argsort(-probabilities, axis=1, kind=\"stable\")[:, :k]", "np.argsort(probabilities, axis=1, kind=\"stable\")[:, :k]", "top"),
        ("logits - logits.max(axis=-1, keepdims=True)", "logits", "logits above 709"),
        ("logits.float() if logits.dtype.itemsize == 2 else logits", "logits", "half precision"),
        ("return logits.sigmoid() if several else logits.softmax(-1)", "return logits.softmax(-1)", "several labels in torch"),
        ("np.exp(-np.logaddexp(0, -logits))", "1 / (1 + np.exp(-logits))", "logits below -709"),
        ("as_numpy(logits).astype(np.float64)", "as_numpy(logits)", "two probabilities that are one in float32"),
    ),
    *planted(
        "arrays.py", "test_weights test_api",
        ("array.dtype.itemsize == 2 and array.is_floating_point()", "array.dtype.itemsize == 2", "int16 tensors"),
        ("found.update(f\"{name}\\0{values.dtype}\\0{values.shape}\\0\".encode())", "found.update(f\"{name}\\0{values.dtype}\\0\".encode())", "two shapes of the same numbers"),
        (".newbyteorder(\"=\")", "", "a foreign byte order"),
        ("if not array.flags.writeable or min(array.strides, default=0) < 0:", "if min(array.strides, default=0) < 0:", "read-only arrays"),
        ("or min(array.strides, default=0) < 0:", ":", "negative strides"),
    ),
    *planted(
        "config.py", "test_config",
        ("if values.get(name) is not None}", "if name in values}", "null in a file"),
        ('chosen["num_labels"] = len(names)', 'chosen.setdefault("num_labels", len(names))', "num_labels and id2label that differ"),
        ("for name in known if", "for name in known - {\"qkv_bias\"} if", "a file without biases"),
        ("if self.pooler_output_size is None:", "if not self.pooler_output_size or True:", "a pooler of another size"),
        ('return cls(**chosen, distilled=model_type == "deit")', "return cls(**chosen)", "a file of ViT"),
        ("return self.image_shape[0] // self.patch_shape[0], self.image_shape[1] // self.patch_shape[1]", "return self.image_shape[0] // self.patch_shape[0], self.image_shape[1] // self.patch_shape[0]", "patches that are not square"),
        ("if height % patch_height or width % patch_width:", "if height % patch_height:", "a width that does not fit"),
        ('return {"model_type": "deit" if values.pop("distilled") else "vit", **values}', 'return {"model_type": "deit", **values}', "a plain model, written"),
        ("low=0, high=10", "low=0, high=1", "initializer_range 2"),
    ),
    *planted(
        "checks.py", "test_config",
        ("low <= float(", "low < float(", "0 where it may be"),
        ("math.nextafter(1, 2)", "1", "a share of 1"),
    ),
    *planted(
        "weights.py", "test_weights",
        ("while (outside := np.abs(values) > bound).any():", "while (outside := np.abs(values) > bound * std).any():", "new weights: cut at two deviations"),
        ("if task == \"features\" and pooler:", "if task == \"features\":", "features without a pooler"),
        ("config.stride_shape[0] * config.stride_shape[1] * config.num_channels", "config.stride_shape[0] ** 2 * config.num_channels", "strides that are not square"),
        ("3 * dim, dim, bias=config.qkv_bias", "3 * dim, dim", "no qkv_bias"),
        ("arrays[name] = np.ones(shape, np.float32)", "arrays[name] = np.zeros(shape, np.float32)", "new weights"),
        ("if height == width:", "if True:", "images that are not square"),
        ("wanted or as_numpy(array).dtype", "wanted or np.float32", "float64 weights to NumPy"),
        ("if name in found and found[name] != shape", "if name in found and len(found[name]) != len(shape)", "a wrong shape"),
        ("if unexpected := [name for name in found if name not in expected]:", "if unexpected := []:", "one array too many"),
    ),
]
