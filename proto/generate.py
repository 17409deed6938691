"""Regenerates everything under `generated/` from the contract (`make generate`).

`buf/validate/validate.proto` is not vendored: the protovalidate wheel carries its descriptor, which goes to protoc
beside the include path. With `--check` the output goes to a temporary folder and is compared instead. With
`--release` the contract becomes `proto/released.binpb`, which `buf breaking` holds later contracts against.
"""

from __future__ import annotations

import filecmp
import json
import sys
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
PROTO_DIR = ROOT / "proto"
GENERATED_DIR = ROOT / "generated"
RELEASED = PROTO_DIR / "released.binpb"
PACKAGE_DIR = "execution_strategy/v1"
# The comments of the contract by full name, for the OpenAPI document: descriptors at run time have none.
COMMENTS = f"{PACKAGE_DIR}/comments.json"
ERROR_DETAILS = "google/rpc/error_details.proto"
# Numbers of fields in descriptor.proto: what a step of a SourceCodeInfo path descends into.
FILE_PARTS = {4: "message_type", 5: "enum_type", 6: "service"}
INNER_PARTS = {
    "message_type": {2: "field", 3: "nested_type", 4: "enum_type"}, "nested_type": {2: "field", 3: "nested_type"},
    "enum_type": {2: "value"}, "service": {2: "method"},
}  # fmt: skip
# Everything our files import, so that each descriptor set is complete by itself.
WELL_KNOWN = (
    "google/protobuf/descriptor.proto",
    "google/protobuf/duration.proto",
    "google/protobuf/timestamp.proto",
    "google/protobuf/field_mask.proto",
)


def include_dirs() -> list[str]:
    """Folders that hold google's protos: grpc_tools' own and googleapis-common-protos'."""
    import google.rpc as common

    return [str(Path(grpc_tools.__file__).parent / "_proto"), str(Path(next(iter(common.__path__))).parents[1])]


def run_protoc(arguments: list[str]) -> None:
    """Calls protoc in this process. Raises RuntimeError with the arguments when it fails."""
    if protoc.main(["protoc", *arguments]) != 0:
        raise RuntimeError(f"protoc failed: {' '.join(arguments)}")


def write_validate_descriptor(path: Path) -> None:
    """Writes validate.proto and what it imports as one FileDescriptorSet."""
    includes = [f"-I{folder}" for folder in include_dirs()]
    run_protoc([*includes, f"--descriptor_set_out={path}", "--include_imports", *WELL_KNOWN])
    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    files.file.append(descriptor_pb2.FileDescriptorProto.FromString(validate_pb._DESC.proto.to_binary()))
    path.write_bytes(files.SerializeToString(deterministic=True))


def generate(out: Path, scratch: Path) -> None:
    """Writes Python modules, stubs and the buf image into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    validate_set = scratch / "validate.binpb"
    write_validate_descriptor(validate_set)
    ours = sorted(str(p.relative_to(PROTO_DIR)) for p in (PROTO_DIR / PACKAGE_DIR).glob("*.proto"))
    common = [f"-I{PROTO_DIR}", *(f"-I{folder}" for folder in include_dirs()), f"--descriptor_set_in={validate_set}"]
    languages = [f"--python_out={out}", f"--pyi_out={out}"]
    run_protoc([*common, *languages, *ours, "buf/validate/validate.proto"])
    run_protoc([*common, f"--grpc_python_out={out}", f"{PACKAGE_DIR}/service.proto", f"{PACKAGE_DIR}/admin.proto"])
    image = f"--descriptor_set_out={out / 'contract.binpb'}"
    # Refusals carry what stands in error_details.proto: clients that generate from the image need it too.
    run_protoc([*common, image, "--include_imports", "--include_source_info", *ours, ERROR_DETAILS])
    write_comments(out)


def write_comments(out: Path) -> None:
    """Writes every comment of our files by the full name of what it stands at."""
    found: dict[str, str] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString((out / "contract.binpb").read_bytes()).file:
        for location in file.source_code_info.location if file.name.startswith(PACKAGE_DIR) else ():
            name = described(file, list(location.path))
            text = " ".join(location.leading_comments.split())
            if name and text:
                found[name] = text
    (out / COMMENTS).write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def described(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str:
    """The full name of what a SourceCodeInfo path leads to; empty where it is no message, field, enum or call."""
    names, part, parts = [file.package], file, FILE_PARTS
    while path:
        kind = parts.get(path.pop(0))
        if kind is None or not path:
            return ""
        part, parts = getattr(part, kind)[path.pop(0)], INNER_PARTS.get(kind, {})
        names.append(part.name)
    return ".".join(names) if len(names) > 1 else ""


def release(out: Path) -> None:
    """Writes the contract without comments and positions: what compatibility is about, and nothing else."""
    files = descriptor_pb2.FileDescriptorSet.FromString((out / "contract.binpb").read_bytes())
    for file in files.file:
        file.ClearField("source_code_info")
    RELEASED.write_bytes(files.SerializeToString(deterministic=True))


def differences(left: Path, right: Path) -> list[str]:
    """Relative paths that differ or exist on one side only; caches and READMEs aside."""
    def names(root: Path) -> set[str]:
        return {
            str(p.relative_to(root))
            for p in root.rglob("*")
            if p.is_file() and "__pycache__" not in p.parts and p.name not in {"README.md", "released.binpb"}
        }

    both = names(left) & names(right)
    changed = {name for name in both if not filecmp.cmp(left / name, right / name, shallow=False)}
    return sorted(changed | (names(left) ^ names(right)))


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        if "--check" not in arguments:
            generate(GENERATED_DIR, scratch)
            if "--release" in arguments:
                release(GENERATED_DIR)
            return 0
        generate(scratch / "generated", scratch)
        found = differences(GENERATED_DIR, scratch / "generated")
        for name in found:
            print(f"generated/{name} is not what `make generate` writes", file=sys.stderr)
        return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
