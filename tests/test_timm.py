"""timm itself, where it can be imported: the published shapes, both kinds. Golden logits are in test_original.

timm needs a torchvision that fits the installed torch; where there is none these tests are skipped and say so.
"""

import numpy as np
import pytest
import torch
from both import BACKENDS
from tolerances import assert_close

import deit_ref
from deit_ref.benchmark.fidelity import draw

try:
    import timm
except Exception as error:  # torchvision fails in several ways when it does not fit torch
    pytest.skip(f"timm cannot be imported here ({type(error).__name__})", allow_module_level=True)


@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"])
def test_logits_of_timm_at_the_published_size(name, tmp_path):
    model = timm.create_model(name).eval()
    draw(model)
    with torch.no_grad():
        pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
        expected = model(pixels)
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    weights = deit_ref.load_weights(tmp_path / "model.pth")
    assert weights.config.layer_norm_eps == 1e-6
    for backend in BACKENDS:
        output = deit_ref.forward(weights, pixel_values=np.asarray(pixels), backend=backend)
        assert_close(output.logits, expected, "transformers", backend)
