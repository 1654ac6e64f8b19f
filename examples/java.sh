#!/bin/sh
# Runs a program in Java, from its one file, with the client of this repository; the file is one of the examples, or any
# by its whole path: examples/java.sh price-change/PriceChange.java
set -eu
examples=$(cd "$(dirname "$0")" && pwd)
java=$examples/../clients/java
# Compiles the client, if anything has changed since.
"$java/conformance-driver.sh" >&2
case $1 in
  /*) file=$1 ;;
  *) file=$examples/$1 ;;
esac
shift
exec java -XX:TieredStopAtLevel=1 -cp "$java/target/classes:$(cat "$java/target/test-classpath")" "$file" "$@"
