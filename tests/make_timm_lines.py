"""Writes tests/golden/timm_lines.json: what each line of timm's column of docs/coming_from.md gives.

Not a test: run by hand, in an environment with torch and timm, when a line of that column changes:

    python tests/make_timm_lines.py
"""

import json
import tempfile
from pathlib import Path

import torch
from coming_from import blocks, plain, rows, run, sampled, section, write_stand_in
from make_golden import FOLDER, import_timm

from deit_ref.photos import bundled_photo


def main() -> None:
    """Run the column from its first line to its last, and write."""
    timm = import_timm()

    text, lines = section("From timm"), []
    with tempfile.TemporaryDirectory() as folder:

        def download(repo_id: str, **_: object) -> str:
            """The file of a model, which is drawn here; as huggingface_hub gives it to timm."""
            place = Path(folder) / repo_id
            name = place.name.partition(".")[0]
            return str(place / "model.safetensors" if place.exists() else write_stand_in(name, place))

        timm.models._hub.hf_hub_download = download
        (block,) = blocks(text)
        names = {"timm": timm, "torch": torch}
        exec(block.replace('"cat.jpg"', repr(str(bundled_photo("chelsea")))), names)
        for row in rows(text):
            code = row.there.replace('"deit.pth"', repr(f"{folder}/deit.pth"))
            with torch.no_grad():
                lines.append([row.there, sampled(plain(run(code, names)))])
    versions = {"timm": timm.__version__, "torch": torch.__version__}
    listed = ",\n".join(map(json.dumps, lines))
    (FOLDER / "timm_lines.json").write_text(f'{{"versions": {json.dumps(versions)}, "lines": [\n{listed}\n]}}\n')


if __name__ == "__main__":
    main()
