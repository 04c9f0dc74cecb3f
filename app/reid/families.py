"""What ReID networks of other makers take, for files that do not say so themselves.

A file gives the size of its input, the length of its vectors, and now and then more: what its outputs are called, or
that it takes mean and deviation out of the picture itself. `recognise` names the families of which all that is true.
Where two of them prepare pictures differently, their user has to say which it is: nobody can see in a vector that the
colours were the wrong way round.

What a file of another maker does not say comes from `NAME.yaml` beside it, else from its family (`app.reid.families`):

    family: torchreid            # how pictures are prepared: torchreid, ultralytics, intel, fastreid, solider, …
    height: 256                  # or each by itself: size of the input in pixels,
    width: 128
    colours: RGB                 # or BGR,
    scale: 255                   # what pixel values are divided by: 255 makes 0..1 of them, 1 leaves 0..255,
    mean: [0.485, 0.456, 0.406]  # what is subtracted then, in the order of colours,
    std: [0.229, 0.224, 0.225]   # and what is divided by last
    layout: NCHW                 # or NHWC
    metric: cosine               # or euclidean: how evaluate-reid compares vectors
    output: embedding            # name or number of the output that is the vector, where there are several
    batch: 1                     # pictures at once, for a TorchScript program that was traced for so many
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from app.config import Section
from app.errors import InputError
from app.reid.preprocess import Preprocessing
from app.system.untrusted import LIMITS, read_text, yaml_value

log = logging.getLogger(__name__)

LARGEST_SIDE_PX = 4096

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NOTHING = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Mean and deviation of a network that takes values as they are."""

INTEL_OUTPUTS = frozenset({"reid_embedding", "descriptor"})


@dataclass(frozen=True, slots=True)
class Seen:
    """What can be seen of a network file.

    own_mean: what the network itself subtracts from each of the three colours first, None if nothing.
    is_hidden: that of what it does with its input nothing can be seen.
    """

    height: int
    width: int
    dimension: int
    outputs: frozenset[str] = frozenset()
    own_mean: tuple[float, ...] | None = None
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """Networks that take pictures prepared in the same way.

    sizes: (height, width) of their inputs. dimensions: lengths of their vectors. prepared: by size the first of
    `sizes`. mean_inside: what they subtract themselves; empty where they may or may not; None where they do not.
    """

    what: str
    sizes: Sequence[tuple[int, int]]
    dimensions: Sequence[int]
    prepared: Preprocessing
    mean_inside: tuple[float, ...] | None = None

    def fits(self, seen: Seen) -> bool:
        if self.mean_inside and seen.own_mean is not None:
            # The one constant that tells its maker whatever the size: 255 times ImageNet's mean, in this order.
            return all(abs(a - b) <= 0.01 * b for a, b in zip(seen.own_mean, self.mean_inside, strict=True))
        if (seen.height, seen.width) not in self.sizes or seen.dimension not in self.dimensions:
            return False
        if seen.is_hidden:
            return True
        return self.mean_inside == () or (self.mean_inside is None) == (seen.own_mean is None)


