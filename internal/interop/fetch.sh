#!/usr/bin/env bash
# Unpacks the mail servers that "make interop" needs besides Dovecot, from Debian's packages, into
# a cache. Nothing is installed: they conflict with each other. What the machine already has of
# their dependencies is not fetched.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/popferry-interop

servers=(
	"cyrus cyrus-imapd cyrus-pop3d sasl2-bin"
	"courier courier-imap courier-pop"
	"popa3d popa3d"
	"mailutils mailutils-imap4d mailutils-pop3d"
)

# unpack NAME PACKAGE... puts the packages, and what of their dependencies is missing, into a
# directory, which appears only when it is complete.
unpack() {
	local name=$1 new files
	shift
	new=$(mktemp -d "$cache/.$name.XXXXXX")
	mkdir -p "$new/tree/usr/bin" "$new/tree/usr/sbin" "$new/tree/usr/lib" "$new/tree/usr/lib64"
	ln -s usr/bin usr/sbin usr/lib usr/lib64 "$new/tree/"
	mapfile -t files < <(apt-get install --simulate --no-install-recommends "$@" |
		awk '$1 == "Inst" { print $2 }')
	if [ "${#files[@]}" -gt 0 ]; then
		(cd "$new" && apt-get download -qq -o APT::Sandbox::User=root "${files[@]}")
		for deb in "$new"/*.deb; do
			dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$new/tree"
		done
	fi
	mv "$new/tree" "$cache/$name"
	rm -rf -- "$new"
	echo "unpacked: $*"
}

mkdir -p "$cache"
updated=
for line in "${servers[@]}"; do
	read -r -a words <<<"$line"
	[ ! -d "$cache/${words[0]}" ] || continue
	if [ -z "$updated" ]; then
		apt-get update -qq
		updated=yes
	fi
	unpack "${words[@]}"
done
