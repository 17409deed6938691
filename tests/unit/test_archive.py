"""The archive: whole files under their hash, damaged ones made anew, nothing that comes later changes what is kept."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from store.archive import Archive, Recorded, pack
from store.artifacts import write_artifact
from store.errors import ArtifactInvalid, ReferenceCorrupt, StoreError

DATA = b"reference data of a kind " * 40


def test_reference_data_are_kept_once_and_read_back(tmp_path: Path) -> None:
    archive, packed = Archive(tmp_path / "archive"), pack("instrument", DATA)
    assert archive.reference(packed.sha256) is None
    assert archive.keep_reference(packed)
    assert not archive.keep_reference(packed)
    assert Archive(tmp_path / "archive").reference(packed.sha256) == DATA


def test_damaged_reference_data_are_told_and_repaired(tmp_path: Path) -> None:
    archive, packed = Archive(tmp_path), pack("instrument", DATA)
    archive.keep_reference(packed)
    (tmp_path / "reference" / packed.sha256).write_bytes(pack("instrument", b"else").content)
    with pytest.raises(ReferenceCorrupt, match=packed.sha256[:12]):
        archive.reference(packed.sha256)
    assert archive.keep_reference(packed)
    assert archive.reference(packed.sha256) == DATA


def test_an_artifact_outlives_its_upgrade_in_place(tmp_path: Path) -> None:
    archive, source = Archive(tmp_path / "archive"), tmp_path / "shipped"
    old = write_artifact(source, "surfaces", {"a.bin": b"old"}, {"made": 1})
    archive.keep_artifact(source)
    new = write_artifact(source, "surfaces", {"a.bin": b"new"}, {"made": 2})
    archive.keep_artifact(source)
    for manifest, content in ((old, b"old"), (new, b"new")):
        found = archive.load_artifact(manifest.sha256)
        assert found is not None
        assert found.files == {"a.bin": content}
    (source / "a.bin").write_bytes(b"edited in place")
    found = archive.load_artifact(new.sha256)
    assert found is not None
    assert found.files == {"a.bin": b"new"}


def test_a_damaged_artifact_is_told_and_repaired_from_its_source(tmp_path: Path) -> None:
    archive, source = Archive(tmp_path / "archive"), tmp_path / "shipped"
    manifest = write_artifact(source, "models", {"a.bin": b"bytes"}, {})
    archive.keep_artifact(source)
    folder = archive.artifact_folder(manifest.sha256)
    assert folder is not None
    (folder / "a.bin").write_bytes(b"bytez")
    with pytest.raises(ArtifactInvalid, match=r"a\.bin is corrupt"):
        archive.load_artifact(manifest.sha256)
    archive.keep_artifact(source)
    assert archive.load_artifact(manifest.sha256) is not None
    assert [path.name for path in folder.parent.iterdir()] == [manifest.sha256]


def test_an_artifact_under_a_wrong_name_is_refused(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    assert archive.load_artifact("0" * 64) is None
    write_artifact(tmp_path / "artifacts" / ("0" * 64), "models", {"a.bin": b"x"}, {})
    with pytest.raises(ArtifactInvalid, match="its manifest is that of"):
        archive.load_artifact("0" * 64)


def test_an_unsound_source_is_not_taken(tmp_path: Path) -> None:
    write_artifact(tmp_path / "shipped", "models", {"a.bin": b"bytes"}, {})
    (tmp_path / "shipped" / "a.bin").write_bytes(b"short")
    archive = Archive(tmp_path / "archive")
    with pytest.raises(ArtifactInvalid):
        archive.keep_artifact(tmp_path / "shipped")
    assert not (tmp_path / "archive" / "artifacts").exists()


def test_several_keep_the_same_at_once(tmp_path: Path) -> None:
    source = tmp_path / "shipped"
    manifest = write_artifact(source, "models", {f"{n}.bin": bytes([n]) * 5_000 for n in range(20)}, {})
    packed = [pack("instrument", bytes([n]) * 50) for n in range(20)]
    failures: list[BaseException] = []

    def keep() -> None:
        archive = Archive(tmp_path / "archive")
        try:
            archive.keep_artifact(source)
            for each in packed:
                archive.keep_reference(each)
        except BaseException as error:  # whatever it is, the test must hear of it
            failures.append(error)

    threads = [threading.Thread(target=keep) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert failures == []
    archive = Archive(tmp_path / "archive")
    assert archive.load_artifact(manifest.sha256) is not None
    assert all(archive.reference(each.sha256) is not None for each in packed)
    assert {path.name for path in (tmp_path / "archive" / "artifacts").iterdir()} == {manifest.sha256}


def test_notes_survive_and_damaged_ones_say_nothing(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    assert archive.recorded() == Recorded()
    noted = Recorded(frozenset({"a", "b"}), {"surfaces": "c"})
    archive.note(noted)
    assert Archive(tmp_path).recorded() == noted
    (tmp_path / "recorded.json").write_text('{"references": [1')
    assert archive.recorded() == Recorded()


def test_an_archive_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "reference" / ("0" * 64)).mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be read"):
        Archive(tmp_path).reference("0" * 64)


def test_its_size_is_that_of_its_files(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    packed = pack("instrument", DATA)
    archive.keep_reference(packed)
    assert archive.size_bytes() == len(packed.content)
