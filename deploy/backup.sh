#!/bin/sh
# Copies what would be missed: samples, alerts with silences, configuration.
#
#   backup.sh --to /backup/firewatch --volume deploy_samples --alerts-volume deploy_alerts
#   backup.sh --to /backup/firewatch --data /var/lib/firewatch/scraper-store --alerts /var/lib/firewatch/alert-router
#
#   --to DIR              where backups are kept, one folder each, named by its time (UTC)
#   --data DIR            the store's data folder, or
#   --volume NAME         the Docker volume that holds it (as root)
#   --alerts DIR, --alerts-volume NAME   the same of alert-router; left out: not copied
#   --config DIR          left out: the folder config beside this script
#   --url URL             the store (http://localhost:9090); it needs --web.enable-admin-api
#   --keep N              how many backups stay (7)
#
# The store makes a snapshot, of hard links and of what is in memory, and goes on; it is copied and
# removed. Blocks that the last backup has already are linked to it. A backup that did not get done is
# never taken for one: it is called *.partial until it is whole.
set -eu

to='' data='' alerts='' url=http://localhost:9090 keep=7
config=$(cd "$(dirname "$0")" && pwd)/config
fail() { echo "backup: $*" >&2; exit 1; }
volume() { docker volume inspect --format '{{.Mountpoint}}' "$1" || fail "there is no volume $1"; }
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 needs a value"
    case $1 in
    --to) to=$2 ;;
    --data) data=$2 ;;
    --volume) data=$(volume "$2") ;;
    --alerts) alerts=$2 ;;
    --alerts-volume) alerts=$(volume "$2") ;;
    --config) config=$2 ;;
    --url) url=$2 ;;
    --keep) keep=$2 ;;
    *) fail "unknown option $1" ;;
    esac
    shift 2
done
[ -n "$to" ] && [ -n "$data" ] || fail "--to and --data (or --volume) are needed"
[ -d "$data" ] || fail "$data is no folder"
case $keep in '' | *[!0-9]* | 0) fail "--keep $keep: a number from 1 on is needed" ;; esac

mkdir -p "$to"
# One at a time.
exec 9>"$to/.lock"
flock -n 9 || fail "another backup to $to is under way"
last=$(find "$to" -mindepth 1 -maxdepth 1 -type d -name '*Z' | sort | tail -n 1)
name=$(date -u +%Y-%m-%dT%H-%M-%SZ)
partial=$to/$name.partial
rm -rf "$to"/*.partial
mkdir -p "$partial/samples"

answer=$(curl --silent --show-error --fail-with-body -X POST "$url/api/v1/admin/tsdb/snapshot") ||
    fail "no snapshot of $url: $answer"
snapshot=$(printf '%s' "$answer" | sed -n 's/.*"name":"\([^"]*\)".*/\1/p')
[ -n "$snapshot" ] && [ -d "$data/snapshots/$snapshot" ] ||
    fail "the snapshot is not in $data/snapshots: is that the data folder of $url? It answered $answer"
trap 'rm -rf "$data/snapshots/$snapshot"' EXIT

for block in "$data/snapshots/$snapshot"/*; do
    [ -e "$block" ] || continue
    old=$last/samples/${block##*/}
    if [ -n "$last" ] && [ -d "$old" ] && diff -q "$block/meta.json" "$old/meta.json" >/dev/null 2>&1 &&
        cmp -s "$block/tombstones" "$old/tombstones"; then
        cp -al "$old" "$partial/samples/"
    else
        cp -a "$block" "$partial/samples/"
    fi
done
# alert-router's log is only added to; a last record that was being written is passed over at the start.
[ -z "$alerts" ] || cp -a "$alerts" "$partial/alerts"
[ ! -d "$config" ] || cp -a "$config" "$partial/config"

sync "$partial" 2>/dev/null || sync
mv "$partial" "$to/$name"
find "$to" -mindepth 1 -maxdepth 1 -type d -name '*Z' | sort | head -n "-$keep" | while read -r old; do
    rm -rf "$old"
done
echo "$to/$name"
