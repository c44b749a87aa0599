#!/bin/sh
# Builds the images of all services:
#
#   deploy/docker/build.sh                     from the sources, in Rust's official image
#   deploy/docker/build.sh --prebuilt DIR      of what `cargo xtask programs --out DIR` made
#   deploy/docker/build.sh [...] SERVICE...    of some services only
#
# REGISTRY (firewatch), VERSION (latest) and DOCKER (docker) come from the environment.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
context=$(cd "$here/../.." && pwd)
programs=built
if [ "${1:-}" = --prebuilt ]; then
    programs=prebuilt
    context=${2:?--prebuilt needs the folder of the programs}
    shift 2
fi
[ $# -gt 0 ] || set -- scraper-store rule-evaluator alert-router statsd-bridge kafka-lag-agent node-agent container-agent
for service in "$@"; do
    DOCKER_BUILDKIT=1 "${DOCKER:-docker}" build --quiet --file "$here/Dockerfile" \
        --build-arg PROGRAMS="$programs" --target "$service" \
        --tag "${REGISTRY:-firewatch}/$service:${VERSION:-latest}" "$context" >/dev/null
    echo "${REGISTRY:-firewatch}/$service:${VERSION:-latest}"
done
