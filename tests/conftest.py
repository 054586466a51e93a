"""Shapes in signatures are checked in every test, and Hypothesis draws the same cases on every machine."""

import os

from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# Chapters are checked against their axis strings; the hook must stand before their first import.
install_import_hook(["deit_ref.numpy_backend", "deit_ref.torch_backend"], "beartype.beartype")

_common = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile("ci", max_examples=15, derandomize=True, **_common)
settings.register_profile("thorough", max_examples=2000, **_common)
settings.load_profile(os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE", "ci"))
