"""Config: transformers' fields and defaults, and everything that does not fit is refused."""

import dataclasses
import json
import math

import numpy as np
import pytest
import transformers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import TINY, configs

from deit_ref import checks
from deit_ref.config import DeiTConfig
from deit_ref.image_processing import MAX_PIXELS, RESAMPLING, ImageProcessing
from deit_ref.variants import VARIANTS
from deit_ref.weights import array_shapes

FIELDS = [field.name for field in dataclasses.fields(DeiTConfig)]


# --- DeiTConfig


def test_fields_and_defaults_are_those_of_transformers():
    theirs = transformers.DeiTConfig()
    ours = DeiTConfig()
    for name in FIELDS:
        if name != "distilled":
            assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.distilled
    # What is left over there says nothing about numbers.
    without_meaning = {
        "transformers_version", "architectures", "return_dict", "dtype", "chunk_size_feed_forward", "_name_or_path",
        "is_encoder_decoder", "id2label", "label2id", "model_type",
    }  # fmt: skip
    assert set(theirs.to_dict()) - set(FIELDS) == without_meaning


@given(configs())
def test_round_trip_through_json(config):
    assert DeiTConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.to_dict()["model_type"] == ("deit" if config.distilled else "vit")


@given(configs(image_size=24, patch_size=4, encoder_stride=4, num_labels=3))
def test_transformers_reads_what_we_write(config):
    if config.hidden_act == "selu" or config.pooler_act == "selu":
        return  # its documentation names selu, its code refuses it
    values = config.to_dict()
    kind = transformers.DeiTConfig if config.distilled else transformers.ViTConfig
    theirs = kind(**values)
    assert theirs.model_type == values.pop("model_type")
    for name, value in values.items():
        assert getattr(theirs, name) == value, name
    assert DeiTConfig.from_dict(theirs.to_dict()) == config


@pytest.mark.parametrize("number", [np.int64, np.int32, np.uint8])
def test_numbers_of_numpy_become_plain(number):
    config = DeiTConfig(number(32), number(2), number(4), image_size=(number(8), number(12)), patch_size=number(4))
    assert config == DeiTConfig(32, 2, 4, image_size=(8, 12), patch_size=4)
    assert json.loads(json.dumps(config.to_dict()))["image_size"] == [8, 12]
    eps = DeiTConfig(layer_norm_eps=np.float32(0.5)).layer_norm_eps
    assert (type(eps), eps) == (float, 0.5)


def test_legacy_files_lack_fields():
    legacy = {
        "architectures": ["DeiTModel"], "attention_probs_dropout_prob": 0.0, "hidden_act": "gelu", "hidden_size": 192,
        "image_size": 224, "initializer_range": 0.02, "intermediate_size": 768, "layer_norm_eps": 1e-12,
        "model_type": "deit", "num_attention_heads": 3, "num_channels": 3, "num_hidden_layers": 12, "patch_size": 16,
        "torch_dtype": "float32", "transformers_version": "4.13.0.dev0", "problem_type": None,
        "id2label": {str(i): f"class {i}" for i in range(1000)},
    }  # fmt: skip
    expected = dataclasses.replace(VARIANTS["deit-tiny-distilled-patch16-224"])
    assert DeiTConfig.from_dict(legacy) == expected
    assert expected.pooler_output_size == 192
    assert expected.qkv_bias
    assert DeiTConfig.from_dict(legacy | {"model_type": "vit"}) == VARIANTS["deit-tiny-patch16-224"]
    assert DeiTConfig.from_dict({}) == DeiTConfig()
    assert DeiTConfig.from_dict({"id2label": {"0": "a", "1": "b", "2": "c"}, "num_labels": 7}).num_labels == 3
    assert DeiTConfig.from_dict({"num_labels": 7}).num_labels == 7


def test_derived_sizes():
    config = DeiTConfig(24, 1, 3, image_size=[12, 20], patch_size=(4, 5), encoder_stride=4, pooler_output_size=None)
    assert config.image_size == (12, 20)
    assert config.grid == (3, 4)
    assert config.num_patches == 12
    assert config.head_dim == 8
    assert config.stride_shape == (4, 4)
    assert config.pooler_output_size == 24
    assert config.num_prefix_tokens == 2
    assert dataclasses.replace(config, distilled=False).num_prefix_tokens == 1
    # As in transformers, the pooler's size is settled once.
    assert dataclasses.replace(config, hidden_size=48).pooler_output_size == 24
    assert hash(config) == hash(dataclasses.replace(config))


