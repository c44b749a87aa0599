#!/bin/sh
# Puts a backup made by backup.sh back. The services must be stopped.
#
#   restore.sh --from /backup/firewatch/2026-11-21T03-00-00Z --volume deploy_samples --alerts-volume deploy_alerts
#   restore.sh --from ... --data /var/lib/firewatch/scraper-store --alerts /var/lib/firewatch/alert-router
#
#   --owner USER:GROUP    whose the files become (of containers: 65534:65534, the default with volumes;
#                         otherwise they stay the data folder's owner's)
#
# What is there now is not deleted: it is moved to a folder *.before-restore beside, or in, the data folder.
set -eu

from='' data='' alerts='' owner=''
fail() { echo "restore: $*" >&2; exit 1; }
volume() { docker volume inspect --format '{{.Mountpoint}}' "$1" || fail "there is no volume $1"; }
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 needs a value"
    case $1 in
    --from) from=$2 ;;
    --data) data=$2 ;;
    --volume) data=$(volume "$2") owner=${owner:-65534:65534} ;;
    --alerts) alerts=$2 ;;
    --alerts-volume) alerts=$(volume "$2") owner=${owner:-65534:65534} ;;
    --owner) owner=$2 ;;
    *) fail "unknown option $1" ;;
    esac
    shift 2
done
[ -n "$from" ] && [ -n "$data$alerts" ] || fail "--from and --data or --alerts (or volumes) are needed"
case $from in *.partial) fail "$from was not finished" ;; esac

# put SOURCE FOLDER
put() {
    [ -d "$1" ] || fail "$1 is not in the backup"
    mkdir -p "$2"
    # The store holds this lock while it runs.
    if [ -e "$2/lock" ] && command -v fuser >/dev/null 2>&1 && fuser -s "$2/lock"; then
        fail "$2 is in use: stop the service first"
    fi
    aside=$2/$(date -u +%Y-%m-%dT%H-%M-%SZ).before-restore
    mkdir "$aside"
    for entry in "$2"/* "$2"/.[!.]*; do
        [ -e "$entry" ] || continue
        case $entry in *.before-restore | */lost+found) continue ;; esac
        mv "$entry" "$aside/"
    done
    cp -a "$1"/. "$2"/
    chown -R "${owner:-$(stat -c %u:%g "$2")}" "$2"
    echo "$2: restored; what was there is in $aside"
}
[ -z "$data" ] || put "$from/samples" "$data"
[ -z "$alerts" ] || put "$from/alerts" "$alerts"
