#!/usr/bin/env bash
# Builds the Java gateway from Debian's packages alone, without Maven and without a network:
#   default-jdk-headless protobuf-compiler protobuf-compiler-grpc-java-plugin libgrpc-java libprotobuf-java libnetty-java
#   libnetty-tcnative-java libperfmark-java libguava-java libgoogle-gson-java libgeronimo-annotation-1.3-spec-java
# Usage: build-offline.sh OUT; then OUT/ess-gateway-java runs it, and OUT/classpath is what a program of your own needs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
contract=$here/../../generated/contract.binpb

jars=
for name in protobuf protobuf-util grpc-api grpc-core grpc-context grpc-stub grpc-protobuf grpc-protobuf-lite grpc-netty \
        netty-buffer netty-codec netty-codec-http netty-codec-http2 netty-codec-socks netty-common netty-handler \
        netty-handler-proxy netty-resolver netty-transport netty-tcnative perfmark-api guava gson geronimo-annotation-1.3-spec; do
    jar=/usr/share/java/$name.jar
    [ -e "$jar" ] || { echo "$jar is missing; see the packages at the top of this file" >&2; exit 1; }
    jars=$jars:$jar
done
jars=${jars#:}

# The stubs take most of the time, and change with the contract only.
stamp=$(sha256sum "$contract" | cut -c1-16)
stubs=$out/stubs-$stamp.jar
if [ ! -e "$stubs" ]; then
    rm -rf "$out/stub-classes" "$out"/stubs-*.jar
    mkdir -p "$out/stub-classes"
    "$here/generate-stubs.sh" "$out/stubs" protoc "$(command -v grpc_java_plugin)" google/api/annotations.proto \
        google/api/http.proto google/rpc/status.proto google/rpc/error_details.proto
    find "$out/stubs" -name '*.java' >"$out/stub-sources"
    javac -nowarn -proc:none -Xlint:none -d "$out/stub-classes" -cp "$jars" "@$out/stub-sources" 2>"$out/stubs.log" \
        || { cat "$out/stubs.log" >&2; exit 1; }
    jar --create --file "$stubs.new" -C "$out/stub-classes" .
    mv "$stubs.new" "$stubs"
fi

# Debian's netty has no ALPN over the JDK's TLS, so TLS is OpenSSL's, by netty-tcnative. The library is looked for under
# another name than Debian gives it, and refuses to be a link.
mkdir -p "$out/native"
cp /usr/lib/*/jni/libnetty-tcnative.so "$out/native/libnetty_tcnative.so"

rm -rf "$out/classes"
mkdir -p "$out/classes"
javac -Xlint:all,-processing,-serial -Werror -d "$out/classes" -cp "$stubs:$jars" \
    "$here"/src/main/java/org/execution_strategy/gateway/*.java
echo "$out/classes:$stubs:$jars" >"$out/classpath"
cat >"$out/ess-gateway-java" <<RUN
#!/bin/sh
exec java -Djava.library.path="$out/native" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$out/classes:$stubs:$jars" org.execution_strategy.gateway.Main "\$@"
RUN
chmod +x "$out/ess-gateway-java"