BAD_FIELDS = [
    ({"hidden_size": 32, "num_attention_heads": 5}, r"must be a multiple of num_attention_heads, got 32 and 5"),
    ({"image_size": 225}, r"image_size must be a multiple of patch_size, got 225x225 pixels and patches of 16x16"),
    ({"image_size": (224, 230)}, r"got 224x230 pixels and patches of 16x16: the last rows or columns"),
    ({"image_size": (224, 224, 3)}, r"image_size must be an integer or a pair \(height, width\), got \(224, 224, 3\)"),
    ({"patch_size": 0}, r"patch_size must be at least 1, got 0"),
    ({"patch_size": (16, -16)}, r"patch_size\[1\] must be at least 1, got -16"),
    ({"encoder_stride": 2.0}, r"encoder_stride must be an integer, got 2\.0 of type float"),
    ({"image_size": "224"}, r"image_size must be an integer or a pair .*got '224'"),
    ({"hidden_size": 768.0}, r"hidden_size must be an integer, got 768\.0 of type float"),
    ({"hidden_size": "768"}, r"hidden_size must be an integer, got '768' of type str"),
    ({"num_attention_heads": 0}, r"num_attention_heads must be at least 1, got 0"),
    ({"intermediate_size": True}, r"intermediate_size must be an integer, got True of type bool"),
    ({"num_channels": -3}, r"num_channels must be at least 1, got -3"),
    ({"pooler_output_size": 0}, r"pooler_output_size must be at least 1, got 0"),
    ({"num_hidden_layers": -1}, r"num_hidden_layers must be at least 0, got -1"),
    ({"num_labels": -1}, r"num_labels must be at least 0, got -1"),
    ({"hidden_dropout_prob": 1.0}, r"hidden_dropout_prob must lie in \[0, 1\), got 1\.0"),
    ({"hidden_dropout_prob": "0.1"}, r"hidden_dropout_prob must be a number, got '0\.1' of type str"),
    ({"attention_probs_dropout_prob": -0.1}, r"attention_probs_dropout_prob must lie in \[0, 1\), got -0\.1"),
    ({"attention_probs_dropout_prob": math.nan}, r"attention_probs_dropout_prob must lie in \[0, 1\), got nan"),
    ({"initializer_range": 10.0}, r"initializer_range must lie in \[0, 10\), got 10.0"),
    ({"layer_norm_eps": -1e-6}, r"layer_norm_eps must lie in \[0, 1\), got -1e-06"),
    ({"layer_norm_eps": [1e-6]}, r"layer_norm_eps must be a number, got \[1e-06\] of type list"),
    ({"hidden_act": "gelo"}, r"hidden_act must be one of gelu, .*tanh; got 'gelo'\. Did you mean 'gelu'\?"),
    ({"hidden_act": math.tanh}, r"hidden_act must be one of gelu, "),
    ({"hidden_act": "prelu"}, r"hidden_act must be one of .*got 'prelu'"),
    ({"pooler_act": None}, r"pooler_act must be one of .*got None"),
    ({"problem_type": "foo"}, r"problem_type must be one of regression, single_label_classification, multi_label"),
    (
        {"problem_type": "single_label_classification", "num_labels": 1},
        r"'single_label_classification' needs at least 2 classes to choose from, got num_labels=1: take 2, or",
    ),
    ({"qkv_bias": 1}, r"qkv_bias must be True or False, got 1"),
    ({"output_hidden_states": "yes"}, r"output_hidden_states must be True or False, got 'yes'"),
    ({"output_attentions": 0}, r"output_attentions must be True or False, got 0"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "message"), BAD_FIELDS, ids=[str(values) for values, _ in BAD_FIELDS])
def test_bad_config(values, message):
    with pytest.raises(ValueError, match=message):
        DeiTConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "beit"}, r"model_type must be one of deit, vit, dinov2; got 'beit'\. Did you mean 'deit'\?"),
        ([], r"A config must be a JSON object, got list"),
        ({"id2label": 5}, r"id2label must map numbers to names, got 5"),
        ({"hidden_size": "192"}, r"hidden_size must be an integer, got '192' of type str"),
    ],
)
def test_bad_config_dict(values, message):
    with pytest.raises(ValueError, match=message):
        DeiTConfig.from_dict(values)


