"""Checkpoints by their name on the hub, through huggingface_hub: its cache, HF_HOME and HF_HUB_OFFLINE are honored."""

import re
from pathlib import Path

from deit_ref import checks
from deit_ref.checkpoints.huggingface import CONFIG, PROCESSING, SHARDS, WEIGHT_FILES

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_name(source: str) -> bool:
    """Whether this can be the name of a checkpoint on the hub.

    >>> is_name("facebook/deit-tiny-patch16-224"), is_name("cat.pth"), is_name("../a/b")
    (True, False, False)
    """
    return NAME.fullmatch(source) is not None


def download(name: str, revision: str | None) -> Path:
    """The folder of a checkpoint in the hub's cache; what is missing there is downloaded first.

    Only config.json, preprocessor_config.json and weight files are fetched, and files that can be pickles only where
    there are no safetensors.

    Args:
        name: "owner/name".
        revision: branch, tag or commit; None is "main".

    Raises:
        ValueError: huggingface_hub is not installed, there is no such checkpoint, or the hub cannot be reached.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import EntryNotFoundError
    except ImportError as error:
        raise ValueError(
            f"There is no folder or file {name!r}, and to look for it on the hub huggingface_hub is needed, which is "
            f"missing: {checks.install('hub')}. Or download the checkpoint and pass its folder."
        ) from error
    safetensors = [file for file in (*WEIGHT_FILES, *SHARDS) if ".safetensors" in file]
    pickles = [file for file in (*WEIGHT_FILES, *SHARDS) if file not in safetensors]
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=[CONFIG, PROCESSING, *safetensors]))
        if not any((folder / file).is_file() for file in safetensors):
            # By the commit just found, so that both calls see the same version.
            snapshot_download(name, revision=folder.name, allow_patterns=pickles)
    except (EntryNotFoundError, OSError, ValueError) as error:
        version = "" if revision is None else f" in revision {revision!r}"
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"There is no folder or file {name!r}, and no such checkpoint could be had from the hub{version} "
            f"({type(error).__name__}: {reason}). Check the name and the revision; without network, or with "
            f"HF_HUB_OFFLINE, download it first (hf download {name}) or pass a folder."
        ) from error
    return folder
