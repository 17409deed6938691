"""Artifact folders: nothing loads unless every byte is what the manifest says."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from store.artifacts import (
    MANIFEST_NAME,
    arrays_to_bytes,
    bytes_to_arrays,
    load_artifact,
    manifest_sha256,
    read_manifest,
    write_artifact,
)
from store.errors import ArtifactInvalid

FILES = {"a.bin": b"alpha", "b.bin": b"beta" * 100, "c.bin": b"gamma", "d.bin": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artifact(tmp_path / "one", "surfaces", FILES, {"bins": 26}, seed=7, created_by="train")
    return tmp_path / "one"


def test_what_was_written_is_loaded(folder: Path) -> None:
    artifact = load_artifact(folder)
    assert artifact.files == FILES
    assert artifact.manifest.kind == "surfaces"
    assert artifact.manifest.seed == 7
    assert artifact.manifest.metadata == {"bins": 26}
    assert artifact.sha256 == manifest_sha256(artifact.manifest)


def test_every_bad_file_is_named_at_once(folder: Path) -> None:
    (folder / "a.bin").unlink()
    (folder / "b.bin").write_bytes(b"beta")
    (folder / "c.bin").write_bytes(b"gamme")
    (folder / "extra").write_bytes(b"")
    with pytest.raises(ArtifactInvalid) as caught:
        load_artifact(folder)
    text = str(caught.value)
    assert len(caught.value.faults) == 4
    assert "a.bin is missing" in text
    assert "b.bin is truncated (4 of 400 bytes)" in text
    assert "c.bin is corrupt" in text
    assert "extra is not in the manifest" in text


@pytest.mark.parametrize("bit", range(0, 40))
def test_any_flipped_bit_is_found(folder: Path, bit: int) -> None:
    data = bytearray((folder / "a.bin").read_bytes())
    data[bit // 8] ^= 1 << (bit % 8)
    (folder / "a.bin").write_bytes(bytes(data))
    with pytest.raises(ArtifactInvalid, match=r"a\.bin is corrupt"):
        load_artifact(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"kind": 1}', b"\xff\xfe"])
def test_a_broken_manifest_is_one_clear_error(folder: Path, content: bytes) -> None:
    (folder / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(ArtifactInvalid, match=r"manifest\.json"):
        load_artifact(folder)


def test_a_manifest_cannot_reach_outside_its_folder(folder: Path) -> None:
    text = (folder / MANIFEST_NAME).read_text().replace("a.bin", "../a.bin")
    (folder / MANIFEST_NAME).write_text(text)
    with pytest.raises(ArtifactInvalid, match="no file name"):
        read_manifest(folder)


def test_a_missing_folder_is_an_artifact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="missing"):
        load_artifact(tmp_path / "none")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", MANIFEST_NAME])
def test_bad_names_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactInvalid):
        write_artifact(tmp_path / "new", "k", {name: b""}, {})
    assert list(tmp_path.iterdir()) == []


def test_an_artifact_is_replaced_whole_and_nothing_is_left_behind(folder: Path) -> None:
    before = read_manifest(folder).sha256
    write_artifact(folder, "surfaces", {"z.bin": b"z"}, {})
    assert load_artifact(folder).files == {"z.bin": b"z"}
    assert read_manifest(folder).sha256 != before
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_a_folder_that_is_no_artifact_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactInvalid, match="not replaced"):
        write_artifact(tmp_path / "mine", "k", {}, {})
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_equal_arrays_give_equal_bytes_and_come_back() -> None:
    arrays = {"b": np.arange(12.0).reshape(3, 4), "a": np.array([1, 2], dtype=np.int64)}
    data = arrays_to_bytes(arrays)
    assert data == arrays_to_bytes(dict(reversed(arrays.items())))
    back = bytes_to_arrays(data)
    assert sorted(back) == ["a", "b"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


def test_a_zero_dimensional_array_keeps_its_shape() -> None:
    assert bytes_to_arrays(arrays_to_bytes({"x": np.array(3.0)}))["x"].shape == ()


def test_pickled_objects_are_refused_both_ways() -> None:
    objects = np.array([{"a": 1}], dtype=object)
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        arrays_to_bytes({"x": objects})
    buffer = io.BytesIO()
    np.savez(buffer, x=objects)
    with pytest.raises(ArtifactInvalid):
        bytes_to_arrays(buffer.getvalue())


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip at all", arrays_to_bytes({"x": np.ones(9)})[:-30]])
def test_bytes_that_are_no_arrays_are_one_clear_error(data: bytes) -> None:
    with pytest.raises(ArtifactInvalid):
        bytes_to_arrays(data)