def test_distilled_must_be_a_boolean():
    with pytest.raises(ValueError, match=r"distilled must be True or False, got 'no'"):
        DeiTConfig(distilled="no")


# --- the published models

# Counts of timm and transformers, measured.
PUBLISHED = {
    "deit-tiny-patch16-224": 5_717_416,
    "deit-small-patch16-224": 22_050_664,
    "deit-base-patch16-224": 86_567_656,
    "deit-base-patch16-384": 86_859_496,
    "deit-tiny-distilled-patch16-224": 5_910_800,
    "deit-small-distilled-patch16-224": 22_436_432,
    "deit-base-distilled-patch16-224": 87_338_192,
    "deit-base-distilled-patch16-384": 87_630_032,
}
OTHER_COUNTS = [
    ("tiny", "features", 5_561_856),
    ("small", "features", 21_814_272),
    ("base", "features", 86_390_784),
    ("tiny", "classification", 5_717_800),
    ("small", "classification", 22_051_432),
    ("base", "classification", 86_569_192),
    ("tiny", "masked-image-modeling", 5_673_216),
    ("small", "masked-image-modeling", 21_962_496),
    ("base", "masked-image-modeling", 86_391_552),
]


def count(config, task):
    return sum(math.prod(shape) for shape in array_shapes(config, task).values())


def test_eight_published_models():
    assert list(VARIANTS) == list(PUBLISHED)
    for name, config in VARIANTS.items():
        _, size, *middle, image_size = name.split("-")
        dim, heads = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}[size]
        assert (config.hidden_size, config.num_attention_heads) == (dim, heads)
        assert (config.intermediate_size, config.head_dim, config.num_hidden_layers) == (4 * dim, 64, 12)
        assert (config.image_size, config.patch_size, config.layer_norm_eps) == (int(image_size), 16, 1e-12)
        assert config.distilled == ("distilled" in middle)
        tokens = config.num_prefix_tokens + config.num_patches
        assert tokens == {"224": 197, "384": 577}[image_size] + config.distilled
        task = "classification-with-teacher" if config.distilled else "classification"
        assert count(config, task) == PUBLISHED[name], name


def test_published_models_print_as_a_table():
    header, *lines = str(VARIANTS).splitlines()
    assert header.split() == "name dim layers heads image patch tokens parameters".split()
    assert lines[3].split() == ["deit-base-patch16-384", "768", "12", "12", "384", "16", "577", "86,859,496"]
    assert [(line.split()[0], int(line.split()[-1].replace(",", ""))) for line in lines] == list(PUBLISHED.items())
    assert len({len(line) for line in [header, *lines]}) == 1
    assert repr(VARIANTS) == str(VARIANTS)
    assert {**VARIANTS} == dict(VARIANTS) == VARIANTS  # else a dictionary as any other


@pytest.mark.parametrize(("size", "params"), [("tiny", 5_790_376), ("small", 22_196_584)])
def test_parameters_at_384_pixels(size, params):
    plain = VARIANTS[f"deit-{size}-patch16-224"]
    assert count(dataclasses.replace(plain, image_size=384), "classification") == params
    with_teacher = dataclasses.replace(VARIANTS[f"deit-{size}-distilled-patch16-224"], image_size=384)
    expected = {"tiny": 5_983_760, "small": 22_582_352}[size]
    assert count(with_teacher, "classification-with-teacher") == expected


@pytest.mark.parametrize(("size", "task", "params"), OTHER_COUNTS)
def test_parameters_of_other_tasks(size, task, params):
    assert count(VARIANTS[f"deit-{size}-distilled-patch16-224"], task) == params


# --- ImageProcessing


