"""Recipes in words: as a list, as changes, as a table."""

import dataclasses
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any

from deit_ref import checks
from deit_ref.training.recipe import FIELDS, RECIPES, Recipe

_TYPES = {field.name: field.type for field in dataclasses.fields(Recipe)}
_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}


def listed_recipes(tasks: Sequence[str]) -> str:
    """The recipes of some tasks, a line each, for the end of a help text."""
    lines = (
        f"  {name:<20}{recipe.task:<22}{recipe.image_size:>6}{recipe.epochs:>8}  {recipe.distillation}"
        for name, recipe in RECIPES.items()
        if recipe.task in tasks
    )
    return "\n".join(["recipes:", f"  {'name':<20}{'task':<22}{'pixels':>6}{'epochs':>8}  distillation", *lines])


def changed_recipe(name: str, changes: Iterable[tuple[str, str]]) -> Recipe:
    """A named recipe with fields changed by words, such as ("epochs", "3") or ("clip_norm", "none").

    Raises:
        ValueError: there is no such recipe or field, a field is given twice, or a word is none of its type.
    """
    recipe = RECIPES[checks.choice("--recipe", name, RECIPES)]
    values: dict[str, Any] = {}
    for field, word in changes:
        if field in values:
            raise ValueError(f"{field} is given twice, {values[field]!r} and {word!r}: give it once.")
        values[field] = _converted(field, word) if field in FIELDS else word
    return recipe.with_changes(**values)


def _converted(field: str, word: str) -> Any:
    kinds = typing.get_args(_TYPES[field]) or (_TYPES[field],)
    if types.NoneType in kinds and word.lower() == "none":
        return None
    kind = kinds[0]
    try:
        return {"true": True, "false": False}[word.lower()] if kind is bool else kind(word)
    except (ValueError, KeyError):
        also = " or none" if types.NoneType in kinds else ""
        raise ValueError(f"{field} must be {_WORDS[kind]}{also}, got {word!r}.") from None


def recipe_table(recipe: Recipe) -> str:
    """Every field and its value; what differs from DeiT's own recipe stands beside that."""
    own = Recipe()
    rows = []
    for name in FIELDS:
        value, usual = getattr(recipe, name), getattr(own, name)
        note = "" if value == usual else f"  (deit-300: {usual})"
        rows.append(f"{name:<22}{value!s:<10}{note}".rstrip())
    return "\n".join(rows)
