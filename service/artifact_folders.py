"""The artifacts that this host has: those of the settings, those of the archive, and those on the shelf.

The shelf is the folder that operators put new ones in (`ESS_ARTIFACTS_DIR`). Only folders that lie in it count: a link
that leads elsewhere is passed over, and a manifest names files of its own folder only (store/artifacts.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from store.archive import Archive
from store.artifacts import MANIFEST_NAME, Manifest, read_manifest
from store.errors import ArtifactInvalid

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A folder by its manifest alone: its files were not looked at."""

    sha256: str
    folder: Path
    manifest: Manifest
    built_ns: int


class ArtifactFolders:
    """For threads: reads manifests, a few kilobytes each."""

    def __init__(self, archive: Archive, named: tuple[Path, ...], shelf: Path | None) -> None:
        self._archive = archive
        self._named = named
        self._shelf = shelf

    def all(self) -> list[Found]:
        """Newest first, each once."""
        found: dict[str, Found] = {}
        for folder in (*self._named, *self._archive.artifact_folders(), *self._on_shelf()):
            one = read(folder)
            if one is not None:
                found.setdefault(one.sha256, one)
        return sorted(found.values(), key=lambda one: one.built_ns, reverse=True)

    def find(self, sha256: str) -> Found | None:
        return next((one for one in self.all() if one.sha256 == sha256), None)

    def _on_shelf(self) -> Iterator[Path]:
        if self._shelf is None or not self._shelf.is_dir():
            return
        root = self._shelf.resolve()
        for folder in sorted(self._shelf.iterdir()):
            manifest = folder / MANIFEST_NAME
            if folder.name.startswith(".") or not manifest.is_file():
                continue
            if folder.resolve().parent != root or manifest.is_symlink():
                log.warning("an artifact leads out of the artifacts' folder and is passed over", folder=str(folder))
                continue
            yield folder


def read(folder: Path) -> Found | None:
    """None for what is no artifact."""
    try:
        manifest = read_manifest(folder)
        built_ns = (folder / MANIFEST_NAME).stat().st_mtime_ns
    except (ArtifactInvalid, OSError) as error:
        log.warning("a folder holds no readable artifact", folder=str(folder), reason=str(error))
        return None
    return Found(manifest.sha256, folder, manifest, built_ns)
