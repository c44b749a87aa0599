#!/usr/bin/env bash
# Builds Thanos from the Go module proxy: build.sh FOLDER. Takes more than ten minutes and 2 GB; CI does not do it.
set -euo pipefail
mkdir -p "$1"
cp "$(dirname "$0")/go.mod" "$1/go.mod"
cd "$1"
go build -mod=mod -tags slicelabels -trimpath -ldflags='-s -w' -o thanos github.com/thanos-io/thanos/cmd/thanos
echo "export THANOS=$PWD/thanos"
