#!/usr/bin/env bash
# Builds k6-statsd, a k6 with the StatsD output, into the folder given. What is there and newer than its
# source stays. Needs Go and the Go module proxy.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")"
if [ "$folder/k6-statsd" -nt main.go ] && [ "$folder/k6-statsd" -nt go.sum ]; then
    exit 0
fi
GOFLAGS='-buildvcs=false -mod=readonly' go build -o "$folder/k6-statsd" .
