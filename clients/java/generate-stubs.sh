#!/usr/bin/env bash
# Writes the contract's Java stubs. Usage: generate-stubs.sh OUT [PROTOC [GRPC_JAVA_PLUGIN [more.proto ...]]]
# google.api and google.rpc are left to the dependency that has them (Maven); build-offline.sh names them as more.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$1
protoc=${2:-protoc}
plugin=${3:-$(command -v grpc_java_plugin)}
shift $(($# < 3 ? $# : 3))
rm -rf "$out"
mkdir -p "$out"
protos=(buf/validate/validate.proto)
for name in enums request response adaptation market_data overview replay events status service; do
    protos+=("execution_strategy/v1/$name.proto")
done
"$protoc" --descriptor_set_in="$here/../../generated/contract.binpb" --java_out="$out" --grpc_out="$out" \
    --plugin=protoc-gen-grpc="$plugin" "${protos[@]}" "$@"
