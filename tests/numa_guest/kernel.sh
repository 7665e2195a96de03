#!/usr/bin/env bash
# kernel.sh: puts Debian's cloud kernel into a folder, without installing it, and prints the path of its vmlinuz.
#
# Shape      FOLDER/vmlinuz-VERSION; one that is there is used again, nothing is downloaded then
# Errors     exit 2 for bad input; exit 77 with the reason where no kernel can be had
# Cost       27 MB of download and 2 s the first time
set -euo pipefail

readonly package=${HUGEPOOL_GUEST_KERNEL_PACKAGE:-linux-image-cloud-amd64}

refuse() {
  echo "kernel.sh: $1" >&2
  exit "${2:-77}"
}

find_cached() { find "$1" -maxdepth 1 -name 'vmlinuz-*' -size +1M 2>/dev/null | sort -V | tail -n 1; }

# The package that holds the files: linux-image-cloud-amd64 itself is empty and depends on the newest one.
find_image_package() {
  local found
  found=$(apt-cache depends --important "$package" 2>/dev/null |
    sed -n 's/^ *|\?Depends: *\(linux-image-[0-9].*\)$/\1/p' | head -n 1)
  [[ -n $found ]] || found=$package
  echo "$found"
}

# Root would download as the user _apt, who need not be able to write here.
download() {
  local image
  image=$(find_image_package)
  (cd "$1" && apt-get -q -o APT::Sandbox::User=root download "$image" >apt.log 2>&1)
}

update_lists() {
  local as_root=()
  [[ $(id -u) -eq 0 ]] || as_root=(sudo -n)
  "${as_root[@]}" apt-get -q -o DPkg::Lock::Timeout=300 update >"$1/apt.log" 2>&1
}

[[ $# -eq 1 && $1 != -* ]] || refuse "usage: kernel.sh FOLDER" 2
folder=$1
mkdir -p "$folder"
if [[ -n ${HUGEPOOL_GUEST_KERNEL:-} ]]; then
  [[ -r $HUGEPOOL_GUEST_KERNEL ]] || refuse "HUGEPOOL_GUEST_KERNEL=$HUGEPOOL_GUEST_KERNEL cannot be read" 2
  echo "$HUGEPOOL_GUEST_KERNEL"
  exit 0
fi
cached=$(find_cached "$folder")
if [[ -n $cached ]]; then
  echo "$cached"
  exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  refuse "no apt-get here: set HUGEPOOL_GUEST_KERNEL to a kernel image with NUMA, hugetlb and serial console built in"
fi

unpacked=$(mktemp -d "$folder/unpack.XXXXXX")
trap 'rm -rf "$unpacked"' EXIT
download "$unpacked" || { update_lists "$unpacked" && download "$unpacked"; } ||
  refuse "the kernel of package $package cannot be downloaded: $(tail -n 1 "$unpacked/apt.log" 2>/dev/null)"
dpkg-deb --fsys-tarfile "$unpacked"/linux-image-*.deb | tar -x -C "$unpacked" --wildcards './boot/vmlinuz-*' ||
  refuse "package $package holds no /boot/vmlinuz"
mv "$unpacked"/boot/vmlinuz-* "$folder/"
find_cached "$folder"
