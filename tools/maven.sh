#!/bin/sh
# Runs Maven for the Java parts, with a repository of the project's own below .cache, so that nothing in the home folder
# is read or left:
#   tools/maven.sh -q test
# Where JDK 17 or Maven is missing it installs them from Debian's packages as root, or says what to do.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)

has_java() {
  version=$(javac -version 2>/dev/null | sed -n 's/^javac \([0-9]*\).*/\1/p')
  [ "${version:-0}" -ge 17 ] && command -v mvn >/dev/null
}

if ! has_java; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "tools/maven.sh: the Java client needs a JDK of version 17 or newer and Maven 3.8 or newer on the PATH:" >&2
    echo "  apt-get install openjdk-17-jdk-headless maven" >&2
    exit 1
  fi
  echo "installing JDK 17 and Maven (once; about a minute)" >&2
  (
    # One at a time: the other test runs on this machine want the same.
    mkdir -p "$root/.cache" && exec 9>"$root/.cache/apt.lock" && { ! command -v flock >/dev/null || flock 9; }
    has_java || {
      apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        openjdk-17-jdk-headless maven
    } >&2
  )
fi

cd "$root"
exec mvn -B -f clients/java/pom.xml -Dmaven.repo.local="$root/.cache/m2" "$@"
