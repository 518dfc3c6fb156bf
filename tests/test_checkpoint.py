"""Model files: whole or not at all, and a named error for everything that is not one."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gexcore.checkpoint import FORMAT, read_checkpoint, write_checkpoint

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(7)}
NAMED = "not a whole model file|not one written by gexcore|a newer version|damaged or was edited"
CONFIG = {"genes": ["A", "ü"], "settings": {"x": 0.1, "y": None}}


@pytest.fixture
def file(tmp_path):
    return write_checkpoint(tmp_path / "model.safetensors", "TxT", TENSORS, CONFIG)


def test_a_round_trip_keeps_bits_and_config(file):
    tensors, config = read_checkpoint(file, "TxT")
    assert config == CONFIG
    assert all(torch.equal(tensors[k], TENSORS[k]) for k in TENSORS)


def test_whole_numbers_and_double_precision_keep_every_bit(tmp_path):
    tensors = {
        "long": torch.tensor([2**53 + 1, -(2**63), 2**63 - 1]),
        "byte": torch.arange(256, dtype=torch.uint8),
        "double": torch.tensor([0.1 + 0.2, 5e-324, -0.0, math.inf, math.nan], dtype=torch.float64),
        "half": torch.tensor([1 / 3], dtype=torch.bfloat16),
        "columns": torch.randn(3, 4).t(),
        "none": torch.empty(0, 3),
    }
    config = {"state": 2**127 + 1, "loss": 0.1 + 0.2, "least": 5e-324, "never": math.inf, "numpy": np.float64(1) / 3}
    file = write_checkpoint(tmp_path / "m.safetensors", "TxT", tensors, config, allow_nan=True)
    read, same = read_checkpoint(file, "TxT")
    assert same == config
    for name, tensor in tensors.items():
        assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape)
        assert read[name].view(-1).view(torch.uint8).equal(tensor.reshape(-1).view(torch.uint8))


def test_nan_is_not_written_unless_allowed_and_the_old_file_stays(file):
    before = file.read_bytes()
    with pytest.raises(FloatingPointError, match="not saved: 1 tensors hold NaN, first 'a'"):
        write_checkpoint(file, "TxT", {"a": torch.tensor([1.0, torch.nan])}, CONFIG)
    assert file.read_bytes() == before


def test_the_same_content_gives_the_same_bytes(file, tmp_path):
    again = write_checkpoint(tmp_path / "again", "TxT", dict(reversed(TENSORS.items())), CONFIG)
    assert again.read_bytes() == file.read_bytes()


def test_a_file_cut_short_anywhere_is_named(file):
    content = file.read_bytes()
    for keep in range(len(content)):
        file.write_bytes(content[:keep])
        with pytest.raises(ValueError, match="is not a whole model file"):
            read_checkpoint(file, "TxT")


def test_no_bit_of_a_file_can_change_unnoticed(tmp_path):
    config = {"genes": ["A", "B"], "x": 0.1}  # no letter beyond ASCII, whose escapes may be capitals as well
    file = write_checkpoint(tmp_path / "m.safetensors", "TxT", TENSORS, config)
    content = file.read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            file.write_bytes(changed)
            with pytest.raises(ValueError, match=NAMED):
                read_checkpoint(file, "TxT")


def test_a_file_edited_by_hand_is_named(file):
    content = file.read_bytes()
    file.write_bytes(content.replace(b'\\"x\\": 0.1', b'\\"x\\": 0.2'))
    assert file.read_bytes() != content
    with pytest.raises(ValueError, match="not what gexcore wrote: it is damaged or was edited; take a copy of it"):
        read_checkpoint(file, "TxT")


def test_a_foreign_safetensors_file_is_named(tmp_path):
    save_file(TENSORS, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not one written by gexcore"):
        read_checkpoint(tmp_path / "other.safetensors", "TxT")


def test_another_kind_a_newer_format_and_a_missing_file_are_named(file, tmp_path):
    with pytest.raises(ValueError, match="holds a TxT model, not GexBERT"):
        read_checkpoint(file, "GexBERT")
    newer = {"kind": "TxT", "format": FORMAT + 1, "gexcore": "9.0", "config": {}}
    save_file(TENSORS, tmp_path / "newer.safetensors", {"gexcore": json.dumps(newer)})
    with pytest.raises(ValueError, match=r"gexcore 9\.0, a newer version"):
        read_checkpoint(tmp_path / "newer.safetensors", "TxT")
    with pytest.raises(FileNotFoundError, match="no model file at"):
        read_checkpoint(tmp_path / "absent", "TxT")
