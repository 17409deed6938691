"""Artifacts on disk: a folder of files with a manifest; nothing is loaded unless every byte is what it says.

    <folder>/manifest.json     kind, seed, created_by, metadata, and SHA-256 and size of every file
    <folder>/<file> ...

A folder is written beside its place, synced, and renamed: readers see all of it or nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from store.errors import ArtifactInvalid
from store.on_disk import sync_folder, write_new

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1

_FILE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that zip knows: equal arrays give equal bytes
_MAX_ARRAYS_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What one file must be."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artifact is, how it was made, and what its files must be."""

    kind: str
    files: dict[str, FileEntry]
    metadata: dict[str, Any]
    seed: int | None = None
    created_by: str = ""
    format_version: int = FORMAT_VERSION

    @property
    def sha256(self) -> str:
        """Names the whole artifact: it covers every file's hash."""
        return manifest_sha256(self)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A loaded folder; every file was checked."""

    manifest: Manifest
    files: dict[str, bytes]

    @property
    def sha256(self) -> str:
        return self.manifest.sha256


def manifest_bytes(manifest: Manifest) -> bytes:
    """The canonical JSON of a manifest: sorted keys, so equal content gives equal bytes."""
    content = msgspec.to_builtins(manifest)
    return (json.dumps(content, sort_keys=True, indent=2, allow_nan=False) + "\n").encode()


def manifest_sha256(manifest: Manifest) -> str:
    return hashlib.sha256(manifest_bytes(manifest)).hexdigest()


def write_artifact(
    folder: Path | str,
    kind: str,
    files: Mapping[str, bytes],
    metadata: Mapping[str, Any],
    *,
    seed: int | None = None,
    created_by: str = "",
) -> Manifest:
    """Writes the folder whole. An artifact that is there already is replaced; any other folder is refused."""
    target = Path(folder).resolve()
    bad = tuple(f"{name!r} is no file name" for name in files if not _is_file_name(name))
    if bad:
        raise ArtifactInvalid(str(target), bad)
    entries = {name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()}
    manifest = Manifest(kind, entries, dict(metadata), seed, created_by)
    encoded = manifest_bytes(manifest)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        fresh.chmod(0o755)  # mkdtemp makes it private; other users of the host may read artifacts
        for name, data in files.items():
            write_new(fresh / name, data)
        write_new(fresh / MANIFEST_NAME, encoded)
        sync_folder(fresh)
        _swap(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return manifest


def load_artifact(folder: Path | str) -> Artifact:
    """Reads and checks everything; each missing, extra, truncated or corrupt file is named in one error."""
    source = Path(folder)
    manifest = read_manifest(source)
    faults: list[str] = []
    files: dict[str, bytes] = {}
    for name, entry in sorted(manifest.files.items()):
        try:
            data = (source / name).read_bytes()
        except OSError as error:
            faults.append(f"{name} is missing ({error.strerror})")
            continue
        fault = _fault_of(name, data, entry)
        if fault is None:
            files[name] = data
        else:
            faults.append(fault)
    present = {path.name for path in source.iterdir()}
    faults.extend(
        f"{name} is not in the manifest" for name in sorted(present - {MANIFEST_NAME, *manifest.files})
    )
    if faults:
        raise ArtifactInvalid(str(source), tuple(faults))
    return Artifact(manifest, files)


def read_manifest(folder: Path | str) -> Manifest:
    """The manifest alone; the files are not looked at."""
    source = Path(folder)
    try:
        manifest = msgspec.json.decode((source / MANIFEST_NAME).read_bytes(), type=Manifest)
    except OSError as error:
        raise ArtifactInvalid(str(source), (f"{MANIFEST_NAME} is missing ({error.strerror})",)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArtifactInvalid(str(source), (f"{MANIFEST_NAME} is corrupt ({error})",)) from None
    faults = [f"{name!r} is no file name" for name in manifest.files if not _is_file_name(name)]
    if manifest.format_version != FORMAT_VERSION:
        faults.append(f"format version {manifest.format_version} is not {FORMAT_VERSION}")
    if faults:
        raise ArtifactInvalid(str(source), tuple(faults))
    return manifest


def arrays_to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as .npz; the same arrays always give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(arrays):
            content = io.BytesIO()
            npy_format.write_array(
                content, np.asarray(arrays[name], order="C"), version=(1, 0), allow_pickle=False
            )
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # the same on every platform
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def bytes_to_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz; pickled objects are refused, and so is a small file that unpacks to gigabytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size_bytes = sum(entry.file_size for entry in archive.infolist())
        if size_bytes > _MAX_ARRAYS_BYTES:
            raise ArtifactInvalid("arrays", (f"{size_bytes} bytes unpacked are over {_MAX_ARRAYS_BYTES}",))
        with np.load(io.BytesIO(data), allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactInvalid("arrays", (f"no readable .npz ({error})",)) from None


def _is_file_name(name: str) -> bool:
    return bool(_FILE_NAME.match(name)) and name != MANIFEST_NAME


def _fault_of(name: str, data: bytes, entry: FileEntry) -> str | None:
    if len(data) < entry.size_bytes:
        return f"{name} is truncated ({len(data)} of {entry.size_bytes} bytes)"
    if len(data) > entry.size_bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
        return f"{name} is corrupt (SHA-256 or size differs)"
    return None


def _swap(fresh: Path, target: Path) -> None:
    """Puts the new folder in its place. A full folder cannot be renamed over, so an old one steps aside first;
    a kill between the two renames leaves it whole beside, and the target missing, never half."""
    if not target.exists():
        fresh.rename(target)
        sync_folder(target.parent)
        return
    if any(target.iterdir()) and not (target / MANIFEST_NAME).is_file():
        raise ArtifactInvalid(str(target), ("the folder exists and is no artifact; not replaced",))
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    try:
        target.rename(aside / "old")
        try:
            fresh.rename(target)
        except OSError:
            (aside / "old").rename(target)
            raise
        sync_folder(target.parent)
    finally:
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
