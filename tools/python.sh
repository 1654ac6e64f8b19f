#!/bin/sh
# Makes a Python with the pinned gRPC generator in .cache, once, and prints the path of its interpreter on the last
# line of stdout; progress goes to stderr. Debian ships Python without venv: installs that where it may.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
generator=grpcio-tools==1.85.1
runtime=protobuf==7.36.2
# Without "=", which env would take for an assignment.
folder=$root/.cache/python-$(echo "$generator-$runtime" | tr -d =)

if [ ! -e "$folder/complete" ]; then
  python3 -c 'import ensurepip, venv' 2>/dev/null || {
    echo "installing python3-venv" >&2
    apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends python3 python3-venv >&2 || {
      echo "tools/python.sh: needs Python 3.10 or newer with venv; install the package python3-venv" >&2
      exit 1
    }
  }
  mkdir -p "$root/.cache"
  # One at a time: an environment cannot be renamed into place.
  exec 9>"$folder.lock"
  if command -v flock >/dev/null; then flock 9; fi
  if [ ! -e "$folder/complete" ]; then
    echo "installing $generator into .cache (once)" >&2
    rm -rf "$folder"
    python3 -m venv "$folder" >&2
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$generator" "$runtime" >&2
    touch "$folder/complete"
  fi
fi
echo "$folder/bin/python"
