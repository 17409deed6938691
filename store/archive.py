"""What recorded decisions were made from, kept by hash: reference data and every artifact that was ever active.

    <folder>/reference/<sha256>        compressed; the hash is of what it was before
    <folder>/artifacts/<sha256>/       a copy of the artifact, named by its manifest's hash
    <folder>/recorded.json             what of it stands in the journal already

Nothing is ever removed: a decision may be asked about for as long as its record is kept. A set of models is some 10 MB,
reference data a few hundred bytes an instrument and a day's sessions.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from store.artifacts import MANIFEST_NAME, Artifact, load_artifact, manifest_bytes
from store.errors import ArtifactInvalid, ReferenceCorrupt, StoreError
from store.on_disk import sync_folder, write_new, write_whole

# Reference data of one instrument or calendar are some kilobytes; what unpacks to more than this is none.
MOST_CONTENT_BYTES = 64 * 1024 * 1024
COMPRESSION_LEVEL = 9

_REFERENCE, _ARTIFACTS, _RECORDED = "reference", "artifacts", "recorded.json"


@dataclass(frozen=True, slots=True)
class Packed:
    """Data under the hash of what they are; `content` is compressed."""

    kind: str
    sha256: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a record of this host already says: hashes of reference data, and the artifact active by kind."""

    references: frozenset[str] = frozenset()
    active: dict[str, str] = field(default_factory=dict)


def pack(kind: str, data: bytes) -> Packed:
    return Packed(kind, hashlib.sha256(data).hexdigest(), zlib.compress(data, COMPRESSION_LEVEL))


def unpack(sha256: str, content: bytes) -> bytes:
    """The data, which are what their name says. Raises ReferenceCorrupt."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(content, MOST_CONTENT_BYTES)
    except zlib.error as error:
        raise ReferenceCorrupt(f"reference data {sha256[:12]} cannot be unpacked: {error}") from None
    if not unpacker.eof or unpacker.unused_data or hashlib.sha256(data).hexdigest() != sha256:
        raise ReferenceCorrupt(f"reference data {sha256[:12]} are not what their hash says")
    return data


class Archive:
    """One folder. Several processes may read and write: files appear whole, and the same name holds the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep_reference(self, packed: Packed) -> bool:
        """Whether it was new. A file that is damaged is written again."""
        try:
            if self.reference(packed.sha256) is not None:
                return False
        except ReferenceCorrupt:
            pass  # what came now is sound
        write_whole(self._folder / _REFERENCE / packed.sha256, packed.content)
        return True

    def reference(self, sha256: str) -> bytes | None:
        """The data before compression; None where they are not here. Raises ReferenceCorrupt."""
        try:
            content = (self._folder / _REFERENCE / sha256).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"the archive cannot be read: {error}") from error
        return unpack(sha256, content)

    def keep_artifact(self, source: Path) -> Artifact:
        """A checked copy under the manifest's hash. Not a link: who edits the source in place would edit the past."""
        artifact = load_artifact(source)
        target = self._folder / _ARTIFACTS / artifact.sha256
        try:
            if load_artifact(target).sha256 == artifact.sha256:
                return artifact
        except ArtifactInvalid:
            pass  # not there, or damaged
        _copy_whole(target, {**artifact.files, MANIFEST_NAME: manifest_bytes(artifact.manifest)})
        return artifact

    def artifact_folder(self, sha256: str) -> Path | None:
        """Where it is; None where it is not. Loading it checks every byte."""
        folder = self._folder / _ARTIFACTS / sha256
        return folder if (folder / MANIFEST_NAME).is_file() else None

    def artifact_folders(self) -> list[Path]:
        """Of every artifact that was ever kept."""
        folder = self._folder / _ARTIFACTS
        return [one for one in sorted(folder.iterdir()) if one.name[0] != "."] if folder.is_dir() else []

    def load_artifact(self, sha256: str) -> Artifact | None:
        """The artifact of that hash; None where it is not here. Raises ArtifactInvalid."""
        folder = self.artifact_folder(sha256)
        if folder is None:
            return None
        artifact = load_artifact(folder)
        if artifact.sha256 != sha256:
            raise ArtifactInvalid(str(folder), (f"its manifest is that of {artifact.sha256[:12]}",))
        return artifact

    def recorded(self) -> Recorded:
        """What was noted. A file that cannot be read notes nothing: recording twice is harmless."""
        try:
            return msgspec.json.decode((self._folder / _RECORDED).read_bytes(), type=Recorded)
        except (OSError, msgspec.DecodeError):
            return Recorded()

    def note(self, recorded: Recorded) -> None:
        """Remembers it, atomically."""
        content = {"references": sorted(recorded.references), "active": dict(sorted(recorded.active.items()))}
        write_whole(self._folder / _RECORDED, msgspec.json.encode(content))

    def size_bytes(self) -> int:
        """Of everything that is kept."""
        return sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())


def _copy_whole(target: Path, files: dict[str, bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for name, data in files.items():
            write_new(fresh / name, data)
        sync_folder(fresh)
        if target.exists():  # damaged: it steps aside, since a full folder cannot be renamed over
            target.rename(fresh.with_name(f"{fresh.name}.damaged"))
        try:
            fresh.rename(target)
        except OSError:
            if not (target / MANIFEST_NAME).is_file():  # else another process was faster, with the same
                raise
        sync_folder(target.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(fresh.with_name(f"{fresh.name}.damaged"), ignore_errors=True)
