#!/bin/sh
# Compiles the Java client and its tests, if anything has changed since, so that the driver of the conformance suite can
# be started: java @clients/java/target/conformance-driver.args
set -eu

here=$(cd "$(dirname "$0")" && pwd)
arguments=$here/target/conformance-driver.args

# One at a time: several tests that run side by side want it.
mkdir -p "$here/target"
exec 9>"$here/target/.conformance-driver.lock"
! command -v flock >/dev/null || flock 9

if [ ! -e "$arguments" ] || [ -n "$(find "$here/pom.xml" "$here/src" "$here/../../proto" -newer "$arguments" -print -quit)" ]; then
  "$here/../../tools/maven.sh" -q process-test-classes
  # A driver lives for seconds, and several run at once.
  {
    echo "-Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m"
    echo "-cp \"$here/target/classes:$here/target/test-classes:$(cat "$here/target/test-classpath")\""
    echo io.holdfast.conformance.ConformanceDriver
  } >"$arguments.$$"
  mv "$arguments.$$" "$arguments"
fi
