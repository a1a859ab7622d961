#!/bin/sh
# SPDX-License-Identifier: MIT
#
# guest/linux/build.sh OUTDIR - makes OUTDIR/vmlinuz and OUTDIR/initrd.img, the small Linux guest.
#
# The kernel is the distribution's own, downloaded with apt-get and unpacked beside the outputs,
# never installed. The initramfs holds busybox, the virtio modules that this kernel does not have
# built in, guest/linux/init and the workload. Nothing is done again while nothing has changed;
# remove OUTDIR to take a newer kernel.
set -eu

die() {
	echo "guest/linux/build.sh: $*" >&2
	exit 1
}

[ $# -eq 1 ] || { echo "usage: guest/linux/build.sh OUTDIR" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" || die "cannot create $1"
out=$(cd "$1" && pwd)

# Two builds into one folder at once: the second waits, and then finds everything done.
if [ "${GODWIT_GUEST_LOCKED:-}" != "$out" ] && command -v flock >/dev/null; then
	GODWIT_GUEST_LOCKED=$out exec flock "$out/.lock" "$0" "$out"
fi

inputs=$(cat "$here/build.sh" "$here/init" "$here/workload.c" | sha256sum | cut -d' ' -f1)
if [ -s "$out/vmlinuz" ] && [ -s "$out/initrd.img" ] &&
	[ "$(cat "$out/stamp" 2>/dev/null)" = "$inputs" ]; then
	exit 0
fi

work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

modules="virtio_pci virtio_net virtio_blk virtio_balloon pvpanic-pci pvpanic-mmio"
required="virtio_pci virtio_net virtio_blk"

# The packages that PACKAGE depends on by name, first alternative of each, one a line.
depends_of() {
	apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Depends: //p' | head -n 1 |
		tr ',' '\n' | sed 's/|.*//; s/(.*//; s/[[:space:]]//g'
}

# Downloads PACKAGE and unpacks it into FOLDER.
unpack() {
	(cd "$work" && rm -f ./*.deb && apt-get download "$1") >"$work/apt.log" 2>&1 || {
		tail -n 3 "$work/apt.log" >&2
		die "apt-get could not download $1: check the network and run 'apt-get update' as root"
	}
	dpkg-deb -x "$work"/*.deb "$2" || die "cannot unpack $1"
	rm -f "$work"/*.deb
}

# The concrete kernel package behind the distribution's moving name.
kernel_package() {
	for meta in linux-image-cloud-"$arch" linux-image-"$arch" \
		linux-image-virtual linux-image-kvm linux-image-generic; do
		found=$(depends_of "$meta" | grep -E '^linux-image-(unsigned-)?[0-9]' | head -n 1) || true
		[ -z "$found" ] || { echo "$found"; return 0; }
	done
	return 1
}

fetch_kernel() {
	for tool in apt-get apt-cache dpkg-deb dpkg; do
		command -v $tool >/dev/null ||
			die "$tool is missing: the guest's kernel comes from Debian's or Ubuntu's archive"
	done
	arch=$(dpkg --print-architecture)
	package=$(kernel_package) || {
		[ "$(id -u)" -ne 0 ] || apt-get update >/dev/null 2>&1 || true
		package=$(kernel_package) ||
			die "no kernel package is known to apt; run 'apt-get update' as root and try again"
	}
	echo "guest: kernel from $package"
	rm -rf "$work/kernel"
	unpack "$package" "$work/kernel"
	# Ubuntu keeps the modules in a package of their own.
	extra=$(depends_of "$package" | grep -E '^linux-modules-[0-9]' | head -n 1) || true
	[ -z "$extra" ] || unpack "$extra" "$work/kernel"
	set -- "$work"/kernel/boot/vmlinu?-*
	[ -s "$1" ] || die "$package holds no kernel image"
	# Only what is needed stays: a whole module tree is large.
	cp "$1" "$work/vmlinuz"
	tree=$(find "$work/kernel" -type d -path '*lib/modules/*' -prune | head -n 1)
	[ -n "$tree" ] || die "$package holds no modules"
	mkdir "$work/modules"
	load_order "$tree" >"$work/modules/order" || exit 1
	rm -rf "$out/modules"
	mv "$work/modules" "$out/modules"
	mv "$work/vmlinuz" "$out/vmlinuz"
	rm -rf "$work/kernel"
	echo "$package" >"$out/package"
}

plain_name() {
	echo "$1" | tr - _
}

# Writes the modules in the order in which they load, each after what it depends on, and copies
# them. Packages carry no modules.dep (depmod runs at installation), so the dependencies are read
# where depmod reads them: from each module's own "depends=" line.
load_order() {
	find "$1" -name '*.ko' -o -name '*.ko.xz' -o -name '*.ko.zst' -o -name '*.ko.gz' >"$work/files"
	done_list=" "
	for m in $modules; do
		visit "$1" "$m"
	done
}

visit() {
	case "$done_list" in *" $(plain_name "$2") "*) return 0 ;; esac
	done_list="$done_list$(plain_name "$2") "
	pattern="/$(echo "$2" | sed 's/[-_]/[-_]/g')\\.ko"
	file=$(grep -E "$pattern(\\.(xz|zst|gz))?\$" "$work/files" | head -n 1) || true
	if [ -z "$file" ]; then
		grep -qE "$pattern\$" "$1/modules.builtin" 2>/dev/null && return 0
		case " $required " in
		*" $2 "*) die "the kernel $(basename "$1") has no module $2" ;;
		esac
		return 0
	fi
	name=$(basename "$file" | sed 's/\.ko.*//')
	target="$work/modules/$name.ko"
	case "$file" in
	*.xz) xz -dc "$file" >"$target" || die "xz is missing: apt-get install xz-utils" ;;
	*.zst) zstd -qdc "$file" >"$target" || die "zstd is missing: apt-get install zstd" ;;
	*.gz) gzip -dc "$file" >"$target" ;;
	*) cp "$file" "$target" ;;
	esac
	# sh has no locals but the arguments, and visit() calls itself: keep the name in one.
	set -- "$1" "$2" "$name"
	for needed in $(tr '\0' '\n' <"$target" | sed -n 's/^depends=//p' | tr ',' ' '); do
		visit "$1" "$needed"
	done
	echo "$3.ko"
}

