"""A file is there whole, or as it was before."""

import errno

import pytest
import torch

from helpers import files
from helpers.files import to_csv, write_atomically, write_text


def test_a_writer_that_fails_leaves_the_old_file_and_no_litter(tmp_path):
    write_text(tmp_path / "list.csv", "old")

    def dies(part):
        part.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "list.csv", dies)
    assert (tmp_path / "list.csv").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", ["python", "torch"])
def test_a_full_disk_is_told_in_a_sentence(tmp_path, monkeypatch, kind):
    write_text(tmp_path / "checkpoint.pt", "old")

    def full(part):
        part.write_bytes(b"half")
        if kind == "python":
            raise OSError(errno.ENOSPC, "No space left on device")
        monkeypatch.setattr(
            files.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 0})
        )
        raise RuntimeError("PytorchStreamWriter failed writing file data/0")

    with pytest.raises(OSError, match="no room on the disk for .*checkpoint.pt. Free some"):
        write_atomically(tmp_path / "checkpoint.pt", full)
    assert (tmp_path / "checkpoint.pt").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_another_failure_is_left_as_it_is(tmp_path):
    def fails(part):
        torch.save({}, part)
        raise RuntimeError("of its own")

    with pytest.raises(RuntimeError, match="of its own"):
        write_atomically(tmp_path / "model.pt", fails)


def test_names_with_commas_and_quotes_survive_csv(tmp_path):
    assert (
        to_csv([("person", "photos"), ('Ada "the" Count, ess', 3)])
        == 'person,photos\n"Ada ""the"" Count, ess",3\n'
    )
