"""The process in which files that students handed in are searched and taken apart; `sandbox.apart` starts it.

Whatever opens a file may be led astray by it, so it happens here, where time and memory are limited. Nothing of a file
is executed.
"""

import json
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = sys.argv[2:]

from deit_ref.course.grading.fingerprints import fingerprints
from deit_ref.course.grading.modules import module
from deit_ref.course.grading.searching import search


def main() -> None:
    """Call the function that is asked for on standard input, and write what it gives, or why it gives nothing."""
    import resource  # not there on every system on which students use `modules`

    function, arguments, seconds, memory = pickle.load(sys.stdin.buffer)  # written by the grader
    for name, value in (("AS", memory), ("CPU", seconds)):
        with suppress(OSError, ValueError):  # a system without
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    try:
        known: dict[str, Callable[..., tuple[Any, bytes]]] = {
            "module": module,
            "search": search,
            "fingerprints": fingerprints,
        }
        about, content = known[function](*arguments)
        frames = [(b"J", json.dumps(about).encode()), (b"B", content)]
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        frames = [(b"E", (reason or type(error).__name__).encode("utf-8", "backslashreplace"))]
    with open(int(sys.argv[1]), "wb") as answers:
        for kind, content in frames:
            answers.write(kind + len(content).to_bytes(8, "little") + content)


if __name__ == "__main__":
    main()