def test_processing_defaults_are_those_of_transformers():
    theirs, ours = transformers.DeiTImageProcessorPil(), ImageProcessing()
    for name in "do_resize do_center_crop do_rescale do_normalize size crop_size rescale_factor".split():
        assert getattr(ours, name) == getattr(theirs, name), name
    assert RESAMPLING[ours.resample] == theirs.resample
    assert (ours.image_mean, ours.image_std) == (tuple(theirs.image_mean), tuple(theirs.image_std))
    assert (ours.do_convert_rgb, ours.apply_exif, ours.crop_rounding) == (True, False, "floor")
    assert (ours.arithmetic, ours.alpha, ours.crop_rule) == ("pillow", False, "floor")
    assert ImageProcessing.from_dict(theirs.to_dict()) == ours


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"size": 256}, {"height": 256, "width": 256}),
        ({"size": (240, 250)}, {"height": 240, "width": 250}),
        ({"size": [240, 250]}, {"height": 240, "width": 250}),
        ({"size": {"height": 240, "width": 250}}, {"height": 240, "width": 250}),
        ({"size": {"shortest_edge": 256}}, {"shortest_edge": 256}),
        ({"size": 256, "default_to_square": False}, {"shortest_edge": 256}),
        ({"size": (240, 250), "default_to_square": False}, {"height": 240, "width": 250}),
        ({"size": {"shortest_edge": 256, "longest_edge": 300}}, {"shortest_edge": 256, "longest_edge": 300}),
        ({"size": {"max_height": 240, "max_width": 250}}, {"max_height": 240, "max_width": 250}),
    ],
)
def test_size_forms(values, expected):
    processing = ImageProcessing(**values)
    assert processing.size == expected
    crop = values["size"] if "height" in expected else 256
    edge = None if "height" in expected else 256
    wanted = {"height": edge, "width": edge} if edge else expected
    assert ImageProcessing(crop_size=crop, default_to_square=values.get("default_to_square", True)).crop_size == wanted


def test_presets():
    for size, resized in ((224, 256), (384, 438)):
        ours, original = ImageProcessing.huggingface(size), ImageProcessing.original(size)
        assert ours.size == {"height": resized, "width": resized}
        assert original.size == {"shortest_edge": resized}
        for processing in (ours, original):
            assert processing.crop_size == {"height": size, "width": size}
            assert processing.image_mean == (0.485, 0.456, 0.406)
            assert processing.image_std == (0.229, 0.224, 0.225)
            assert processing.resample == "bicubic"
            assert processing.do_rescale
            assert processing.rescale_factor == 1 / 255
        assert (ours.crop_rounding, original.crop_rounding) == ("floor", "round")
    assert ImageProcessing.huggingface() == ImageProcessing.huggingface(224)
    assert ImageProcessing.original() == ImageProcessing.original(224)


def test_resized_shape():
    squash = ImageProcessing(size=(240, 250))
    assert squash.resized_shape(480, 640) == (240, 250)
    short = ImageProcessing(size={"shortest_edge": 248})
    assert short.resized_shape(480, 640) == (248, 330)  # 330.67 is cut, not rounded
    assert short.resized_shape(640, 480) == (330, 248)
    assert short.resized_shape(100, 100) == (248, 248)
    assert ImageProcessing.original().resized_shape(480, 640) == (256, 341)


def test_resized_shape_with_limits_by_hand():
    limited = ImageProcessing(size={"shortest_edge": 100, "longest_edge": 150})
    assert limited.resized_shape(480, 640) == (100, 133)
    # 200 would be too long: 150 * 300 / 601 = 74.88, rounded for the short edge, and int(74.88 * 601 / 300) = 150.
    assert limited.resized_shape(601, 300) == (150, 75)
    # 100 rows already: left alone.
    assert limited.resized_shape(100, 150) == (100, 150)
    # 150 * 50 / 151 = 49.67 rounds to the 50 columns that are there: left alone, one row too long.
    assert ImageProcessing(size={"shortest_edge": 50, "longest_edge": 150}).resized_shape(151, 50) == (151, 50)
    inside = ImageProcessing(size={"max_height": 200, "max_width": 500})
    assert inside.resized_shape(100, 200) == (200, 400)
    assert inside.resized_shape(1000, 300) == (200, 60)
    with pytest.raises(ValueError, match=r"1000 x 1 pixels would be resized to 200 x 0 by size=\{'max_height': 200"):
        inside.resized_shape(1000, 1)
    with pytest.raises(ValueError, match=r"to 0 x 150 by .* leaves no pixel: crop it first"):
        limited.resized_shape(1, 1000)


