from .. import planted

MUTANTS = [
    *planted(
        "numpy_backend/layers.py",
        "test_layers",
        ("y += weights.bias", "y -= weights.bias", "any with a bias"),
        ("centered += weights.bias", "centered -= weights.bias", "any with a bias"),
    )
]
