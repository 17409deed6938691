"""The gateways in C++ and Java and the load generator, built once into build/native, and what they print."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from tests.helpers.running_host import REPOSITORY

BUILT = REPOSITORY / "build" / "native"
CPP = (str(BUILT / "ess-gateway"),)
JAVA = (str(BUILT / "java" / "ess-gateway-java"),)
LOADGEN = str(BUILT / "ess-loadgen")
# What the build needs; .ci/run installs the packages that have them.
TOOLS = ("cmake", "g++", "pkg-config", "protoc", "grpc_cpp_plugin", "grpc_java_plugin", "javac", "jar", "openssl")
FILES = (
    "/usr/include/grpcpp/grpcpp.h",
    *(f"/usr/share/java/{name}.jar" for name in ("grpc-netty", "gson", "netty-codec-http2", "netty-tcnative")),
)


def missing_tools() -> list[str]:
    """What stands between this machine and the native clients."""
    return [tool for tool in TOOLS if shutil.which(tool) is None] + [path for path in FILES if not Path(path).exists()]


def build() -> None:
    """A minute or two of compiling where nothing is there yet, else seconds. Raises RuntimeError where it fails."""
    (REPOSITORY / "build").mkdir(exist_ok=True)
    done = subprocess.run(
        ["clients/build.sh"], cwd=REPOSITORY, capture_output=True, text=True, timeout=580, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-4000:] + done.stderr[-4000:])


@dataclass(frozen=True, slots=True)
class Printed:
    """How a program ended and what it printed."""

    code: int
    text: str
    errors: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]


def run(program: Sequence[str], *arguments: str, given: str = "", within_s: float = 60.0) -> Printed:
    done = subprocess.run(
        [*program, *arguments], input=given, capture_output=True, text=True, timeout=within_s, check=False
    )
    return Printed(done.returncode, done.stdout, done.stderr)


class Conversation:
    """A gateway's `adapt --json` that is given one update after the other."""

    def __init__(self, program: Sequence[str], target: str, order_path: Path) -> None:
        self.printed: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [*program, "--target", target, "--json", "--channels", "2", "adapt", str(order_path), "-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10.0)

    def say(self, **update: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(update) + "\n")
        self._process.stdin.flush()

    def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next line of a kind whose fields are so; the test's own limit bounds the wait."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = json.loads(line)
            self.printed.append(found)
            if kind in found and all(found[kind].get(name) == value for name, value in fields.items()):
                answer: dict[str, Any] = found
                return answer
        raise AssertionError(f"{kind} {fields} was not printed: {self.printed[-3:]}")

    def end(self) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self.printed += [json.loads(line) for line in self._process.stdout]
        return self._process.wait(30.0)


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files of an authority, a server and two clients: one of its own, one of another authority."""

    folder: Path

    @property
    def server(self) -> tuple[bytes, bytes]:
        return (self.folder / "server.key").read_bytes(), (self.folder / "server.pem").read_bytes()

    def arguments(self, client: str) -> tuple[str, ...]:
        """Of a gateway that shows this client's certificate; empty: none."""
        shown = ("--cert", str(self.folder / f"{client}.pem"), "--key", str(self.folder / f"{client}.key"))
        return ("--ca", str(self.folder / "ca.pem"), "--server-name", "ess.test", *(shown if client else ()))


def make_certificates(folder: Path) -> Certificates:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)

    def key(name: str) -> None:
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")

    for authority in ("ca", "other"):
        key(authority)
        openssl("req", "-x509", "-new", "-key", f"{authority}.key", "-days", "2", "-subj", f"/CN={authority}",
                "-out", f"{authority}.pem")  # fmt: skip
    for name, authority in (("server", "ca"), ("client", "ca"), ("stranger", "other")):
        key(name)
        openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
        (folder / f"{name}.ext").write_text("subjectAltName=DNS:ess.test\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip
    return Certificates(folder)


class Forward(grpc.GenericRpcHandler):
    """Gives every call on to the real service, bytes to bytes."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def service(self, details: Any) -> Any:
        if details.method.endswith("/Adapt"):
            stream: Any = self._channel.stream_stream(details.method)
            return grpc.stream_stream_rpc_method_handler(lambda messages, _context: stream(messages))
        call: Any = self._channel.unary_unary(details.method)

        def unary(data: bytes, context: Any) -> bytes:
            try:
                answer: bytes = call(data, timeout=5.0)
                return answer
            except grpc.RpcError as error:
                failed: Any = error
                context.set_trailing_metadata(failed.trailing_metadata())
                context.abort(failed.code(), failed.details())
                raise

        return grpc.unary_unary_rpc_method_handler(unary)


@contextlib.contextmanager
def mutual_tls(upstream: str, certificates: Certificates) -> Iterator[str]:
    """The address of a server that asks for a client's certificate, and has the real service behind it."""
    from concurrent.futures import ThreadPoolExecutor

    credentials = grpc.ssl_server_credentials(
        [certificates.server], (certificates.folder / "ca.pem").read_bytes(), require_client_auth=True
    )
    with grpc.insecure_channel(upstream) as channel:
        server = grpc.server(ThreadPoolExecutor(8), handlers=[Forward(channel)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait(10.0)


def compile_cpp(source: Path, program: Path) -> None:
    """A program of a user's, against the gateway library as it was built."""
    asked = ["pkg-config", "--cflags", "--libs", "grpc++", "protobuf"]
    flags = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    libraries = [str(BUILT / name) for name in ("libess_gateway.a", "libexecution_strategy_stubs.a")]
    command = ["g++", "-std=c++20", "-O0", f"-I{REPOSITORY / 'clients/cpp'}", f"-I{BUILT / 'stubs'}", str(source), "-o",
               str(program), *libraries, *flags]  # fmt: skip
    subprocess.run(command, check=True, timeout=300)


def compile_java(source: Path, classes: Path) -> tuple[str, ...]:
    """The command that runs a program of a user's, compiled against the gateway library as it was built."""
    path = (BUILT / "java" / "classpath").read_text().strip()
    subprocess.run(["javac", "-d", str(classes), "-cp", path, str(source)], check=True, timeout=120)
    return ("java", "-cp", os.pathsep.join((str(classes), path)), source.stem)
