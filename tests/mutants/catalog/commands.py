"""Mutants of the commands."""

# fmt: off
from .. import planted

MUTANTS = [
    *planted(
        "commands/threads.py", "test_threads",
        ("share = math.ceil(", "share = math.floor(", "31 cores"),
        ("min(cores, batches, MOST)", "min(cores, MOST)", "fewer batches than cores"),
        ("torch.set_num_threads(cores)", "torch.set_num_threads(share)", "what comes after"),
        ("threadpool_limits(1, user_api=\"blas\")", "None", "a process that decodes"),
    ),
    *planted(
        "commands/pipeline.py", "test_threads",
        ("follow_parent()\n    one_thread()", "follow_parent()", "a process that decodes"),
        ("1 if on_gpu else math.ceil(len(names) / batch_size)", "1", "several batches"),
    ),
]