# A static busybox: the installed one, or one unpacked from its package.
fetch_busybox() {
	for candidate in "$out/busybox" /bin/busybox /usr/bin/busybox; do
		# A static program has no interpreter: ld.so refuses to list its libraries.
		if [ -x "$candidate" ] && ! ldd "$candidate" >/dev/null 2>&1; then
			[ "$candidate" = "$out/busybox" ] || cp "$candidate" "$out/busybox"
			return 0
		fi
	done
	unpack busybox-static "$work/busybox"
	found=$(find "$work/busybox" -type f -name busybox | head -n 1)
	[ -n "$found" ] || die "busybox-static holds no busybox"
	cp "$found" "$out/busybox"
}

[ -s "$out/vmlinuz" ] && [ -s "$out/modules/order" ] && [ -s "$out/package" ] || fetch_kernel
fetch_busybox

${CC:-cc} -std=gnu17 -O2 -Wall -Wextra -static -pthread -D_GNU_SOURCE \
	-o "$work/workload" "$here/workload.c" ||
	die "the workload does not compile: is a C compiler with a static libc there (gcc, libc6-dev)?"

root="$work/root"
mkdir -p "$root/bin" "$root/modules" "$root/proc" "$root/sys" "$root/dev"
cp "$out/busybox" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
cp "$here/init" "$root/init"
chmod 755 "$root/init" "$root/bin/busybox"
cp "$work/workload" "$root/bin/workload"
cp "$out"/modules/* "$root/modules/"
(cd "$root" && find . | LC_ALL=C sort | "$out/busybox" cpio -o -H newc -R 0:0) 2>"$work/cpio.log" |
	gzip -1 >"$work/initrd.img" || true
[ -s "$work/initrd.img" ] && gzip -dc "$work/initrd.img" | grep -qa 'TRAILER!!!' || {
	cat "$work/cpio.log" >&2
	die "cannot pack the initramfs"
}
mv "$work/initrd.img" "$out/initrd.img"
echo "$inputs" >"$out/stamp"
