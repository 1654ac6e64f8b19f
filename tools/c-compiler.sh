#!/bin/sh
# Sees to a C compiler, which Go's race detector needs: installs gcc where there is none and it may.
set -eu

command -v gcc >/dev/null || command -v clang >/dev/null && exit 0
echo "installing gcc" >&2
apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends gcc libc6-dev >&2 || {
  echo "tools/c-compiler.sh: go test -race needs a C compiler; install gcc" >&2
  exit 1
}
