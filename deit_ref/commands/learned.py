"""Which photos weights have learned from, as the run that made them wrote it into config.json."""

from typing import Any, NamedTuple

from deit_ref.checkpoints.files import locate, read_json
from deit_ref.checkpoints.huggingface import CONFIG
from deit_ref.data.held_out import divided
from deit_ref.data.images import ImageSet


class Run(NamedTuple):
    """What a run tells of its photos.

    Attributes:
        held_out: the share that was held out of them, 0 where there were test photos or none were wanted.
        seed: chose them.
        photos, digest: of what was learned from, see `ImageSet`.
        tests: number of photos that the run was judged by.
    """

    held_out: float
    seed: int
    photos: int
    digest: str
    tests: int

    def learned_from(self, images: ImageSet) -> ImageSet | None:
        """Those that were learned from; None where these are not the photos that the run was given."""
        if len(images) == self.photos + self.tests and self.held_out:
            images = divided(images, share=self.held_out, seed=self.seed)[0]
        return images if (len(images), images.digest) == (self.photos, self.digest) else None


def run_of(source: str | None) -> Run | None:
    """The run that made these weights; None where they do not tell of one."""
    config = None if source is None else locate(source) / CONFIG
    told: Any = read_json(config).get("provenance") if config is not None and config.is_file() else None
    try:
        train, tests = told["photos"]["train"], told["photos"].get("test", {"count": 0})["count"]
        run = Run(told["held_out"], told["seed"], train["count"], train["digest"], tests)
    except (TypeError, KeyError, AttributeError):  # weights of elsewhere may tell something else, or nothing
        return None
    kinds = (float, int, int, str, int)
    return run if all(isinstance(value, kind) for value, kind in zip(run, kinds, strict=True)) else None
