#!/usr/bin/env bash
# try.sh FILE.deb: installs a package, runs the engine that it has on the configuration that it
# has, as the user of the service, and removes it again. As root or with sudo, on a machine where
# nothing of that is yet.
set -euo pipefail
deb=$(realpath "$1")
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
say() { printf 'try: %s\n' "$1"; }

[ ! -e /usr/bin/engine ] && [ ! -e /etc/gnomon ] || { echo 'try: gnomon is installed already' >&2; exit 1; }
as_root dpkg -i "$deb" >/dev/null
clean() {
  [ -z "${engine:-}" ] || as_root kill "$engine" 2>/dev/null || true
  as_root dpkg -P gnomon >/dev/null 2>&1 || true
  as_root rm -rf /var/lib/gnomon /etc/gnomon
  as_root userdel gnomon 2>/dev/null || true
  rm -f "${log:-}"
}
trap clean EXIT

engine version
[ "$(stat -c '%U %a' /var/lib/gnomon)" = 'gnomon 700' ] || { say 'the data directory is not its own'; exit 1; }
[ "$(stat -c '%G %a' /etc/gnomon/config.toml)" = 'gnomon 640' ] || { say 'others may read the configuration'; exit 1; }
man --path engine >/dev/null 2>&1 || [ -e /usr/share/man/man1/engine.1 ] || [ -e /usr/share/man/man1/engine.1.gz ] || { say 'there is no manual page'; exit 1; }

log=$(mktemp)
as_root setpriv --reuid=gnomon --regid=gnomon --clear-groups --no-new-privs sh -c 'cd /var/lib/gnomon && exec engine run --config /etc/gnomon/config.toml' >/dev/null 2>"$log" &
for _ in $(seq 100); do
  engine health >/dev/null 2>&1 && break
  sleep 0.1
done
engine health || { cat "$log"; exit 1; }
engine=$(pgrep -u gnomon -x engine)
as_root kill -TERM "$engine"
wait || true
engine=
as_root dpkg -r gnomon >/dev/null
[ ! -e /usr/bin/engine ] || { say 'the program stays'; exit 1; }
[ -e /etc/gnomon/config.toml ] && [ -d /var/lib/gnomon ] || { say 'configuration or data went away with the package'; exit 1; }
say 'installed, ran, removed; data and configuration stayed'
