#!/bin/sh
# Before the package is removed, not when it is upgraded ("upgrade" is dpkg's word, 1 is rpm's).
# Data, configuration and user stay.
set -e
case "$1" in upgrade | 1) exit 0 ;; esac
if [ -d /run/systemd/system ]; then
  systemctl disable --now gnomon || true
fi
exit 0
