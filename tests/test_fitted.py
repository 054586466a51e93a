"""Recipes fitted to few photos: what is changed, what is said, and what stays as the user gave it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deit_ref.training.fitted import LEAST_STEPS, fitted
from deit_ref.training.optimization import learning_rate
from deit_ref.training.recipe import RECIPES, Recipe

DISTILLED = RECIPES["cifar10-distilled"].with_changes(epochs=40)  # warm-up 3, batch 128


def test_ninety_photos_by_hand():
    recipe, said = fitted(DISTILLED, 90)
    assert recipe == DISTILLED.with_changes(batch_size=16, epochs=60, warmup_epochs=4.5)
    assert said == (
        "batch_size 16 instead of 128 (there are 90 photos)",
        "epochs 60 instead of 40 (at 5 steps each they make 300 steps)",
        "warmup_epochs 4.5 instead of 3 (it grows with the epochs)",
    )


def test_ninety_photos_in_several_processes_by_hand():
    """A quarter of the photos at most, whole powers of two in each process."""
    for processes, batch_size in ((1, 16), (2, 16), (3, 12), (5, 20), (30, 30)):
        assert fitted(DISTILLED, 90, processes=processes)[0].batch_size == batch_size


def test_what_fits_stays():
    for name, photos in (("cifar10-distilled", 50_000), ("cifar10-finetune", 5_000), ("deit-300", 1_281_167)):
        assert fitted(RECIPES[name], photos) == (RECIPES[name], ())


def test_a_short_run_reaches_its_learning_rate():
    recipe, said = fitted(DISTILLED.with_changes(epochs=2), 50_000, given={"epochs"})
    assert recipe == DISTILLED.with_changes(epochs=2, warmup_epochs=0.2)
    assert said == ("warmup_epochs 0.2 instead of 3 (a tenth of the epochs)",)
    for epochs, warmup in ((11, 1.1), (12, 3)):  # a quarter of the epochs may be spent on it
        assert fitted(DISTILLED.with_changes(epochs=epochs), 50_000, given={"epochs"})[0].warmup_epochs == warmup
    highest = max(learning_rate(recipe, step / 390) for step in range(2 * 390))
    assert highest > 0.97 * recipe.learning_rate


def test_an_average_of_few_steps_forgets_the_weights_it_began_with():
    recipe, said = fitted(Recipe(batch_size=16, ema_decay=0.99996), 90, given={"epochs"})
    assert recipe.ema_warmup
    assert said == ("ema_warmup True instead of False (the average would remember 25000 steps of 1500)",)
    assert not fitted(Recipe(ema_decay=None), 90)[0].ema_warmup


def test_an_average_may_remember_a_fifth_of_the_steps_and_a_batch_be_all_photos():
    steps = DISTILLED.epochs * (50_000 // DISTILLED.batch_size)
    for memory, warmed in ((steps / 5 - 1, False), (steps / 5 + 1, True)):
        slow = DISTILLED.with_changes(ema_decay=1 - 1 / memory, ema_warmup=False)
        assert fitted(slow, 50_000)[0].ema_warmup == warmed
    assert fitted(DISTILLED.with_changes(batch_size=90), 90, given={"batch_size"})[0].batch_size == 90


def test_what_was_given_is_not_changed():
    own = DISTILLED.with_changes(batch_size=90, epochs=1, warmup_epochs=0.5)
    assert fitted(own, 90, given={"batch_size", "epochs", "warmup_epochs"}) == (own, ())
    with pytest.raises(ValueError, match="batch_size 91 is more than the 90 photos: choose a smaller one"):
        fitted(DISTILLED.with_changes(batch_size=91), 90, given={"batch_size"})
    with pytest.raises(ValueError, match="never be reached: warmup_epochs 3 of 2 epochs"):
        fitted(DISTILLED.with_changes(epochs=2), 50_000, given={"epochs", "warmup_epochs"})


@given(
    st.sampled_from(sorted(RECIPES)).map(RECIPES.get),
    st.integers(2, 5000),
    st.sampled_from([1, 2, 3]),
    st.sets(st.sampled_from(["batch_size", "epochs", "warmup_epochs"])),
    st.integers(1, 400),
)
def test_a_fitted_recipe_works(recipe, photos, processes, names, epochs):
    recipe = recipe.with_changes(epochs=epochs) if "epochs" in names else recipe
    try:
        found, said = fitted(recipe, photos, given=names, processes=processes)
    except ValueError:
        assert recipe.batch_size > photos or recipe.warmup_epochs >= recipe.epochs
        return
    for name in names:
        assert getattr(found, name) == getattr(recipe, name)
    assert bool(said) == (found != recipe)
    assert found.batch_size <= max(photos, processes)
    assert "batch_size" in names or found.batch_size % processes == 0 or found.batch_size == recipe.batch_size
    assert "epochs" in names or found.epochs * (photos // found.batch_size or 1) >= LEAST_STEPS
    assert found.warmup_epochs < found.epochs
    assert fitted(found, photos, given=names, processes=processes) == (found, ())  # once is enough
