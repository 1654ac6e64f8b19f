#!/bin/sh
# Builds a tool from its pinned Go module into .cache/bin, once, and prints the path of the binary:
#   tools/build.sh etcd | etcdctl | etcdutl | grpcurl | peers | porcupine
# The last line on stdout is the path; progress goes to stderr. Any number may run at once.
set -eu

usage() {
  echo "usage: tools/build.sh etcd | etcdctl | etcdutl | grpcurl | peers | porcupine" >&2
  exit 2
}

[ $# -eq 1 ] || usage
case $1 in
  etcd) folder=etcd module=go.etcd.io/etcd/server/v3 package=$module ;;
  etcdctl) folder=etcd module=go.etcd.io/etcd/etcdctl/v3 package=$module ;;
  etcdutl) folder=etcd module=go.etcd.io/etcd/etcdutl/v3 package=$module ;;
  grpcurl) folder=grpcurl module=github.com/fullstorydev/grpcurl package=$module/cmd/grpcurl ;;
  peers | porcupine) folder=$1 module= package=. ;;
  *) usage ;;
esac

tools=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$tools")
if [ -n "$module" ]; then
  # The line in go.mod that gives the module a version; the one under `tool` has none.
  version=$(awk -v module="$module" '$1 == module && $2 != "" { print $2; exit }' "$tools/$folder/go.mod")
else
  # Sources of our own: built again when they change.
  version=$(cat "$tools/$folder"/go.* "$tools/$folder"/*.go | cksum | cut -d ' ' -f 1)
fi
binary=$root/.cache/bin/$1-$version

if [ ! -x "$binary" ]; then
  command -v go >/dev/null || {
    echo "tools/build.sh: building $1 $version needs Go 1.26 or newer on the PATH; install it from https://go.dev/dl" >&2
    exit 1
  }
  mkdir -p "$root/.cache/bin"
  echo "building $1 $version into .cache/bin (once; about a minute)" >&2
  # To a name of its own and then renamed: another run never sees half a binary.
  half=$binary.$$
  trap 'rm -f "$half"' EXIT
  trap 'exit 130' INT TERM
  (cd "$tools/$folder" && go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$half" "$package") >&2
  mv "$half" "$binary"
  echo "built $1 $version" >&2
fi
echo "$binary"