def _rgb(height: int, width: int, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Preprocessing:
    return Preprocessing(height, width, mean, std)


FAMILIES: dict[str, Family] = {
    # github.com/KaiyangZhou/deep-person-reid, torchreid/utils/feature_extractor.py: PIL (RGB), ToTensor, ImageNet's
    # mean and deviation at 256 × 128. Its other networks: ResNet-50 2048, MobileNetV2 1280, DenseNet-121 and MLFN 1024.
    # reid-strong-baseline (ResNet-50) prepares pictures the same way, and so do BoxMOT's exports of all of these.
    "torchreid": Family(
        "Torchreid's, RGB less ImageNet's mean",
        [(256, 128)],
        [512, 1024, 1280, 2048],
        _rgb(256, 128, IMAGENET_MEAN, IMAGENET_STD),
    ),
    # github.com/ultralytics/ultralytics 8.4, ultralytics/trackers/utils/reid.py, ReID._crops_to_tensor: RGB / 255,
    # stretched to the input's size, nothing subtracted. yolo26[nsmlx]-reid.onnx: 448 × 448 to 256.
    "ultralytics": Family("Ultralytics', RGB in 0..1", [(448, 448)], [256], _rgb(448, 448, *NOTHING)),
    # docs.openvino.ai, Open Model Zoo, person-reidentification-retail-0277, -0286, -0287, -0288: 1×3×256×128, BGR, to
    # 256, output reid_embedding (older ones: descriptor; 0300 gave 512), compared by cosine. Values are 0..255: the
    # conversion wrote whatever the training subtracted into the network.
    "intel": Family(
        "Intel's person-reidentification-retail, BGR in 0..255",
        [(256, 128)],
        [256],
        Preprocessing(256, 128, *NOTHING, "BGR", 1.0),
        (),
    ),
    # github.com/JDAI-CV/fast-reid, fastreid/modeling/meta_arch/baseline.py, preprocess_image subtracts 123.675, 116.28,
    # 103.53 and divides inside the network; tools/deploy feeds RGB in 0..255. 256 × 128 or 384 × 128 (SBS), ResNet-50.
    "fastreid": Family(
        "FastReID's, RGB in 0..255",
        [(256, 128), (384, 128)],
        [2048],
        Preprocessing(256, 128, *NOTHING, "RGB", 1.0),
        tuple(255 * value for value in IMAGENET_MEAN),
    ),
    # github.com/tinyvision/SOLIDER-REID, configs/market/swin_{tiny,small,base}.yml: 384 × 128, PIXEL_MEAN and PIXEL_STD
    # 0.5; Swin-T and -S give 768, -B 1024.
    "solider": Family(
        "SOLIDER's, RGB in -1..1", [(384, 128)], [768, 1024], _rgb(384, 128, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    ),
    # github.com/damo-cv/TransReID, configs/Market/vit_*.yml: 256 × 128 and 384 × 128, PIXEL_MEAN and PIXEL_STD 0.5;
    # ViT-B gives 768, with its four local parts 3840, ViT-L 1024.
    "transreid": Family(
        "TransReID's, RGB in -1..1",
        [(256, 128), (384, 128)],
        [768, 1024, 3840],
        _rgb(256, 128, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ),
    # github.com/Syliz517/CLIP-ReID, configs/person/vit_clipreid.yml: 256 × 128, 0.5 and 0.5; ViT-B-16 gives 768 + 512.
    "clipreid": Family(
        "CLIP-ReID's, RGB in -1..1", [(256, 128)], [1280], _rgb(256, 128, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    ),
}


def recognise(seen: Seen) -> list[str]:
    """Return the names of the families that a network can be of; none, one, or several that one must choose from.

    Of several that prepare pictures alike the first one is enough.
    """
    if seen.outputs & INTEL_OUTPUTS and (seen.height, seen.width) == (256, 128):
        return ["intel"]
    fitting = [name for name, family in FAMILIES.items() if family.fits(seen)]
    if not seen.is_hidden and any(FAMILIES[name].mean_inside for name in fitting):
        fitting = [name for name in fitting if FAMILIES[name].mean_inside]
    ways = {way_of(name): name for name in reversed(fitting)}
    return [name for name in fitting if name in ways.values()]


def way_of(family: str) -> tuple[object, ...]:
    """Return how a family prepares pictures, whatever their size."""
    given = FAMILIES[family].prepared
    return given.mean, given.std, given.colours, given.scale


class Description(Section):
    """`NAME.yaml`: how a network file takes pictures; what it leaves out is that of the family."""

    family: str | None = None
    height: int | None = Field(None, ge=8, le=LARGEST_SIDE_PX)
    width: int | None = Field(None, ge=8, le=LARGEST_SIDE_PX)
    colours: Literal["RGB", "BGR"] | None = None
    scale: float | None = Field(None, gt=0, le=65_535, allow_inf_nan=False)
    mean: list[float] | None = Field(None, min_length=3, max_length=3)
    std: list[float] | None = Field(None, min_length=3, max_length=3)
    layout: Literal["NCHW", "NHWC"] | None = None
    metric: Literal["cosine", "euclidean"] | None = None
    output: int | str | None = None
    batch: int | None = Field(None, ge=1, le=1024)


def description_file(path: Path) -> Path:
    return path.with_suffix(".yaml")


def read_description(path: Path) -> Description:
    file = description_file(path)
    if not file.is_file():
        return Description()
    what = "how a ReID network takes pictures"
    content = yaml_value(read_text(file, what, LIMITS.yaml_bytes), file)
    if content is not None and not isinstance(content, dict):
        raise InputError(f"{file}: expected {what}: lines of `key: value`")
    keys = ", ".join(Description.model_fields)
    try:
        found = Description.model_validate(content or {})
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, problem['loc'][:1]))}: {problem['msg']}" for problem in error.errors())
        raise InputError(f"{file}: {said} (keys are {keys})") from error
    if found.family is not None and found.family not in FAMILIES:
        raise InputError(f"{file}: family: {found.family} is not known; known are {', '.join(FAMILIES)}")
    for key in ("mean", "std"):
        numbers = getattr(found, key) or [1.0]
        if not np.isfinite(numbers).all() or (key == "std" and min(numbers) <= 0):
            raise InputError(f"{file}: {key}: three finite numbers{', above 0' if key == 'std' else ''}")
    return found


def prepared_as(path: Path, seen: Seen, described: Description, channels_last: bool) -> Preprocessing:
    """Return how the network takes pictures: what `NAME.yaml` says, the rest as its family does.

    Raises InputError that says what to write into it where neither is known.
    """
    given = {key: getattr(described, key) for key in ("colours", "scale", "mean", "std")}
    complete = None not in given.values()
    family = described.family
    if family is None and not complete:
        families = recognise(seen)
        if len(families) != 1 or seen.is_hidden:
            raise InputError(
                _which_family(path, seen, families, [key for key, value in given.items() if value is None])
            )
        family = families[0]
        log.warning("%s is taken for one of %s networks; if it is none, %s has to say what it takes",
                    path, FAMILIES[family].what, description_file(path).name)  # fmt: skip
    base = FAMILIES[family].prepared if family is not None else Preprocessing()
    changes: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in given.items() if value
    }
    return replace(base, height=seen.height, width=seen.width, channels_last=channels_last, **changes)


def _which_family(path: Path, seen: Seen, families: list[str], missing: list[str]) -> str:
    file = description_file(path)
    what = f"{path}: {seen.height} × {seen.width} pixels to {seen.dimension} numbers"
    own = " that subtracts a mean itself" if seen.own_mean is not None else ""
    explicit = f"{', '.join(f'{key}:' for key in missing)}; README, “Bring your own network”, has an example"
    if families:
        each = " or ".join(f"`family: {name}` ({FAMILIES[name].what})" for name in families)
        how = "can be of" if len(families) == 1 else "fits several families, which prepare pictures differently:"
        return f"{what}{own} {how} {' and '.join(families)}; write into {file}: {each}"
    return (
        f"{what}{own} is no family known here ({', '.join(FAMILIES)}); write into {file} what it was trained to see: "
        f"{explicit}"
    )
