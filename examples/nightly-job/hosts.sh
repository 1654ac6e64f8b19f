#!/bin/sh
# The crontab of each of three hosts has the same line, and one of them runs the job:
#   0 3 * * * holdfast lock --try nightly -- ./job.sh
# Here the three hosts are three processes. Says what each of them ended with.
cd "$(dirname "$0")" || exit 1
for host in 1 2 3; do
  HOST=$host holdfast lock --try nightly -- ./job.sh 2>/dev/null &
  pids="$pids $!"
done
ran=0 skipped=0
for pid in $pids; do
  wait "$pid"
  case $? in
    3) ran=$((ran + 1)) ;;      # the exit code of the job
    201) skipped=$((skipped + 1)) ;; # somebody else holds the lock
  esac
done
echo "$ran ran the job, $skipped left it to another"
