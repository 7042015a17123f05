#!/bin/sh
set -e
# DPKG_ROOT is where dpkg installs when that is not this machine.
root=${DPKG_ROOT:-}
if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers --root="$root/" carillon-turn.conf
elif ! getent passwd carillon-turn >/dev/null; then
	useradd ${root:+--root "$root"} --system --home-dir /var/lib/carillon-turn --no-create-home --shell /usr/sbin/nologin carillon-turn
fi
# The secret in it is for the relay alone: "carillon-turn init" gives what it
# writes here to the owner of the folder.
owner=$(sed -n 's/^carillon-turn:[^:]*:\([0-9]*:[0-9]*\):.*/\1/p' "$root/etc/passwd")
mkdir -p "$root/etc/carillon-turn"
chown "$owner" "$root/etc/carillon-turn"
chmod 0700 "$root/etc/carillon-turn"
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart carillon-turn.service
fi
if [ ! -e "$root/etc/carillon-turn/relay.toml" ]; then
	echo "carillon-turn: next: carillon-turn init --realm example.org -o /etc/carillon-turn/relay.toml"
fi
