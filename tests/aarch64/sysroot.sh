#!/usr/bin/env bash
# sysroot.sh: unpacks the arm64 packages of Debian that the AArch64 tests link and run with below a folder. Nothing is
# installed: apt gets lists of its own, and the system's stay as they are.
#
# Shape      FOLDER/root: the unpacked packages; FOLDER/apt.conf: what APT_CONFIG names, so that apt speaks of arm64
# Errors     exit 2 for bad input; exit 77 with the reason where the packages cannot be had
# Cost       9 MB of package lists, 6 MB of packages and 5 s the first time; milliseconds when they are there
set -euo pipefail

# What is linked or run, each with what it needs in turn. The compiler's own C library is linked, this one is run.
readonly packages=(libc6 libgcc-s1 libstdc++6 libhwloc-dev libhwloc15 libudev1 libnuma-dev libnuma1
                   libgtest-dev libgmock-dev nlohmann-json3-dev busybox-static)

refuse() {
  echo "sysroot.sh: $1" >&2
  exit "${2:-77}"
}

# Root would download as the user _apt, who need not be able to write here.
write_apt_config() {
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
  : >"$folder/status"
  cat >"$folder/apt.conf" <<CONFIG
APT::Architecture "arm64";
#clear APT::Architectures;
APT::Architectures:: "arm64";
APT::Sandbox::User "root";
Dir::State::lists "$folder/lists";
Dir::State::status "$folder/status";
Dir::Cache "$folder/cache";
CONFIG
}

unpack() {
  local archive
  (cd "$unpacked" && apt-get -q download "${packages[@]}") || return
  mkdir "$unpacked/root"
  for archive in "$unpacked"/*.deb; do
    dpkg-deb --extract "$archive" "$unpacked/root" || return
  done
  # Newer Debian packages have these folders below /usr only.
  for archive in bin lib; do
    [[ -e $unpacked/root/$archive ]] || ln -s "usr/$archive" "$unpacked/root/$archive"
  done
}

[[ $# -eq 1 && $1 != -* ]] || refuse "usage: sysroot.sh FOLDER" 2
[[ $(uname -m) != aarch64 ]] || refuse "this machine is AArch64 itself: the other tests run these sequences natively"
for tool in apt-get dpkg-deb aarch64-linux-gnu-g++; do
  command -v "$tool" >/dev/null || refuse "$tool is missing; on Debian, tools/packages.sh test installs what is needed"
done
mkdir -p "$1"
folder=$(cd "$1" && pwd)
if [[ "$(cat "$folder/root/packages" 2>/dev/null)" == "${packages[*]}" ]]; then exit 0; fi

write_apt_config
export APT_CONFIG=$folder/apt.conf
unpacked=$(mktemp -d "$folder/unpack.XXXXXX")
trap 'rm -rf "$unpacked"' EXIT
{ apt-get -q update && unpack; } >"$folder/apt.log" 2>&1 ||
  refuse "Debian's packages for arm64 cannot be had: $(tail -n 1 "$folder/apt.log")"
echo "${packages[*]}" >"$unpacked/root/packages"
rm -rf "$folder/root"
mv "$unpacked/root" "$folder/root"
