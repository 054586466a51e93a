"""Reads Qt's compiled resources (.rcc): files in folders, as programs for the desktop bring their pictures along.

A header gives the places of three tables: the tree, the contents and the names. Numbers are big-endian. A node of the
tree is a folder, with the number of its children and the first one's, or a file, with the place of its content.
"""

import struct

_FOLDER, _COMPRESSED = 2, 1 | 4
_NODE = 22  # bytes, of version 2 and later: the last eight are a time


def resources(content: bytes) -> dict[str, bytes]:
    """Path -> content of every file that is stored as it is; compressed ones, which are texts, are left out.

    Raises:
        ValueError: these are no resources, or of another version.
    """
    if content[:4] != b"qres" or len(content) < 20:
        raise ValueError("Expected Qt's compiled resources, which begin with the letters qres, got another file.")
    version, tree, contents, names = struct.unpack_from(">4I", content, 4)
    if version not in (2, 3):
        raise ValueError(f"Expected Qt resources of version 2 or 3, got version {version}.")
    found: dict[str, bytes] = {}
    waiting = [(0, "")]
    while waiting and len(found) < len(content):
        number, path = waiting.pop()
        node = tree + number * _NODE
        name, flags = struct.unpack_from(">IH", content, node)
        if number:
            (length,) = struct.unpack_from(">H", content, names + name)
            start = names + name + 6  # after a hash
            path = f"{path}/{content[start : start + 2 * length].decode('utf-16-be')}".removeprefix("/")
        if flags & _FOLDER:
            count, first = struct.unpack_from(">II", content, node + 6)
            waiting += [(child, path) for child in range(max(first, number + 1), first + count)]
        elif not flags & _COMPRESSED:
            (place,) = struct.unpack_from(">I", content, node + 10)
            (length,) = struct.unpack_from(">I", content, contents + place)
            found[path] = content[contents + place + 4 : contents + place + 4 + length]
    return found
