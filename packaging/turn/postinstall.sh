#!/bin/sh
set -e
if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers carillon-turn.conf
elif ! getent passwd carillon-turn >/dev/null; then
	useradd --system --home-dir /var/lib/carillon-turn --no-create-home --shell /usr/sbin/nologin carillon-turn
fi
# The secret in it is for the relay alone: "carillon-turn init" gives what it
# writes here to the owner of the folder.
install -d -m 0700 -o carillon-turn -g carillon-turn /etc/carillon-turn
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart carillon-turn.service
fi
if [ ! -e /etc/carillon-turn/relay.toml ]; then
	echo "carillon-turn: next: carillon-turn init --realm example.org -o /etc/carillon-turn/relay.toml"
fi
