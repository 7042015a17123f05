#!/bin/sh
set -e
# "upgrade" (deb) and 1 (rpm) are no removals.
case "$1" in
upgrade | 1) exit 0 ;;
esac
if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
	systemctl disable --now carillon-turn.socket carillon-turn.service
fi