@given(
    st.tuples(st.integers(1, 900), st.integers(1, 900), st.integers(1, 600), st.integers(1, 700)),
    st.sampled_from([("shortest_edge", "longest_edge"), ("max_height", "max_width"), ("height", "width")]),
)
@settings(max_examples=300)
def test_resized_shape_with_limits_as_transformers(numbers, keys):
    from transformers.image_transforms import get_size_with_aspect_ratio
    from transformers.image_utils import get_image_size_for_max_height_width

    height, width, *limits = numbers
    if keys[0] == "shortest_edge":
        expected = get_size_with_aspect_ratio((height, width), *limits)
    elif keys[0] == "max_height":
        expected = get_image_size_for_max_height_width((height, width), *limits)
    else:
        expected = tuple(limits)
    processing = ImageProcessing(size=dict(zip(keys, limits, strict=True)))
    if 0 in expected:
        with pytest.raises(ValueError, match="leaves no pixel"):
            processing.resized_shape(height, width)
    else:
        assert processing.resized_shape(height, width) == expected


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 600))
def test_resized_shape_as_transformers(height, width, edge):
    from transformers.image_transforms import get_resize_output_image_size

    expected = get_resize_output_image_size(np.zeros((height, width, 1), np.bool_), edge, False, None, "channels_last")
    processing = ImageProcessing(size={"shortest_edge": edge})
    if math.prod(expected) > MAX_PIXELS:
        with pytest.raises(ValueError, match="more than 16,777,216 pixels"):
            processing.resized_shape(height, width)
    else:
        assert processing.resized_shape(height, width) == expected


def test_resample_by_name_and_by_number():
    for name, number in RESAMPLING.items():
        assert ImageProcessing(resample=name).resample == name
        assert ImageProcessing(resample=number).resample == name
    from PIL.Image import Resampling

    assert {name: Resampling[name.upper()].value for name in RESAMPLING} == RESAMPLING
    assert len(RESAMPLING) == 6


def test_legacy_preprocessor_files():
    legacy = {
        "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True, "resample": 3, "size": 256,
        "feature_extractor_type": "DeiTFeatureExtractor", "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225], "_processor_class": "x", "data_format": None,
    }  # fmt: skip
    assert ImageProcessing.from_dict(legacy) == ImageProcessing.huggingface()
    assert ImageProcessing.from_dict({}) == ImageProcessing()
    # A ViT processor that names nothing has ViT's defaults.
    vit = ImageProcessing.from_dict({"image_processor_type": "ViTImageProcessor"})
    assert vit == ImageProcessing(size=224, resample="bilinear", do_center_crop=False)
    assert ImageProcessing.from_dict(transformers.ViTImageProcessorPil().to_dict()) == vit
    assert (
        ImageProcessing.from_dict({"feature_extractor_type": "ViTFeatureExtractor", "resample": 3}).resample
        == "bicubic"
    )


@given(
    size=st.sampled_from([7, (7, 9), {"shortest_edge": 5}, {"height": 3, "width": 4}]),
    resample=st.sampled_from(sorted(RESAMPLING)),
    switches=st.lists(st.booleans(), min_size=6, max_size=6),
    mean=st.sampled_from([0.5, (0.1, 0.2, 0.3), [0.25]]),
    default_to_square=st.booleans(),
    input_data_format=st.sampled_from([None, "channels_first"]),
    crop_rounding=st.sampled_from(["floor", "round"]),
    pass_order=st.sampled_from(["pillow-12", "pillow-13"]),
    arithmetic=st.sampled_from(["pillow", "torchvision"]),
)
def test_processing_round_trip_through_json(size, resample, switches, mean, **others):
    assume(others["arithmetic"] == "pillow" or resample not in ("box", "hamming"))
    names = "do_resize do_center_crop do_rescale do_normalize do_convert_rgb apply_exif".split()
    processing = ImageProcessing(
        size=size, resample=resample, image_mean=mean, **dict(zip(names, switches, strict=True)), **others
    )
    values = json.loads(json.dumps(processing.to_dict()))
    assert ImageProcessing.from_dict(values) == processing
    assert values["resample"] == RESAMPLING[resample]
    assert values["image_processor_type"] == "DeiTImageProcessor"


