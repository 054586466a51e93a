"""Mutants that were written when the tests stood, without a look at them, by area."""

# ruff: noqa: E501
# fmt: off
from functools import partial

from .. import planted as _planted
from .course import GRADE, SUBMISSION

planted = partial(_planted, after=True)

LATER = {
    "chapters": [
        *planted(
            "numpy_backend/layers.py", "test_layers",
            ("centered *= weights.weight", "centered *= np.abs(weights.weight)", "a negative weight of a norm"),
            ("rows @ weights.weight.T", "rows @ weights.weight", "a square matrix"),
            ("powers /= powers.sum(axis=-1, keepdims=True)", "powers /= powers.sum(axis=0, keepdims=True)", "several rows"),
            ("if generator is None or probability == 0:\n        return x\n    keep = generator.random(x.shape", "if generator is None:\n        return x\n    keep = generator.random(x.shape", "probability 0: the same array comes back"),
        ),
        *planted(
            "numpy_backend/activations.py", "test_activations",
            ("x * np.clip(x + 3, 0, 6) / 6", "x * np.clip(x + 3, 0, 6) / 3", "hardswish"),
            ("np.sqrt(softplus(x))", "softplus(x)", "sqrtsoftplus"),
            ("0.044715 * x**3", "0.044715 * x**2", "gelu_new"),
            ("0.5 * (1 + erf((x - 0.707107)", "0.5 * (1 + erf((x + 0.707107)", "laplace"),
            ("np.maximum(x, 0) ** 2", "np.maximum(x, 0)", "relu2"),
        ),
        *planted(
            "torch_backend/layers.py", "test_layers",
            ("torch.where(keep.to(x.device), x / (1 - probability), 0)\n\n\ndef drop_path", "torch.where(keep.to(x.device), x, 0)\n\n\ndef drop_path", "dropout"),
            ("F.layer_norm(x, x.shape[-1:]", "F.layer_norm(x.float(), x.shape[-1:]", "float64"),
        ),
        *planted(
            "torch_backend/activations.py", "test_activations",
            ("torch.sigmoid(1.702 * x)", "torch.sigmoid(x)", "quick_gelu"),
            ('"hardswish": F.hardswish', '"hardswish": F.silu', "hardswish"),
        ),
        *planted(
            "numpy_backend/attention.py", "test_attention",
            ("q, k, v = x.transpose(2, 0, 3, 1, 4)", "k, q, v = x.transpose(2, 0, 3, 1, 4)", "any"),
            ("record(trace, \"scores\", scores)\n", "record(trace, \"scores\", softmax(scores))\n", "traced scores"),
            ("np.broadcast_to(identity, attentions[0][:, 0].shape)", "np.broadcast_to(identity / 2, attentions[0][:, 0].shape)", "rollout"),
            ("probabilities @ v  #", "probabilities.swapaxes(-1, -2) @ v  #", "any"),
        ),
        *planted(
            "torch_backend/attention.py", "test_model::test_attention_records_each_part_under_its_own_name test_attention",
            ("q, k, v = x.permute(2, 0, 3, 1, 4)", "q, v, k = x.permute(2, 0, 3, 1, 4)", "any"),
            ("record(trace, name, value)", "record(trace, name, q)", "a trace of k"),
        ),
        *planted(
            "numpy_backend/encoder.py", "test_encoder test_model",
            ("x = x + drop_path(branch, probability=drop_path_probability, generator=generator)\n    normed", "x = normed + drop_path(branch, probability=drop_path_probability, generator=generator)\n    normed", "any"),
            ("weights.attn,\n        normed,", "weights.attn,\n        x,", "any"),
            ("scope(trace, f\"blocks.{i}\")", "scope(trace, f\"blocks.{i + 1}\")", "a trace"),
        ),
        *planted(
            "numpy_backend/positions.py", "test_positions",
            ("first = np.floor(places)", "first = np.trunc(places)", "a larger grid: places below 0"),
            ("for offset in (-1, 0, 1, 2):", "for offset in (0, 1):", "another grid"),
            ("pos_embed[:, :num_prefix_tokens], pos_embed[:, num_prefix_tokens:]", "pos_embed[:, -num_prefix_tokens:], pos_embed[:, :-num_prefix_tokens]", "any"),
        ),
        *planted(
            "numpy_backend/losses.py", "test_losses",
            ("labels = labels.astype(logits.dtype).reshape(logits.shape)", "labels = labels.astype(logits.dtype)", "regression with labels (batch,)"),
            ("np.exp(shifted).sum(axis=-1, keepdims=True)", "np.exp(x).sum(axis=-1, keepdims=True)", "any"),
            ("return -log_softmax(logits)[rows, labels[rows]].mean()", "return -log_softmax(logits)[rows, labels[rows]].sum() / len(labels)", "a label of -100"),
        ),
        *planted(
            "torch_backend/losses.py", "test_losses",
            ("(torch.abs(pixel_values - reconstruction) * m).sum()", "(torch.square(pixel_values - reconstruction) * m).sum()", "any mask"),
            ("log_softmax(teacher_logits / tau), log_softmax(distillation_logits / tau)", "log_softmax(teacher_logits), log_softmax(distillation_logits / tau)", "tau other than 1"),
        ),
        *planted(
            "numpy_backend/model.py", "test_model test_trace",
            ("split_tokens(encoded.x, distilled=config.distilled)", "split_tokens(encoded.x[:, ::-1], distilled=config.distilled)", "classification"),
            ("record(trace, \"distillation_logits\", distillation_logits)", "distillation_logits", "a trace"),
            ("patch_grid(*pixel_values.shape[2:], patch_shape", "patch_grid(*weights.config.image_shape, patch_shape", "another size, masked"),
        ),
        *planted(
            "torch_backend/model.py", "test_model test_api",
            ("class_names=weights.class_names,\n        problem_type=config.problem_type", "problem_type=config.problem_type", "class names"),
            ("if output_hidden_states else []\n", "if output_attentions else []\n", "hidden_states alone"),
        ),
    ],
    "photos": [
        *planted(
            "numpy_backend/resize.py", "test_resize",
            ("first = np.minimum(low, in_size - taps)", "first = low", "the last window"),
            ("np.maximum(1 - np.abs(x), 0.0)", "np.maximum(1 - x * x, 0.0)", "bilinear"),
            ("return np.where(x == 0, 1.0,", "return np.where(x == 0, 0.9,", "hamming"),
            ("far = (((x - 5) * x + 8) * x - 4) * a", "far = (((x - 5) * x + 8) * x - 4) * -a", "bicubic"),
            (">= 2**15), 22)", ">= 2**16), 22)", "torchvision"),
        ),
        *planted(
            "torch_backend/resize.py", "test_resize",
            ("distances = (pixels - centers[:, None] + 0.5) * (1 / stretch)", "distances = (pixels - centers[:, None]) * (1 / stretch)", "any"),
            ("centers = (torch.arange(out_size, dtype=torch.float64) + 0.5) * scale", "centers = (torch.arange(out_size, dtype=torch.float32) + 0.5).double() * scale - 1e-9", "a tie"),
            ("return image[rows[:, None], columns]", "return image[columns[:, None], rows]", "nearest, not square"),
        ),
        *planted(
            "numpy_backend/pixels.py", "test_resize",
            ("color = ((product >> 8) + product) >> 8", "color = product >> 8", "alpha"),
            ("for axis in (1, 2) if downward else (2, 1):", "for axis in (2, 1):", "deep pixels of a portrait"),
            ("sums += weights[:, tap] * planes[..., first + tap]", "sums += weights[:, tap].astype(np.float32) * planes[..., first + tap]", "deep pixels, last bits"),
        ),
        *planted(
            "numpy_backend/image.py", "test_image",
            ("image[max(top, 0) : top + height, max(left, 0) : left + width]", "image[max(top, 0) : top + width, max(left, 0) : left + height]", "a crop that is not square"),
            ("if processing.do_center_crop:", "if processing.do_center_crop and processing.do_resize:", "a crop without resize"),
            ("means = _channel_values(\"mean\", mean, image.shape[-1])\n    stds", "means = _channel_values(\"mean\", mean, image.shape[-1])[..., ::-1] if np.ndim(mean) else _channel_values(\"mean\", mean, image.shape[-1])\n    stds", "a mean for each channel"),
            ("size = (processing.crop_size[\"height\"], processing.crop_size[\"width\"])", "size = (processing.crop_size[\"width\"], processing.crop_size[\"height\"])", "a crop that is not square"),
        ),
        *planted(
            "image_processing.py", "test_config test_image",
            ("short, long = sorted((height, width))", "short, long = height, width", "a portrait"),
            ("other = long if short == edge and \"longest_edge\" in self.size else int(", "other = int(", "an edge that is right already"),
            ("exact = longest * short / long", "exact = longest", "shortest and longest edge"),
            ("crop_rounding=\"round\",", "crop_rounding=\"floor\",", "the original preset, an odd margin"),
            ("size = {\"shortest_edge\": checks.integer(name, value)}", "size = {\"height\": value, \"width\": value}", "a number, default_to_square off"),
            ("if min(new_height, new_width) < 1:", "if min(new_height, new_width) < 0:", "an edge without a pixel"),
        ),
        *planted(
            "photos.py", "test_photos test_api",
            ("if image.mode == \"La\":", "if False:", "premultiplied gray"),
            ("if many else str(error)", "", "one image"),
            ("return input_data_format == \"channels_first\"", "return input_data_format != \"channels_first\"", "input_data_format"),
            ("channels = 3 if do_convert_rgb else len(image.getbands())", "channels = 3", "gray, not converted"),
        ),
        *planted(
            "photo_files.py", "test_photos test_heic",
            ("if os.path.isdir(path):", "if False:", "a folder"),
            ("formats = [format for format in FORMATS if format in Image.OPEN]", "formats = [format for format in FORMATS[1:] if format in Image.OPEN]", "a JPEG"),
            ("if not os.path.isfile(path):", "if False:", "a pipe"),
        ),
    ],
    "inputs": [
        *planted(
            "config.py", "test_config",
            ("return self.grid[0] * self.grid[1]", "return self.grid[0] ** 2", "images that are not square"),
            ("for name in (\"num_hidden_layers\", \"num_labels\"):", "for name in (\"num_hidden_layers\",):", "num_labels of -1"),
            ("if self.hidden_size % self.num_attention_heads:", "if self.hidden_size < self.num_attention_heads:", "heads that do not divide"),
            ("low=0, high=1))", "low=0, high=2))", "dropout of 1"),
        ),
        *planted(
            "weights.py", "test_weights",
            ("\"patch_embed.proj.weight\": (dim, config.num_channels, *config.patch_shape)", "\"patch_embed.proj.weight\": (dim, config.num_channels, *config.patch_shape[::-1])", "patches that are not square"),
            ("linear(\"pooler\", config.pooler_output_size, dim)", "linear(\"pooler\", dim, dim)", "a pooler of another size"),
            ("if mask_token or task == \"masked-image-modeling\":", "if task == \"masked-image-modeling\":", "a mask token for features"),
            ("if device is not None:\n            raise", "if False:\n            raise", "a device for NumPy"),
        ),
        *planted(
            "inputs.py", "test_api",
            ("elif bad := [name for name, array in named_arrays(weights) if not all_finite(array)]:", "elif bad := []:", "weights with NaN"),
        ),
        *planted(
            "api.py", "test_api",
            ("do_convert_rgb=image_processing.do_convert_rgb,", "do_convert_rgb=True,", "gray photos, not converted"),
        ),
        *planted(
            "outputs.py", "test_outputs",
            ("or tuple(f\"LABEL_{i}\"", "or tuple(f\"LABEL_{i + 1}\"", "no class names"),
            ("if problem_type == \"regression\" or (problem_type is None and logits.shape[-1] == 1):", "if problem_type == \"regression\":", "one label, no problem_type"),
        ),
        *planted(
            "trace.py", "test_trace",
            ("fnmatchcase(self._prefix + name, pattern)", "fnmatchcase(name, pattern)", "a pattern of inner steps"),
            ("if fnmatchcase(name, pattern))", "if name.startswith(pattern[:3]))", "matching"),
        ),
    ],
    "batches": [
        *planted(
            "training/batches.py", "test_batches",
            ("order[place * size : (place + 1) * size]", "order[place * size : place * size + size - 1]", "any"),
            ("order = np.random.default_rng([seed, epoch]).permutation(count)", "order = np.arange(count)", "any"),
            ("std.reshape(-1, 1, 1)\n", "mean.reshape(-1, 1, 1)\n", "any"),
            ("epoch, place = divmod(step, self.steps_per_epoch)", "epoch, place = 0, step % self.steps_per_epoch", "the second epoch"),
            ("self.images, self.recipe, self.seed, self.device = of_channels(images, channels),", "self.images, self.recipe, self.seed, self.device = images,", "a photo of other channels"),
        ),
        *planted(
            "training/augmentation.py", "test_augmentation",
            ("rows, columns = (side - 1 - (side - 1 - p.abs()).abs()", "rows, columns = (p.clamp(0, side - 1)", "reflection"),
            ("shifted = shifted.masked_fill((outside[0][:, :, None] | outside[1][:, None, :])", "shifted = shifted.masked_fill((outside[0][:, :, None] & outside[1][:, None, :])", "zeros"),
            ("torch.rand(len(images), generator=generator) < probability", "torch.rand(1, generator=generator).expand(len(images)) < probability", "a batch"),
            ("int(generator.integers(width - w + 1)), h, w", "int(generator.integers(height - h + 1)), h, w", "parts of photos that are not square"),
            ("(heights < height) & (widths < width)\n", "(heights < height)\n", "a wide rectangle"),
        ),
        *planted(
            "training/mixing.py", "test_augmentation",
            ("mixed = share * images + (1 - share) * images.flip(0)", "mixed = (1 - share) * images + share * images.flip(0)", "mixup"),
            ("return max(center - half, 0), min(center + half, side)", "return max(center - half, 0), min(center + half, side - 1)", "a rectangle at the lower border"),
            ("if (mixup == 0 and cutmix == 0) or", "if mixup == 0 or", "cutmix alone"),
        ),
        *planted(
            "training/randaugment.py", "test_augmentation",
            ('"brightness": lambda images, level, sign: images * _factor(level, sign)', '"brightness": lambda images, level, sign: images + 100 * (_factor(level, sign) - 1)', "brightness"),
            ("[[1, factor, factor * images.shape[2] / 2], [0, 1, 0]]", "[[1, factor, 0], [0, 1, 0]]", "shear_x"),
            ("angle.cos(), -angle.sin(), 0], [angle.sin()", "angle.cos(), angle.sin(), 0], [-angle.sin()", "rotate"),
            (".clamp(0, 10) / 10", ".clamp(0, 9) / 10", "magnitude 10"),
        ),
    ],
    "learning": [
        *planted(
            "training/loop.py", "test_loop::test_numbers_of_an_epoch test_loop::test_what_a_run_returns_is_what_it_has_learned test_loop::test_a_step_moves_what_each_optimizer_has "
            "test_loop::test_the_average_is_what_is_assessed_and_returned test_loop",
            ("return state.learned\n", "return state.average\n", "no average"),
            ("    state.step += 1\n", "    state.step += 1 + (state.step == 1)\n", "the second step"),
            ("    for optimizer in state.optimizers:\n        optimizer.step()", "    for optimizer in state.optimizers[:1]:\n        optimizer.step()", "Muon and AdamW"),
            ("if not math.isfinite(loss):", "if math.isnan(loss):", "an infinite loss"),
            ("lines = kept_metrics(folder, state.step)", "lines = kept_metrics(folder, 10**9)", "a run killed after a line"),
            ("if stopping:\n                raise KeyboardInterrupt", "if False:\n                raise KeyboardInterrupt", "Ctrl-C"),
        ),
        *planted(
            "training/optimization.py", "test_optimization",
            ("recipe.weight_decay if decays(name, shape) else 0.0, share", "recipe.weight_decay if not decays(name, shape) else 0.0, share", "any decay"),
            ("if parameter.requires_grad]", "]", "a frozen parameter"),
            ("decay = min(decay, (1 + step) / (10 + step))", "decay = max(decay, (1 + step) / (10 + step))", "an average that warms up"),
            ("\"mask_token\", \"pos_embed\")\n\n\ndef for_muon", "\"pos_embed\")\n\n\ndef for_muon", "a mask token"),
            ("math.cos(math.pi * min(", "math.cos(0.5 * math.pi * min(", "any"),
        ),
        *planted(
            "training/objectives.py", "test_objectives",
            ("(logits.argmax(dim=1) == targets.argmax(dim=1)).sum()", "(logits.argmax(dim=1) == targets.argmin(dim=1)).sum()", "any"),
            ("cross_entropy(cls_logits, targets) + cross_entropy(distillation_logits, targets)", "cross_entropy(cls_logits, targets) + cross_entropy(cls_logits, targets)", "two heads without a teacher"),
            ("bool_masked_pos=hidden", "bool_masked_pos=~hidden", "SimMIM"),
            ("if teacher_logits.shape != cls_logits.shape:", "if teacher_logits.shape[0] != cls_logits.shape[0]:", "a teacher of other classes"),
        ),
        *planted(
            "training/state.py", "test_loop::test_what_differs_is_named_when_a_run_is_resumed test_loop::test_seconds_are_those_of_steps_alone_and_the_rate_is_that_of_the_last test_loop::test_a_step_by_hand_clips_the_gradient_as_a_whole test_loop",
            ("if names := [name for name in mine if mine[name] != theirs.get(name)]:", "if names := []:", "resumed with another recipe"),
            ("value.detach().clone() for name, value", "value.detach() for name, value", "an average"),
            ("self.seconds + seconds, self.epoch_seconds + seconds", "self.seconds + seconds, seconds", "an epoch of several steps"),
            ("self.module.load_state_dict(saved[\"module\"])", "pass", "a resumed run"),
        ),
        *planted(
            "training/student.py", "test_student",
            ("task == \"classification-with-teacher\"\n    config", "False\n    config", "a plain checkpoint with both tokens"),
            ("known != composed_names(class_names) and", "False and", "other classes"),
            ("image_std=old.image_std,", "image_std=recipe.image_processing.image_std,", "another std"),
            ("weights.config.grid != config.grid", "weights.config.num_patches == 0", "another resolution"),
            ("masked = recipe.task == \"masked-image-modeling\"", "masked = False", "masked pre-training"),
        ),
        *planted(
            "training/evaluate.py", "test_evaluate",
            ("output.distillation_logits.argmax(dim=1) == labels", "output.cls_logits.argmax(dim=1) == labels", "heads that differ"),
            ("reduction=\"none\"))", "reduction=\"none\").exp())", "losses"),
            ("totals[i] += error", "totals[1] += error", "baselines"),
            ("framed[:, :, 2:, 1:-1] + framed[:, :, :-2, 1:-1]", "framed[:, :, 2:, 1:-1] + framed[:, :, 2:, 1:-1]", "neighbors above and below"),
        ),
        *planted(
            "training/answers.py", "test_answers",
            ("per_class.max()) / photos", "per_class.min()) / photos", "the most frequent class"),
            ("\"photo\": photo_names[i]", "\"photo\": photo_names[0]", "mistakes"),
            ("kind=\"stable\")][:most]", "kind=\"stable\")]", "more mistakes than asked for"),
        ),
        *planted(
            "training/recipe.py", "test_cli_own_photos::test_a_recipe_for_own_photos_takes_the_size_of_the_weights test_recipe",
            ("if k not in given})", "})", "a padding that was given"),
            ("with_changes(epochs=10, learning_rate=5e-4, warmup_epochs=1)", "with_changes(epochs=10, warmup_epochs=1)", "cifar10-finetune"),
            ("num_attention_heads=dim // 32", "num_attention_heads=dim // 64", "the small models"),
            ("if self.distillation != \"none\" and self.task != \"classification\":", "if False:", "a teacher that is taught"),
        ),
        *planted(
            "training/fitted.py", "test_fitted",
            ("if name not in given and value != getattr(recipe, name):", "if value != getattr(recipe, name):", "a value that was given"),
            ("round(recipe.warmup_epochs * epochs / recipe.epochs, 3)", "recipe.warmup_epochs", "more epochs"),
            ("max(photos // (_STEPS_PER_EPOCH * processes), 1)", "max(photos // _STEPS_PER_EPOCH, 1)", "two processes"),
        ),
        *planted(
            "training/teacher.py", "test_teacher",
            ("image_size=image_size, widths=tuple(widths), apply_exif=apply_exif)\n    expected", "image_size=image_size, widths=tuple(widths))\n    expected", "a teacher that turns photos"),
            ("layer.bias.zero_()", "layer.bias.fill_(1)", "new teachers"),
            ("self.whiten.requires_grad_(False)", "self.whiten.requires_grad_(True)", "any"),
        ),
    ],
    "data": [
        *planted(
            "data/images.py", "test_data",
            ("names=[images.names[place] for place in places]", "names=images.names", "a subset"),
            ("labels=images.labels[places]", "labels=np.sort(images.labels[places])", "a subset in another order"),
            ("image = images.read(i) if i else first", "image = first", "any"),
            ("digest=hashlib.sha256(images.digest.encode() + places.astype(\"<i8\").tobytes()).hexdigest()", "digest=images.digest", "a subset's digest"),
        ),
        *planted(
            "data/held_out.py", "test_held_out",
            ("order[:count]", "order[-count:]", "which are held out: a run's own part"),
            ("np.setdiff1d(np.arange(len(labels)), test), test", "test, np.setdiff1d(np.arange(len(labels)), test)", "any"),
            ("for place in groups[group]]", "for place in groups[group][:1]]", "copies of a photo"),
        ),
        *planted(
            "data/classes.py", "test_classes",
            ("if ours == theirs:", "if {*ours} == {*theirs}:", "another order"),
            ("class_names=names or folders), said", "class_names=folders), said", "classes taken in order"),
            ("{*folders} <= {*names}", "{*folders} == {*names}", "some of the classes"),
        ),
        *planted(
            "data/examine.py", "test_survey test_held_out",
            ("except (ValueError, OSError) as error:\n        return Examined(problem=str(error))", "except OSError as error:\n        return Examined(problem=str(error))", "a broken photo"),
            ("images.class_names[images.labels[i]], images.names[i]", "images.class_names[0], images.names[i]", "a photo in two classes"),
            ("images.read(i).shape[:2]", "images.read(i).shape[1::-1]", "photos that are not square"),
        ),
        *planted(
            "data/layout.py", "test_data",
            ("if beside := [parts[depth] for parts in below if len(parts) == depth + 1]:", "if beside := []:", "a photo beside the class folders"),
            ("\"training\")", "\"Training\")", "a split called training"),
            ("return name.lower() in _WORDS", "return name in _WORDS", "capitals"),
        ),
        *planted(
            "data/survey.py", "test_survey test_cli_check",
            ("len(found.broken)} of {split} cannot be read, {found.photos - len(found.broken)} are left", "len(found.broken)} of {split} cannot be read, {found.photos} are left", "a broken photo"),
            ("turned=sum(one.turned for one in found)", "turned=len(found)", "upright photos"),
            ("np.setdiff1d(np.arange(len(images)), [broken.place for broken in found.broken])", "np.arange(len(images) - len(found.broken))", "a broken photo that is not the last"),
        ),
        *planted(
            "data/cifar.py", "test_cifar",
            ("labels.extend(numbers)", "labels.extend(sorted(numbers))", "any"),
            ("fortran not in (False, 0)", "fortran is None", "an array in Fortran's order"),
        ),
    ],
    "course": [
        *planted(
            "course/grading/check.py", "test_course",
            ("if \"NotImplementedError\" in problem:", "if False:", "an unsolved task"),
        ),
        *planted(
            "course/grading/compare.py", "test_course",
            ("int(wrong.sum())} of {wrong.size}", "int((~wrong).sum())} of {wrong.size}", "a wrong number"),
            ("np.argwhere(wrong)[0]", "np.argwhere(wrong)[-1]", "two wrong numbers"),
        ),
        *planted(
            "course/grading/grade.py", GRADE,
            ("_remembered(details, key)\n", "_remembered(details, key + \"0\")\n", "a second run"),
        ),
        *planted(
            "course/grading/marks.py", GRADE,
            ("isolated=plan.isolated, others=others)", "isolated=False, others=others)", "a hostile submission"),
        ),
        *planted(
            "course/grading/marks.py", "test_course_marks",
            ("problem=scrubbed(answer.problem, made.text)", "problem=answer.problem", "who tells what it saw of other tasks"),
            ("replaced |= wrong - {task.name for task in waiting}", "replaced |= wrong", "two mistakes in a chain"),
        ),
        *planted(
            "course/grading/table.py", GRADE,
            ("f\"{result['out_of']:g}\"", "f\"{result['total']:g}\"", "the table"),
        ),
        *planted(
            "course/grading/students.py", SUBMISSION,
            ("naming.is_junk(path.name)):", "naming.is_junk(path.name))[1:]:", "the first student"),
        ),
        *planted(
            "course/grading/naming.py", SUBMISSION,
            ("if one is not first)", "if True)", "a file beside another"),
        ),
        *planted(
            "course/grading/statements.py", SUBMISSION,
            (" if cell[\"cell_type\"] == \"code\"]", "]", "a notebook with text"),
            ("encoding = \"utf-16\"", "encoding = \"utf-8\"", "UTF-16"),
        ),
        *planted(
            "course/cut.py", "test_course",
            ("sorted(wanted & {", "sorted({", "imports of what is given"),
        ),
        *planted(
            "course/task.py", "test_course",
            ("for i, task in enumerate(assignment.tasks, 1)", "for i, task in enumerate(assignment.tasks)", "any"),
        ),
    ],
    "checkpoints": [
        *planted(
            "checkpoints/names.py", "test_checkpoints test_original",
            ("return np.concatenate(parts) if len(parts) > 1 else parts[0]", "return np.concatenate(parts[::-1]) if len(parts) > 1 else parts[0]", "transformers' query, key and value"),
            ("return parts[0][:, :, 0, 0]", "return parts[0][:, :, 0, 0][::-1]", "a decoder"),
            ("if task == \"features\" or is_head:", "if is_head:", "features"),
            ("(\"deit.\" if distilled else \"vit.\")", "\"deit.\"", "a plain model"),
            ("teacher = any(name.startswith(\"head_dist.\") for name in listed)", "teacher = False", "a distilled file of the original"),
            ("(\"mlp.fc2\", \"output.dense\", \"mlp.fc2\")", "(\"mlp.fc2\", \"output.dense\", \"mlp.fc1\")", "names of transformers 5"),
            ("(\"norm2\", \"layernorm_after\", \"layernorm_after\")", "(\"norm2\", \"layernorm_before\", \"layernorm_after\")", "any of transformers"),
        ),
        *planted(
            "checkpoints/huggingface.py", "test_checkpoints",
            ("metadata={\"format\": \"pt\"}", "metadata={}", "transformers reads it"),
            ("return as_numpy(array).astype(np.float16) if str(array.dtype) == \"torch.float16\" else as_numpy(array)", "return as_numpy(array)", "float16"),
            ("{str(i): name for i, name in enumerate(class_names)}", "{str(i): name for i, name in enumerate(sorted(class_names))}", "class names"),
            ("if len(set(weights.config.stride_shape)) == 1:", "if False:", "transformers reads a stride"),
        ),
        *planted(
            "checkpoints/load.py", "test_checkpoints test_original",
            ("task = found[0] if found else task_without_tensors", "task = found[0] if found else \"features\"", "a classifier without labels"),
        ),
    ],
    "commands": [
        *planted(
            "commands/training.py", "test_cli_own_photos::test_short_epochs_are_told_together test_cli_training",
            ("min(25 * recipe.batch_size // photos, recipe.epochs // 10)", "1", "a run of many short epochs"),
            ("if args.resume:\n        checkpoint_of(out)\n", "if args.resume:\n        pass\n", "a run to resume that is not there"),
            ("given=given, processes", "processes", "a value that was given"),
            ("if \"accuracy\" in line:", "if False:", "a line of an epoch"),
        ),
        *planted(
            "commands/labeled.py", "test_cli_training test_cli_own_photos",
            ("return {\"train\": train, \"test\": test}, held", "return {\"train\": train, \"test\": test}, 0.0", "photos held out"),
            ("divided(splits[\"train\"], share=held, seed=args.seed)", "divided(splits[\"train\"], share=held, seed=0)", "another seed"),
        ),
        *planted(
            "commands/learned.py", "test_cli_own_photos::test_photos_were_learned_from_only_if_their_digest_says_so test_cli_own_photos",
            ("(len(images), images.digest) == (self.photos, self.digest)", "len(images) == self.photos", "other photos, as many"),
            ("share=self.held_out, seed=self.seed)[0]", "share=self.held_out, seed=self.seed)[1]", "photos held out"),
        ),
        *planted(
            "commands/evaluate.py", "test_cli_own_photos test_cli_training",
            ("images = divided(images, share=share, seed=seed)[1]", "images = divided(images, share=share, seed=seed)[0]", "a share of train"),
            ("share, seed = run.held_out, run.seed", "share, seed = run.held_out, args.seed", "what a run held out by another seed"),
        ),
        *planted(
            "commands/pipeline.py", "test_pipeline test_threads",
            ("photo.problem is None]", "True]", "a broken file among others"),
            ("while running:", "if running:", "several batches at once"),
            ("0 if count < MANY else min(", "0 if count <= MANY else min(", "exactly so many files"),
            ("turned = not processing.apply_exif and exif_orientation(name) != 1", "turned = exif_orientation(name) != 1", "a photo that is turned upright"),
        ),
    ],
}
