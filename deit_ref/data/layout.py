"""Which names are splits and which are classes: a tree of names is enough to tell, no photo is opened.

A split is a folder of one of the `SPLITS`' names that holds folders; the class folders lie in it, or, where there is
no split, at the top or below folders that stand alone. Photos lie in a class folder, also in folders below it.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from deit_ref import checks, photo_files, photo_names
from deit_ref.data.sources import Parts, Source, Tree, is_packed

# What people call the two; of several the first is taken, and of that the one in small letters.
SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "val", "valid", "validation", "eval", "dev"),
}
_WORDS = {word: split for split, words in SPLITS.items() for word in words}


class MissingSplit(ValueError):
    """There are photos, but none of this split."""


class Arrangement(NamedTuple):
    """What a tree is as a split.

    Attributes:
        root: the folder that holds the class folders.
        files: the photos in class folders, sorted.
        class_names: the class folders, sorted.
        problems: what is wrong, a sentence each.
        unused: other folders of the same split, such as "val" beside "test".
    """

    root: Parts
    files: list[Parts]
    class_names: tuple[str, ...]
    problems: tuple[str, ...]
    unused: tuple[str, ...]


def arrange(source: Source, split: str) -> Arrangement:
    """Find the class folders of a split.

    Raises:
        MissingSplit: there are none of this split.
        ValueError: there is no photo at all.
    """
    tree = source.tree
    root, unused = _class_root(source, split)
    depth, place = len(root), "/".join([source.shown, *root])
    below = sorted(parts for parts in tree.files if parts[:depth] == root)
    closed = [(parts, error) for parts, error in tree.closed.items() if parts[:depth] == root]
    if not below and closed:
        raise photo_files.unreadable("/".join([source.shown, *closed[0][0]]), closed[0][1])
    if not below:
        others = [(parts[-1], reason) for parts, reason in tree.left_out if parts[:depth] == root]
        found = f"; in it are {photo_names.counted(reason for _, reason in others)}" if others else ""
        packed = next((f": unpack {name}, or give it instead" for name, _ in others if is_packed(name)), "")
        suffixes = ", ".join(sorted(photo_names.SUFFIXES))
        raise ValueError(
            f"There are no images in {place}: expected a folder per class with {suffixes} files{found}{packed}."
        )
    class_names = tuple(sorted(parts[-1] for parts in _children(tree, root)))
    files = [parts for parts in below if len(parts) > depth + 1]
    problems = [*_closed(closed, source.shown), *_problems(tree, root, place, below, class_names)]
    return Arrangement(root, files, class_names, tuple(problems), unused)


def _closed(closed: list[tuple[Parts, OSError]], shown: str) -> Iterable[str]:
    if closed:
        first = str(photo_files.unreadable("/".join([shown, *closed[0][0]]), closed[0][1]))
        yield first if len(closed) == 1 else f"{len(closed)} folders cannot be opened, such as this: {first}"


def _problems(tree: Tree, root: Parts, place: str, below: list[Parts], class_names: tuple[str, ...]) -> Iterable[str]:
    depth = len(root)
    if not class_names:
        yield (
            f"There are no class folders in {place}, only {checks.amount(len(below), 'photo')}, such as "
            f"{below[0][-1]}: make a folder per class, named like it, and move them in."
        )
        return
    if beside := [parts[depth] for parts in below if len(parts) == depth + 1]:
        which = f"{beside[0]} lies" if len(beside) == 1 else f"{len(beside)} photos, such as {beside[0]}, lie"
        yield f"In {place} {which} beside the class folders: move what belongs to a class into its folder, else away."
    folders: dict[str, set[str]] = {name: set() for name in class_names}
    direct = set()
    for parts in below:
        if len(parts) == depth + 2:
            direct.add(parts[depth])
        elif len(parts) > depth + 2:
            folders[parts[depth]].add(parts[depth + 1])
    for name in class_names:
        if name in direct or (*root, name) in tree.closed:
            continue
        if not folders[name]:
            others = [reason for parts, reason in tree.left_out if parts[: depth + 1] == (*root, name)]
            found = f", only {photo_names.counted(others)}" if others else ""
            yield f"The class folder {place}/{name} holds no images{found}: fill it or remove it."
        else:
            yield (
                f"The class folder {place}/{name} holds no photos itself, only folders "
                f"({checks.some(sorted(folders[name]))}): if those are the classes give {place}/{name} as the data, if "
                "it is a split call it train or test, if it is one class move its photos up."
            )
    if all(map(is_split, class_names)):
        yield (
            f"The class folders in {place} are called like splits ({checks.some(class_names)}) and hold no folders: "
            "make a folder per class in each, and move their photos in."
        )


def named_like(split: str, names: Iterable[str], *, stem: Callable[[str], str] = str) -> list[str]:
    """Those of the names of which the stem says this split, in the order in which they are taken."""
    words = SPLITS[split]
    stems = {name: stem(name) for name in names}
    chosen = [name for name, said in stems.items() if said.lower() in words]
    return sorted(chosen, key=lambda name: (words.index(stems[name].lower()), stems[name] not in words, name))


def is_split(name: str) -> bool:
    """Whether a folder of this name may be a split."""
    return name.lower() in _WORDS


def _class_root(source: Source, split: str) -> tuple[Parts, tuple[str, ...]]:
    """The folder whose folders are the classes of this split, and the other folders of the same split."""
    tree = source.tree
    # A class may be called "train" too: the part of a split holds folders, a class only files.
    holders = {*(parts[:-1] for parts in tree.folders), *tree.closed}
    root: Parts = ()
    while True:
        children = _children(tree, root)
        parts = {child[-1] for child in children if child[-1].lower() in _WORDS and child in holders}
        if chosen := named_like(split, parts):
            return (*root, chosen[0]), tuple(chosen[1:])
        alone = len(children) == 1 and children[0] in holders
        if parts or not alone or any(file[:-1] == root for file in tree.files):
            break
        root = children[0]
    if parts or _WORDS.get(source.name.lower(), "train") != split:
        found = f", found {', '.join(sorted(parts))}" if parts else ""
        if not parts and source.name.lower() in _WORDS:
            found = f", and {source.name} itself is called otherwise"
        raise MissingSplit(
            f"{source.shown} has no split {split!r}: looked for {' or '.join(SPLITS[split])} with a folder per class "
            f"in it{found}. Name the folder that holds it."
        )
    return root, ()


def _children(tree: Tree, root: Parts) -> list[Parts]:
    return [parts for parts in tree.folders if len(parts) == len(root) + 1 and parts[:-1] == root]
