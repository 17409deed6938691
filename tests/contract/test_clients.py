"""The native clients' builds name what the contract has: a new .proto file is in all of them or in none."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from fnmatch import fnmatch
from pathlib import Path

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "clients"
# Not a gateway's affair.
ADMIN = "admin"


def ours() -> set[str]:
    return {path.stem for path in (ROOT / "proto" / "execution_strategy" / "v1").glob("*.proto")} - {ADMIN}


def test_cmake_names_every_file_of_the_contract() -> None:
    found = re.search(r"set\(OURS ([a-z_ ]+)\)", (CLIENTS / "cpp" / "CMakeLists.txt").read_text())
    assert found is not None
    assert set(found.group(1).split()) == ours()


def test_java_names_every_file_of_the_contract() -> None:
    found = re.search(r"for name in ([a-z_ ]+); do", (CLIENTS / "java" / "generate-stubs.sh").read_text())
    assert found is not None
    assert set(found.group(1).split()) == ours()


def test_the_descriptor_set_holds_whatever_the_builds_generate() -> None:
    image = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "generated" / "contract.binpb").read_bytes())
    held = {file.name for file in image.file}
    script = (CLIENTS / "java" / "build-offline.sh").read_text() + (CLIENTS / "java" / "generate-stubs.sh").read_text()
    named = set(re.findall(r"(?:buf|google)/[a-z_/]+\.proto", script))
    assert len(named) == 5
    assert named <= held
    assert {dependency for file in image.file for dependency in file.dependency} <= held


def test_the_pom_of_central_generates_what_the_script_does() -> None:
    """Maven itself runs the other profile (tests/e2e/test_client_builds.py). Maven Central's plugin, which CI cannot
    have, takes every file of the descriptor set that no exclude matches."""
    pom = ET.parse(CLIENTS / "java" / "pom.xml").getroot()

    def told(path: str) -> list[str]:
        return [element.text or "" for element in pom.findall(path, {"": pom.tag[1:].partition("}")[0]})]

    (contract,) = told("properties/contract")
    assert told(".//sourceDescriptorPath") == ["${contract}"]
    image = descriptor_pb2.FileDescriptorSet.FromString(
        Path(contract.replace("${project.basedir}", str(CLIENTS / "java"))).read_bytes()
    )
    # The archive's filters say exclude as well, of classes.
    excludes = [glob for glob in told(".//exclude") if glob.startswith(("google/", "execution_strategy/"))]
    taken = {file.name for file in image.file if not any(fnmatch(file.name, glob) for glob in excludes)}
    assert taken == {"buf/validate/validate.proto"} | {f"execution_strategy/v1/{name}.proto" for name in ours()}
    (main,) = told("properties/main.class")
    assert (CLIENTS / "java" / "src" / "main" / "java" / f"{main.replace('.', '/')}.java").exists()


def test_the_corpus_says_what_is_expected_of_every_case() -> None:
    cases = json.loads((ROOT / "tests" / "contract" / "violations.json").read_text())
    for case in cases:
        assert {"name", "code", "fields"} <= set(case)
        assert ("request" in case) != ("request_hex" in case)
        assert case["fields"] == sorted(set(case["fields"]))
        assert bool(case["fields"]) == (case["code"] in {"INVALID_ARGUMENT", "FAILED_PRECONDITION"})
