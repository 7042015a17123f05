#!/bin/sh
# setup.sh [interop]   installs the Debian packages that building natively and
# testing need; with "interop" also those of the real peers: Dino, Pidgin, Gajim and Psi.
# Without root or sudo it prints the one line to run, and fails.
set -eu

build="gcc g++ libc6-dev pkg-config libopus-dev portaudio19-dev libwebrtc-audio-processing-dev libvpx-dev libaom-dev libdav1d-dev libopenh264-dev libyuv-dev
libgl1-mesa-dev libx11-dev libxcursor-dev libxrandr-dev libxinerama-dev libxi-dev libxxf86vm-dev libxkbcommon-dev libwayland-dev"
test="ca-certificates prosody lua-sec lua-event lua-unbound coturn pulseaudio pulseaudio-utils libasound2-plugins"
desktop="xvfb libgl1-mesa-dri dbus-daemon dunst gnome-keyring desktop-file-utils xdg-utils appstream
sway xwayland xdg-desktop-portal xdg-desktop-portal-wlr
pipewire pipewire-bin wireplumber gstreamer1.0-pipewire gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
interop="pidgin dino-im gajim psi libqca-qt5-2-plugins at-spi2-core libglib2.0-bin libglib2.0-dev libgstreamer1.0-dev sqlite3
gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-nice gstreamer1.0-pulseaudio gstreamer1.0-gl
glib-networking gsettings-desktop-schemas adwaita-icon-theme fonts-dejavu-core
gir1.2-atspi-2.0 python3-gi orca"

want="$build $test $desktop"
[ "${1:-}" = interop ] && want="$want $interop openssh-server openssh-client rsync" # scp and rsync: "make bench" compares with them

# Cameras are tested in a machine that QEMU emulates, with Debian's own kernel.
want="$want qemu-system-x86"

# The relay: browser, server, certificate authority, ledger, and what checks its units.
want="$want chromium ejabberd pebble redis-server rpm systemd"

# Its eBPF program: networks to test it in, and what it is compiled with.
want="$want iproute2 clang llvm libbpf-dev"

if ! command -v dpkg-query >/dev/null; then
	echo "setup: this is not Debian; install what these packages contain:" $want >&2
	exit 1
fi
missing=
for p in $want; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done

# root says how to become root: nothing, or sudo; without it, it prints line, and fails.
sudo=
root() {
	[ "$(id -u)" != 0 ] || return 0
	sudo=sudo
	# Ask for a password only where somebody can type it.
	if ! command -v sudo >/dev/null || { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; then
		echo "setup: run this line as root, then again what you ran:" >&2
		echo "$1" >&2
		exit 1
	fi
}

# kernel unpacks Debian's beside the system, for lab.RunGuest; installed it would
# become the one that this machine starts. Only its cameras are kept.
linux=${XDG_CACHE_HOME:-${HOME:?}/.cache}/carillon-lab/linux
kernel() {
	[ ! -e "$linux/vmlinuz" ] || return 0
	if [ "$(dpkg --print-architecture)" != amd64 ]; then
		echo "setup: guests are machines of amd64, whose kernel is not to be had here" >&2
		return 0
	fi
	unpack || { # what apt knows is old, or nothing
		root "apt-get update"
		$sudo apt-get update -q && unpack
	} || {
		echo "setup: Debian's kernel, in which cameras are tested, could not be fetched" >&2
		exit 1
	}
}
unpack() {
	name=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: *\(linux-image-[0-9].*\)/\1/p')
	[ -n "$name" ] || return 1
	echo "setup: unpacking $name into $linux"
	mkdir -p "$(dirname "$linux")"
	part=$(mktemp -d "$linux.XXXXXX")
	# .xz: later than Debian 12
	(
		cd "$part" && apt-get download -q "$name" && dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards \
			'./boot/vmlinuz-*' './lib/modules/*/kernel/drivers/media/*' './lib/modules/*/kernel/drivers/usb/*' './lib/modules/*/kernel/fs/configfs/*' &&
			find lib -name '*.xz' -exec xz -d {} + && mkdir linux && mv lib/modules linux/modules && mv boot/vmlinuz-* linux/vmlinuz
	) && rm -rf "$linux" && mv "$part/linux" "$linux" || {
		rm -rf "$part"
		return 1
	}
	rm -rf "$part"
}
if [ -z "$missing" ]; then
	kernel
	exit 0
fi

root "apt-get update && apt-get install -y --no-install-recommends$missing"

# Debian starts the services it installs; the tests start their own instead.
# policy-rc.d forbids that, only as long as we install.
policy=/usr/sbin/policy-rc.d
restore() {
	$sudo rm -f "$policy"
	[ ! -e "$policy.carillon" ] || $sudo mv "$policy.carillon" "$policy"
}
[ ! -e "$policy" ] || $sudo mv "$policy" "$policy.carillon"
trap restore EXIT
trap 'exit 1' HUP INT TERM
printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
$sudo chmod 755 "$policy"

echo "setup: installing$missing"
$sudo apt-get update -q
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
kernel