def test_the_name_in_a_file_does_not_choose_the_arithmetic():
    for name in ("DeiTImageProcessor", "DeiTImageProcessorFast", "DeiTImageProcessorPil"):
        assert ImageProcessing.from_dict({"image_processor_type": name}) == ImageProcessing()
    fast = ImageProcessing(arithmetic="torchvision")
    assert fast.to_dict()["arithmetic"] == "torchvision"
    assert ImageProcessing.from_dict(fast.to_dict()) == fast
    # The padding follows the arithmetic, also in a copy that changes nothing else.
    assert dataclasses.replace(ImageProcessing(), arithmetic="torchvision").crop_rule == "truncate"
    assert dataclasses.replace(ImageProcessing.original(), arithmetic="torchvision").crop_rule == "round"


def test_padding_of_a_batch_is_refused():
    assert ImageProcessing.from_dict({"do_pad": None, "pad_size": None}) == ImageProcessing()
    with pytest.raises(ValueError, match="do_pad is on, but padding a batch"):
        ImageProcessing.from_dict({"do_pad": True})


def test_files_hold_only_what_transformers_knows():
    ours = set(ImageProcessing().to_dict())
    assert ours <= set(transformers.DeiTImageProcessorPil().to_dict())
    assert set(ImageProcessing(apply_exif=True).to_dict()) - ours == {"apply_exif"}


BAD_PROCESSING = [
    ({"size": 0}, r"size(\[0\])? must be at least 1, got 0"),
    ({"size": "256"}, r"size must be an integer or a pair \(height, width\), got '256'"),
    ({"size": (1, 2, 3)}, r"size must be an integer or a pair"),
    ({"size": {"longest_edge": 3}}, r"one of these sets of keys: height and width; shortest_edge; .*got longest_edge"),
    ({"size": {"height": 3}}, r"size must have one .*shortest_edge and longest_edge; max_height and max_width; got h"),
    ({"size": {"min_pixels": 3, "max_pixels": 9}}, r"got min_pixels, max_pixels"),
    ({"size": {}}, r"got none"),
    ({"size": {"max_height": 3, "max_width": 0}}, r"size\['max_width'\] must be at least 1, got 0"),
    ({"crop_size": {"max_height": 3, "max_width": 3}}, r"crop_size must be a height and a width"),
    ({"arithmetic": "torch"}, r"arithmetic must be one of pillow, torchvision; got 'torch'"),
    ({"arithmetic": "torchvision", "resample": 4}, r"resample='box' is not known to arithmetic='torchvision'"),
    ({"alpha": True}, r"alpha=True needs do_convert_rgb=False, .*got True and 'pillow'"),
    ({"alpha": True, "do_convert_rgb": False, "arithmetic": "torchvision"}, r"got False and 'torchvision'"),
    ({"alpha": 1}, r"alpha must be True or False, got 1"),
    ({"size": {"height": 3, "width": 2.5}}, r"size\['width'\] must be an integer, got 2\.5"),
    ({"crop_size": {"shortest_edge": 3}}, r"crop_size must be a height and a width, got \{'shortest_edge': 3\}"),
    ({"resample": "bicubc"}, r"resample must be one of nearest, .*got 'bicubc'\. Did you mean 'bicubic'\?"),
    ({"resample": 6}, r"resample must be one of .*got 6"),
    ({"resample": True}, r"resample must be one of .*got True"),
    ({"rescale_factor": 0}, r"rescale_factor must lie in \(0, inf\), got 0"),
    ({"rescale_factor": -1.0}, r"rescale_factor must lie in \(0, inf\), got -1"),
    ({"image_mean": "0.5"}, r"image_mean must be a number, got '0\.5' of type str"),
    ({"image_mean": np.full(3, 0.5)}, r"image_mean must be a number, got array"),
    ({"image_mean": []}, r"image_mean must be a number or one number per channel, got \[\]"),
    ({"image_mean": (0.5, math.nan, 0.5)}, r"image_mean\[1\] must lie in \[-inf, inf\), got nan"),
    ({"image_std": 0}, r"image_std must not contain 0: the image is divided by it"),
    ({"image_std": (1, 1, 0)}, r"image_std must not contain 0: .*\(1\.0, 1\.0, 0\.0\)"),
    ({"do_resize": 1}, r"do_resize must be True or False, got 1"),
    ({"do_convert_rgb": None}, r"do_convert_rgb must be True or False, got None"),
    ({"default_to_square": "no"}, r"default_to_square must be True or False, got 'no'"),
    ({"input_data_format": "last"}, r"input_data_format must be one of .*channels_first, none; got 'last'"),
    ({"crop_rounding": "ceil"}, r"crop_rounding must be one of floor, round; got 'ceil'"),
    ({"pass_order": "pillow-14"}, r"pass_order must be one of pillow-13, pillow-12; got 'pillow-14'"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "message"), BAD_PROCESSING, ids=[str(values) for values, _ in BAD_PROCESSING])
