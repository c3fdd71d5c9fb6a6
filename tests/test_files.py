"""Files appear whole or not at all."""

import pytest

from bitspike.errors import FileError
from bitspike.files import existing_file, replacing


def test_a_file_appears_when_the_block_ends(tmp_path):
    with replacing(tmp_path / "new" / "file.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "new" / "file.txt").exists()
    assert (tmp_path / "new" / "file.txt").read_text() == "whole"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "file.txt").write_text("old")

    def fail():
        with replacing(tmp_path / "file.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (tmp_path / "file.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_place_where_nothing_can_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be written"), replacing(tmp_path / "file" / "below"):
        pytest.fail("the block must not run")
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(FileError, match=r"folder: cannot be written \(Is a directory\)"),
        replacing(tmp_path / "folder") as temporary,
    ):
        temporary.write_text("a folder is in the way")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_file_has_the_mode_of_an_ordinary_one(tmp_path):
    (tmp_path / "plain").write_text("")
    with replacing(tmp_path / "replaced") as temporary:
        temporary.write_text("")
    assert (tmp_path / "replaced").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(FileError, match="none: no such file"):
        existing_file(tmp_path / "none")
    with pytest.raises(FileError, match="is not a file"):
        existing_file(tmp_path)
