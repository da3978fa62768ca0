#!/bin/sh
# After the package was installed or upgraded: the user of the service, and systemd's view of it.
# The service is neither enabled nor started: it has no projection yet. One that runs is
# restarted by whoever upgrades, at a time of their choice.
set -e
if ! getent passwd gnomon >/dev/null; then
  useradd --system --user-group --home-dir /var/lib/gnomon --no-create-home --shell /usr/sbin/nologin gnomon
fi
chown gnomon:gnomon /var/lib/gnomon
chmod 0700 /var/lib/gnomon
chgrp gnomon /etc/gnomon /etc/gnomon/plugins.d /etc/gnomon/config.toml
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl is-active --quiet gnomon && echo 'gnomon: the old version still runs; restart it with: systemctl restart gnomon'
fi
exit 0