def test_bad_processing(values, message):
    with pytest.raises(ValueError, match=message):
        ImageProcessing(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"image_processor_type": "BeitImageProcessor"},
            r"image_processor_type must be one of .*got 'BeitImageProcessor'",
        ),
        (5, r"A preprocessor config must be a JSON object, got int"),
    ],
)
def test_bad_processing_dict(values, message):
    with pytest.raises(ValueError, match=message):
        ImageProcessing.from_dict(values)


def test_configs_are_frozen():
    for value in (TINY, ImageProcessing()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.size = 3


def test_null_in_a_file_is_what_is_not_there():
    """Of every field, for models and for both processors; and what is not null is taken, false and 0 too."""
    for kind in ("deit", "vit"):
        names = {field.name for field in dataclasses.fields(DeiTConfig)} - {"distilled"}
        nulls = dict.fromkeys([*names, "id2label", "label2id", "chunk_size_feed_forward"])
        assert DeiTConfig.from_dict({**nulls, "model_type": kind}) == DeiTConfig(distilled=kind == "deit")
    fields = [field.name for field in dataclasses.fields(ImageProcessing)]
    for kind in ("DeiTImageProcessor", "ViTImageProcessor", "ViTFeatureExtractor"):
        bare = ImageProcessing.from_dict({"image_processor_type": kind})
        assert ImageProcessing.from_dict({**dict.fromkeys(fields), "image_processor_type": kind}) == bare
        assert ImageProcessing.from_dict({"feature_extractor_type": kind, "image_processor_type": None}) == bare
    off = ImageProcessing.from_dict({"image_processor_type": "ViTImageProcessor", "do_resize": False, "image_mean": 0})
    assert (off.do_resize, off.image_mean) == (False, 0)
    assert DeiTConfig.from_dict({"num_hidden_layers": 0, "qkv_bias": False}).num_hidden_layers == 0


@pytest.mark.parametrize("name", ["size", "crop_size"])
def test_limits_of_size_are_what_is_still_taken(name):
    side = 4096
    for value in (side, (1, side * side), {"height": side * side, "width": 1}):
        ImageProcessing(**{name: value})
    for value in (side + 1, (2, side * side), {"height": 1, "width": side * side + 1}):
        with pytest.raises(ValueError, match=f"^{name} must ask for at most 16,777,216 pixels"):
            ImageProcessing(**{name: value})
    wide = ImageProcessing(size={"shortest_edge": 64})
    assert wide.resized_shape(1, 4096) == (64, 64 * 4096)
    with pytest.raises(ValueError, match="more than 16,777,216 pixels"):
        wide.resized_shape(1, 4097)


@pytest.mark.parametrize("value", [0, 0.999999])
def test_dropout_lies_in_0_up_to_1(value):
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "layer_norm_eps"):
        assert getattr(DeiTConfig(**{name: value}), name) == value
        for wrong in (1, -1e-9):
            with pytest.raises(ValueError, match=rf"{name} must lie in \[0, 1\)"):
                DeiTConfig(**{name: wrong})


def test_checks_take_what_lies_on_their_limits():
    assert [checks.fraction("x", value) for value in (0, 0.5, 1)] == [0.0, 0.5, 1.0]
    for wrong in (-5e-324, 1.0000000000000002):
        with pytest.raises(ValueError, match=r"x must lie in \[0, 1"):
            checks.fraction("x", wrong)
    assert checks.number("x", 2, low=2, high=3) == 2
    for value, includes_low in ((2, False), (3, True), (3, False), (float("nan"), True)):
        with pytest.raises(ValueError, match="x must lie in"):
            checks.number("x", value, low=2, high=3, includes_low=includes_low)
    assert (checks.integer("x", 1), checks.integer("x", 0, minimum=0), checks.pair("x", 1)) == (1, 0, (1, 1))
    for minimum in (0, 1, 7):
        with pytest.raises(ValueError, match=f"x must be at least {minimum}"):
            checks.integer("x", minimum - 1, minimum=minimum)
