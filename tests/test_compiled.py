"""torch.compile sees each task as one graph: what it cannot look through cuts the graph in two, and does not say so."""

import subprocess
import sys

# In a process of its own: the tests' type checks wrap every function, and torch.compile cannot look through them.
EACH_TASK = """
import torch
import deit_ref
from deit_ref.torch_backend.model import TASKS

config = deit_ref.DeiTConfig(
    image_size=8, patch_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
)
for name, task in TASKS.items():
    weights = deit_ref.init_weights(config, name, seed=0).to("torch")
    pixel_values = torch.randn(2, 3, 8, 8)
    compiled = torch.compile(task, backend="eager", fullgraph=True)
    with torch.no_grad():
        plain, found = task(weights, pixel_values), compiled(weights, pixel_values)
    assert torch.equal(next(iter(vars(found).values())), next(iter(vars(plain).values()))), name
"""


def test_each_task_is_one_graph():
    done = subprocess.run([sys.executable, "-c", EACH_TASK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
