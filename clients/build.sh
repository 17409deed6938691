#!/usr/bin/env bash
# Builds the gateways and the load generator into build/native (`make native`); what is built already stays.
# Usage: clients/build.sh [cpp] [java]; without words, both. Debian's packages: see clients/cpp/CMakeLists.txt and
# clients/java/build-offline.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ "$#" -gt 0 ] || set -- cpp java
for language in "$@"; do
    case $language in
    cpp)
        generator=()
        [ -e build/native/CMakeCache.txt ] || { command -v ninja >/dev/null && generator=(-G Ninja); }
        cmake -S clients/cpp -B build/native "${generator[@]}" -DCMAKE_BUILD_TYPE=Release >build/cmake.log \
            || { cat build/cmake.log >&2; exit 1; }
        # Two at a time: generated code takes some 500 MB a file.
        cmake --build build/native --parallel 2
        ;;
    java) clients/java/build-offline.sh build/native/java ;;
    *) echo "no client is written in $language" >&2; exit 2 ;;
    esac
done
