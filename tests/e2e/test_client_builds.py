"""The gateways as users of CMake and Maven build them, by the commands of docs/clients.md, against the real service."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers import native_clients as native
from tests.helpers.live_service import LiveService, closed_time, new_order_id
from tests.helpers.running_host import REPOSITORY

CLIENTS = (REPOSITORY / "docs" / "clients.md").read_text()
README = (REPOSITORY / "README.md").read_text()
MAVEN_REPOSITORY = Path("/usr/share/maven-repo")
# What of Debian's repository the build asks for, a file a package; .ci/run installs them.
MAVEN_PLUGINS = (
    *(
        f"org/apache/maven/plugins/maven-{name}-plugin"
        for name in ("antrun", "clean", "compiler", "install", "jar", "resources", "shade")
    ),
    "org/codehaus/mojo/exec-maven-plugin",
    "org/junit/junit-bom",
)
# The first may have to compile everything.
pytestmark = pytest.mark.timeout(600)


def example(text: str, name: str) -> str:
    """A document's block of that name."""
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found is not None, name
    return found.group(1)


def shell(commands: str, **variables: str) -> str:
    """What the commands print, run where the documents' reader stands. Raises AssertionError where one fails."""
    done = subprocess.run(
        ["sh", "-e", "-c", commands], cwd=REPOSITORY, env=os.environ | variables, timeout=580, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def need(*missing: str) -> None:
    if missing:
        pytest.skip(f"the native clients cannot be built here without {', '.join(missing)}")


@pytest.fixture(scope="module")
def jar(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The program that Maven builds. Its local repository is empty at first: nothing of another build is taken."""
    missing = [] if shutil.which("mvn") else ["mvn"]
    missing += [name for name in MAVEN_PLUGINS if not (MAVEN_REPOSITORY / name).exists()]
    need(*native.missing_tools(), *missing)
    build, run = example(CLIENTS, "maven").splitlines()
    local = tmp_path_factory.mktemp("m2")
    said = shell(build, MAVEN_OPTS=f"-Dmaven.repo.local={local}")
    places = set(re.findall(r"Download(?:ing|ed) from (\S+): (\w+:/*)", said))
    assert places == {("debian-packages", "file:///")}, "something was asked of the network"
    program, given = run.split(" recommend ")
    assert given == "order.json"
    *java, path = program.split()
    return (*java, str(REPOSITORY / path))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> native.Certificates:
    return native.make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def order() -> str:
    """For the next session, at whatever hour this runs."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(closed_time()))
    written = json.loads(example(README, "json")) | {"order_id": new_order_id("built"), "effective_time": when}
    return json.dumps(written)


def recommended(program: Sequence[str], *arguments: str, order: str) -> None:
    printed = native.run((*program, *arguments), "--json", "recommend", "-", given=order)
    assert printed.code == 0, printed
    assert printed.objects[0]["decision"]["order_id"] == json.loads(order)["order_id"]


def test_what_maven_builds_calls_the_service(
    live: LiveService, jar: tuple[str, ...], certificates: native.Certificates, order: str
) -> None:
    recommended(jar, "--target", live.target, order=order)
    # OpenSSL's library is in the jar: nothing else is on the path.
    with native.mutual_tls(live.target, certificates) as target:
        recommended(jar, "--target", target, *certificates.arguments("client"), order=order)


def test_what_maven_builds_is_a_library(live: LiveService, jar: tuple[str, ...], tmp_path: Path) -> None:
    """The README's program, with the jar and nothing else."""
    text, after = example(README, "java"), ".setQuantity(80000)"
    moment = f".setEffectiveTime(com.google.protobuf.Timestamp.newBuilder().setSeconds({int(closed_time())}L))"
    assert "127.0.0.1:50051" in text
    assert after in text
    source = tmp_path / "Example.java"
    source.write_text(text.replace("127.0.0.1:50051", live.target).replace(after, after + moment))
    archive = jar[-1]
    subprocess.run(["javac", "-d", str(tmp_path), "-cp", archive, str(source)], check=True, timeout=120)
    printed = native.run(("java", "-cp", os.pathsep.join((str(tmp_path), archive)), "Example"))
    assert printed.code == 0, printed
    assert " bps" in printed.text


def test_what_cmake_installs_is_found_by_a_project_of_a_user_s(live: LiveService, tmp_path: Path, order: str) -> None:
    need(*native.missing_tools())
    native.build()  # with ninja and ccache where they are; the first command below then changes nothing
    shell(example(CLIENTS, "cmake"))
    installed = REPOSITORY / "build" / "installed"
    recommended((str(installed / "bin" / "ess-gateway"),), "--target", live.target, order=order)
    text, after = example(README, "cpp"), "order.set_quantity(80000);"
    moment = f"order.mutable_effective_time()->set_seconds({int(closed_time())});"
    assert "127.0.0.1:50051" in text
    assert after in text
    (tmp_path / "CMakeLists.txt").write_text(example(CLIENTS, "find_package"))
    (tmp_path / "example.cc").write_text(text.replace("127.0.0.1:50051", live.target).replace(after, after + moment))
    shell(f"cmake -S {tmp_path} -B {tmp_path}/out -DCMAKE_PREFIX_PATH={installed} && cmake --build {tmp_path}/out")
    printed = native.run((str(tmp_path / "out" / "example"),))
    assert printed.code == 0, printed
    assert " bps" in printed.text


def test_what_ci_installs_is_what_the_documents_name() -> None:
    found = re.search(r"for name in (cmake .*?); do", (REPOSITORY / ".ci" / "run").read_text(), re.DOTALL)
    assert found is not None
    installed = set(found.group(1).replace("\\", " ").split())
    table = re.search(r"\| For \| Packages \|\n(.*?)\n\n", CLIENTS, re.DOTALL)
    assert table is not None
    named = {word for quoted in re.findall(r"`([^`]*)`", table.group(1)) for word in quoted.split()}
    assert named - installed == {"ccache"}  # quicker with it, and CI begins with nothing in it
    assert installed <= named
