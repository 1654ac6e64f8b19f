#!/bin/sh
# The job. The token goes to whatever it writes to, which refuses smaller ones.
echo "the job runs on one host, with token $HOLDFAST_TOKEN"
sleep "${JOB_SECONDS:-3}"
exit 3
