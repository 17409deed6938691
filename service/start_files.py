"""Files that the settings name, looked at once before anything is served: what is wrong with them no restart mends.

Workers read them again, and more of them: every byte of an artifact, and whether models say what ONNX Runtime says.
"""

from __future__ import annotations

from service.data_dir import BadFilesError
from service.policy import PolicyError, read_policy
from service.promoted import promoted_folder
from service.settings import Settings
from service.tls_files import TlsError, read_pem
from store.artifacts import read_manifest
from store.errors import ArtifactInvalid


def check_start_files(settings: Settings) -> None:
    """Raises BadFilesError with every fault, each with its setting."""
    faults = [*door_faults(settings), *artifact_faults(settings)]
    if faults:
        raise BadFilesError("files that settings name cannot be used:" + "".join(f"\n  {fault}" for fault in faults))


def door_faults(settings: Settings) -> list[str]:
    """Of the policy, and of the certificate with its key and authorities."""
    faults = []
    if settings.policy_file is not None:
        try:
            read_policy(settings.policy_file)
        except PolicyError as error:
            faults.append(f"ESS_POLICY_FILE: {error}")
    if settings.tls_files is not None:
        try:
            read_pem(settings.tls_files)
        except TlsError as error:
            faults.append(f"ESS_TLS_CERTIFICATE: {error}")
    return faults


def artifact_faults(settings: Settings) -> list[str]:
    """Of folders that are not artifacts. What nothing is decided from is not looked at: models that are switched off,
    or that promoted ones have taken the place of."""
    folders = {"ESS_SURFACES_DIR": settings.surfaces_dir}
    if settings.models == "on" and promoted_folder(settings.data_dir) is None:
        folders["ESS_MODELS_DIR"] = settings.models_dir
    faults = []
    for name, folder in folders.items():
        try:
            if folder is not None:
                read_manifest(folder)
        except ArtifactInvalid as error:
            faults.append(f"{name}: {error}")
    return faults
