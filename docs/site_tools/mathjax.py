"""MathJax for the site: files of a pinned package, checked by hash, copied at build, never committed."""

import hashlib
from importlib.metadata import distribution
from pathlib import Path

PACKAGE = "sphinx-mathjax-offline"
FOLDER = "sphinx-mathjax-offline/static/mathjax"
# As sha256sum writes them, of MathJax 3.2.2. Another version fails the build until its hashes stand there.
HASHES = Path(__file__).with_name("mathjax.sha256")


def files() -> dict[str, bytes]:
    """Contents by path below assets/mathjax; a file that is not the expected one is a ValueError."""
    package = distribution(PACKAGE)
    contents = {}
    for line in HASHES.read_text(encoding="utf-8").splitlines():
        expected, name = line.split()
        content = Path(str(package.locate_file(f"{FOLDER}/{name}"))).read_bytes()
        actual = hashlib.sha256(content).hexdigest()
        if actual != expected:
            raise ValueError(f"{PACKAGE} {package.version}: {name} has sha256 {actual}, expected {expected}")
        contents[name] = content
    return contents
