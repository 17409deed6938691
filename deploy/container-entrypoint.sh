#!/bin/sh
# Prepares the writable volume, then becomes the command that was asked for (so that it gets the signals).
set -eu

home=${HOME:?}
mkdir -p "$TMPDIR" "$ESS_DATA_DIR"
# The image's own compiled code, each time: a volume may come from an older image.
fresh=$(mktemp -d "$home/.numba-cache.XXXXXX")
cp -R /opt/ess/numba-cache/. "$fresh"
rm -rf "$NUMBA_CACHE_DIR"
mv "$fresh" "$NUMBA_CACHE_DIR"

exec "$@"
