"""Labeled photos: found, divided, looked at."""

# ruff: noqa: E501
# fmt: off
from .. import planted

MUTANTS = [
    *planted(
        "data/strangers.py",
        "test_measures",
        ("side = max(height, width)", "side = height + width", "a picture that is not a square"),
        ("(side - height) // 2, (side - width) // 2", "0, 0", "a picture that is not a square"),
        ("(side, side, channels), 255", "(side, side, channels), 0", "a picture that is not a square"),
    ),
    *planted(
        "data/images.py", "test_data",
        ("for i in range(start, min(start + chunk, len(images))):", "for i in range(start, min(start + chunk, len(images) - 1)):", "the last of 16"),
        ("range(0, len(images), chunk)", "range(0, len(images) - len(images) % chunk or 1, chunk)", "17 photos"),
        ("            if image.shape != first.shape:\n", "            if i < 16 and image.shape != first.shape:\n", "another size after the 16th"),
        ("places.max() >= len(images)", "places.max() > len(images)", "an index one too high"),
        ("read=lambda i: images.read(int(places[i]))", "read=images.read", "a subset"),
        ("lambda i: whole_file(int(places[i]))", "whole_file", "the files of a subset"),
        ("do_convert_rgb=processing.do_convert_rgb, apply_exif=processing.apply_exif", "do_convert_rgb=processing.do_convert_rgb", "photos that lie turned"),
        ("found.update(f\"{name}\\0{size}\\n\"", "found.update(f\"{name}\\n\"", "photos of other sizes"),
    ),
    *planted(
        "data/held_out.py", "test_held_out",
        ("round(share * len(groups))", "int(share * len(groups))", "a share that is not a whole number"),
        ("max(round(share * len(groups)), 1)", "round(share * len(groups))", "few photos of a class"),
        (", len(groups) - 1)", ", len(groups))", "a large share of few photos"),
        ("default_rng([seed, int(label)])", "default_rng([seed])", "two classes of as many photos"),
        ("place if contents is None else contents[place]", "place", "copies of a photo"),
        ("default_rng([seed, int(label)])", "default_rng([int(label)])", "another seed"),
    ),
    *planted(
        "data/classes.py", "test_classes",
        ("names.index(folder) for folder in folders", "i for i, folder in enumerate(folders)", "classes in another order"),
        ("places[images.labels]", "images.labels", "some of the classes"),
        ("if len(folders) < count else \"\"", "", "all of the classes"),
        ("casefold()", "lower()", "ß and SS"),
        ("normalize(\"NFKC\", name)", "normalize(\"NFC\", name)", "letters of full width"),
        ("letter not in \"_-\"", "letter not in \"_\"", "hyphens"),
    ),
    *planted(
        "data/examine.py", "test_survey test_held_out",
        ("min(start + chunk, len(images))", "min(start + chunk - 1, len(images))", "32 photos"),
        ("range(0, len(images), chunk)", "range(0, max(len(images) - 1, 1), chunk)", "33 photos"),
        ("while data := file.read(2**20):", "if data := file.read(2**20):", "files above 1 MiB"),
        ("turned = exif_orientation(file) != 1", "turned = exif_orientation(file) == 6", "orientations other than 6"),
        ("len(group) - len({place[:2] for place in group})", "len(group) - 1", "a photo in train and in test"),
        ("if place[column] != group[0][column]", "if place[column] == group[0][column]", "doubles"),
    ),
    *planted(
        "data/layout.py", "test_data",
        ("words.index(stems[name].lower()), stems[name] not in words, name", "stems[name] not in words, name", "val and test"),
        ("if len(parts) > depth + 1]", "if len(parts) == depth + 2]", "photos in folders below a class"),
        ("_WORDS.get(source.name.lower(), \"train\") != split", "split != \"train\"", "a folder called test"),
    ),
    *planted(
        "data/opening.py", "test_data",
        ("labels[parts[depth]]", "labels[parts[-2]]", "photos in folders below a class"),
        ("unused=(*unused, *images.unused)", "unused=images.unused", "val beside test"),
        ("skipped[reason] = count + 1, example", "skipped[reason] = 1, example", "two files left out"),
        ("read=reader(open_one, processing)", "read=reader(open_one, ImageProcessing())", "gray photos, not converted"),
    ),
    *planted(
        "data/cifar.py", "test_cifar",
        ("transpose(0, 2, 3, 1)", "transpose(0, 3, 2, 1)", "any photo that is not symmetric"),
        ("range(1, 6)", "range(1, 5)", "the fifth batch"),
        ("0 <= number < len(class_names)", "0 <= number <= len(class_names)", "a label one too high"),
    ),
    *planted(
        "data/sources.py", "test_data test_archives",
        ('raw[0].endswith(":")', "False", "a name with a drive"),
        ("if reason is None and parts in tree.files:\n        raise", "if False:\n        raise", "a name twice in an archive"),
    ),
    *planted(
        "data/survey.py", "test_survey",
        ("height < high or width < wide", "height < high", "photos that are too narrow"),
        ("key=lambda shape: (shape[0] * shape[1], shape)", "key=lambda shape: shape", "the smallest by area"),
        ("if had != left:", "if not len(places):", "a class of which no photo can be read"),
    ),
    *planted(
        "data/zips.py", "test_data test_archives",
        ("entry.filename.replace(\"\\\\\", \"/\")", "entry.filename", "a zip of an old Windows program"),
        ("says_so = entry.flag_bits & 0x800", "says_so = True", "a zip of a Mac"),
        ("elif entry.file_size > MAX_BYTES:", "elif entry.file_size >= MAX_BYTES:", "exactly so many bytes"),
    ),
]
