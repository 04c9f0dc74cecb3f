"""Weight files: ours come back as they were, Torchreid's are understood, everything else is refused in words."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from app.errors import InputError
from app.reid.calibrate import Calibration
from app.reid.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from app.reid.osnet import OSNETS
from app.reid.preprocess import Preprocessing


def made() -> Checkpoint:
    torch.manual_seed(0)
    network = OSNETS["osnet_x0_25"](pooling="gem", neck="bnneck")
    calibration = Calibration(
        np.linspace(-1, 1, 512, dtype=np.float32),
        np.array([0, 0.5, 2], np.float32),
        np.array([0.9, 0.5, 0.1], np.float32),
    )
    preprocessing = Preprocessing(128, 64, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    facts = {"training_data": "made up", "scores": {"rank1": 12.5}}
    return Checkpoint("osnet_x0_25", network.state_dict(), preprocessing, calibration, "gem", "bnneck", "cosine", facts)


@pytest.mark.parametrize("half", [False, True])
def test_what_was_saved_is_loaded(tmp_path: Path, half: bool) -> None:
    saved = made()
    save_checkpoint(tmp_path / "a.safetensors", saved, half)
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    for name in ("architecture", "preprocessing", "pooling", "neck", "metric", "facts"):
        assert getattr(loaded, name) == getattr(saved, name)
    for name in ("center", "distances", "probabilities"):
        np.testing.assert_array_equal(getattr(loaded.calibration, name), getattr(saved.calibration, name))
    assert len(loaded.sha256) == 64
    pictures = torch.randn(2, 3, 64, 32)
    tolerance = 1e-2 if half else 1e-6
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded.network()(pictures), saved.network()(pictures), rtol=tolerance, atol=tolerance
        )
    assert not list(tmp_path.glob(".*"))


def test_half_precision_is_half_the_size(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "full.safetensors", made())
    save_checkpoint(tmp_path / "half.safetensors", made(), half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.7 * (tmp_path / "full.safetensors").stat().st_size


def torchreid_file(path: Path, **extra: object) -> Path:
    state = {f"module.{name}": tensor for name, tensor in OSNETS["osnet_x0_5"]().state_dict().items()}
    state["module.classifier.weight"] = torch.zeros(751, 512)
    torch.save({"state_dict": state, "epoch": 3, **extra}, path)
    return path


def test_a_torchreid_file_gets_torchreids_preprocessing(tmp_path: Path) -> None:
    loaded = load_checkpoint(torchreid_file(tmp_path / "theirs.pth.tar"))
    assert loaded.architecture == "osnet_x0_5"
    assert loaded.preprocessing == Preprocessing(256, 128, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert not loaded.calibration.center.any()
    assert loaded.metric == "euclidean"


def test_a_bare_safetensors_state_dict_is_understood(tmp_path: Path) -> None:
    save_file(OSNETS["osnet_ain_x0_25"]().state_dict(), tmp_path / "bare.safetensors")
    assert load_checkpoint(tmp_path / "bare.safetensors").architecture == "osnet_ain_x0_25"


class Program:
    """A pickle that runs something when it is loaded."""

    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("the pickle was run",))


def test_a_pickle_that_could_run_code_is_refused(tmp_path: Path) -> None:
    path = torchreid_file(tmp_path / "bad.pth", optimiser=Program())
    with pytest.raises(InputError, match=r"convert it once.*weights_only=False"):
        load_checkpoint(path)


def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"a": Program}))
    with pytest.raises(InputError, match=r"plain\.pth"):
        load_checkpoint(tmp_path / "plain.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_cut_short_is_named(tmp_path: Path, suffix: str) -> None:
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    if suffix == ".pth":
        torchreid_file(whole)
    else:
        save_checkpoint(whole, made())
    cut.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(InputError, match=rf"cut{suffix}"):
        load_checkpoint(cut)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="not the weights of an OSNet"):
        load_checkpoint(tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="no state dict"):
        load_checkpoint(tmp_path / "list.pth")


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    state = OSNETS["osnet_x0_25"]().state_dict()
    del state["conv4.1.gate.fc1.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(InputError, match=r"conv4\.1\.gate\.fc1\.weight"):
        load_checkpoint(tmp_path / "part.pth")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pth"):
        load_checkpoint(tmp_path / "nowhere.pth")


def test_a_header_of_the_future_is_refused(tmp_path: Path) -> None:
    header = {"format": "omnitrack-reid-1", "architecture": "osnet_x9"}
    save_file({"a": torch.zeros(1)}, tmp_path / "new.safetensors", metadata=header)
    with pytest.raises(InputError, match="newer version"):
        load_checkpoint(tmp_path / "new.safetensors")


@pytest.mark.parametrize("name", ["osnet_x0_25", "osnet_x1_0"])
def test_public_weights_load(shared_data: Path, name: str) -> None:
    assert load_checkpoint(shared_data / "weights" / f"{name}_msmt17.pth").architecture == name


@pytest.mark.parametrize("place", [0.3, 0.99, "architecture", "facts"])
def test_a_changed_number_is_noticed(tmp_path: Path, place: float | str) -> None:
    """Finite numbers, and a header that can be read: only the checksum tells."""
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, made(), half=True)
    data = bytearray(path.read_bytes())
    if isinstance(place, float):
        data[round(place * len(data))] ^= 1
    else:
        data = bytearray(bytes(data).replace(b"12.5", b"92.5") if place == "facts" else data.replace(b"gem", b"gEm"))
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.safetensors: damaged \(the checksum of its content does not fit\)"):
        load_checkpoint(path)
