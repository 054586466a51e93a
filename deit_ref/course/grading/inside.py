"""What of this machine a locked-in submission sees: Python's standard library, a few packages, what they are linked to.

Nothing else, wherever Python is installed: other packages and whatever lies beside them, such as a course whose folder
is also the environment, are not there.
"""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("numpy", "scipy", "jaxtyping", "wadler_lindig")  # the last is imported by the one before
PACKAGES_AT = "/deit_ref_packages"  # where they stand in the prison


def python() -> str:
    """The file of the interpreter itself, not an environment's link to it: environments are not there."""
    return os.path.realpath(sys.executable)


@cache
def folders() -> dict[str, str]:
    """Folders and where they are to be seen."""
    base = {"platbase": sys.base_exec_prefix, "base": sys.base_prefix}
    found = {path: path for path in (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib", vars=base))}
    for name in PACKAGES:
        spec = find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(f"The package {name} is not installed, and submissions need it: install deit_ref again.")
        own = Path(spec.submodule_search_locations[0])
        # Its libraries and, of those that ask for their own version, what the installer wrote down.
        beside = [own.with_name(f"{name}.libs"), *own.parent.glob(f"{name}-*.dist-info")]
        found |= {str(path): f"{PACKAGES_AT}/{path.name}" for path in (own, *beside) if path.is_dir()}
    return found


def covered() -> list[str]:
    """Folders of other packages inside of those that are seen; they are empty there."""
    inside = (Path(path, name) for path in folders() for name in ("site-packages", "dist-packages"))
    return [str(path) for path in inside if path.is_dir()]


@cache
def libraries() -> tuple[str, ...]:
    """The system's libraries that the interpreter and the folders are linked to, and what the linker reads.

    Raises:
        ValueError: there is no `ldd` to ask.
    """
    compiled = [python(), *(str(path) for folder in folders() for path in _compiled(Path(folder)))]
    try:
        told = subprocess.run(["ldd", *compiled], env={"PATH": os.defpath}, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ValueError(f"the command ldd, which says what Python is linked to, cannot be run ({error})") from error
    linked = set(re.findall(r"^\t(?:.+ => )?(/.+) \(0x[0-9a-f]+\)$", told.stdout, flags=re.MULTILINE))
    shown = tuple(f"{folder}/" for folder in folders())
    outside = {path for path in linked if not os.path.normpath(path).startswith(shown)}
    return tuple(sorted({path for path in (python(), "/etc/ld.so.cache", *outside) if os.path.exists(path)}))


def exposed(paths: Iterable[Path]) -> str | None:
    """Why one of the paths would be seen by every submission, in words, or None."""
    shown = [Path(os.path.realpath(path)) for path in folders()]
    hidden = [Path(os.path.realpath(path)) for path in covered()]
    for path in paths:
        real = Path(os.path.realpath(path))
        for folder in shown:
            if real.is_relative_to(folder) and not any(real.is_relative_to(other) for other in hidden):
                return f"{path} lies in {folder}, which every submission may read"
    return None


def _compiled(folder: Path) -> Iterable[Path]:
    """The compiled modules of a folder, without those of the packages that are not seen."""
    for path in folder.rglob("*.so*"):
        if not {"site-packages", "dist-packages"} & {*path.relative_to(folder).parts}:
            yield path
