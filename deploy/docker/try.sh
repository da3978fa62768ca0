#!/usr/bin/env bash
# try.sh IMAGE: runs the image as it should be run, without rights and with a root that cannot be
# written, and waits until it says of itself that it is healthy.
set -euo pipefail
tokens=$(mktemp)
echo correct-horse-battery >"$tokens"
chmod 0444 "$tokens"
id=$(docker run -d --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp \
  --health-interval 1s --health-start-period 0s -v "$tokens:/run/secrets/gnomon-tokens:ro" "$1")
trap 'docker rm -f "$id" >/dev/null; rm -f "$tokens"' EXIT
for _ in $(seq 60); do
  state=$(docker inspect -f '{{.State.Health.Status}}' "$id")
  [ "$state" = healthy ] && break
  sleep 1
done
docker logs "$id"
[ "$state" = healthy ] || { echo "try: the container is $state"; exit 1; }
docker exec -e GNOMON_TOKEN=correct-horse-battery "$id" /usr/bin/engine status
docker stop -t 30 "$id" >/dev/null
[ "$(docker inspect -f '{{.State.ExitCode}}' "$id")" = 0 ] || { echo 'try: it did not end by itself'; exit 1; }
