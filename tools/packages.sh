#!/usr/bin/env bash
# packages.sh: the one list of Debian packages that this project needs, and the one place that installs them.
#
# Shape      a group of packages for each purpose: build, bench, test
# Errors     exit 2 with the one line that installs what is missing, where this script may not do so itself
# Cost       milliseconds when everything is there; otherwise what apt takes
set -u

build_packages=(g++ cmake ninja-build pkg-config git libhwloc-dev libnuma-dev librocksdb-dev libcli11-dev libfmt-dev
                nlohmann-json3-dev)
# Boost by its version: the unversioned libboost-dev is another one, and the two cannot be installed together.
bench_packages=(libbenchmark-dev libboost1.81-dev libjs-chart.js libjemalloc2 libgoogle-perftools4 libtcmalloc-minimal4
                libmimalloc2.0 libtbbmalloc2)
test_packages=(clang clang-format clang-tidy libgtest-dev libgmock-dev qemu-system-x86 busybox-static cpio valgrind
                lld spin g++-aarch64-linux-gnu qemu-system-arm qemu-user rocksdb-tools make)

usage() {
  cat <<'TEXT'
usage: tools/packages.sh [--list | --missing] GROUP...

Installs the Debian packages of each GROUP that are missing: with apt as root, through sudo where that needs no
password, and otherwise not at all: then it prints the line that does and exits 2.

  GROUP      build   compilers' and libraries' packages for the pool, the tools and kv_bench
             bench   the allocators that kv_bench and pool_bench compare, and the charts of their reports
             test    what the tests need on top
  --list     print the packages, install nothing
  --missing  print those that are missing, install nothing
TEXT
}

list_groups() {
  local group
  for group in "$@"; do
    case $group in
      build) printf '%s\n' "${build_packages[@]}" ;;
      bench) printf '%s\n' "${bench_packages[@]}" ;;
      test) printf '%s\n' "${test_packages[@]}" ;;
    esac
  done
}

# Of the packages on standard input, those that dpkg does not report as installed.
keep_missing() {
  local package
  while read -r package; do
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
  done
}

install_packages() {
  local as_root=()
  [[ $(id -u) -eq 0 ]] || as_root=(sudo -n)
  export DEBIAN_FRONTEND=noninteractive
  # A machine that was just set up may be busy with its own updates: wait for the lock instead of failing.
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  # Package lists may be old without harm: look for newer ones only where the install fails without.
  "${apt[@]}" install -y --no-install-recommends "$@" && return 0
  echo "apt's lists do not serve: updating them"
  "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$@"
}

action=install
groups=()
while (($# > 0)); do
  case $1 in
    --list) action=list ;;
    --missing) action=missing ;;
    --help) usage; exit 0 ;;
    build | bench | test) groups+=("$1") ;;
    *)
      echo "packages.sh: unknown argument '$1'. Allowed: --list, --missing, --help, build, bench, test." >&2
      exit 2
      ;;
  esac
  shift
done
if ((${#groups[@]} == 0)); then
  echo "packages.sh: name at least one group: build, bench or test." >&2
  exit 2
fi

if [[ $action == list ]]; then
  list_groups "${groups[@]}"
  exit 0
fi
if ! command -v dpkg-query >/dev/null; then
  echo "packages.sh: this is no Debian system (dpkg-query is missing). Install what these packages hold:" >&2
  list_groups "${groups[@]}" | tr '\n' ' ' >&2
  echo >&2
  exit 2
fi
mapfile -t missing < <(list_groups "${groups[@]}" | keep_missing)
if [[ $action == missing ]]; then
  ((${#missing[@]} == 0)) || printf '%s\n' "${missing[@]}"
  exit 0
fi
if ((${#missing[@]} == 0)); then
  echo "all packages are installed"
  exit 0
fi
mend="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
if [[ $(id -u) -ne 0 ]] && ! sudo -n true 2>/dev/null; then
  echo "packages.sh: missing: ${missing[*]}" >&2
  echo "packages.sh: not root, and sudo is not to be had without a password. This line installs them:" >&2
  echo "sudo sh -c '$mend'" >&2
  exit 2
fi
echo "installing ${#missing[@]} packages: ${missing[*]}"
if ! install_packages "${missing[@]}"; then
  echo "packages.sh: apt failed. Look at its messages above, mend that, then: $mend" >&2
  exit 1
fi
mapfile -t missing < <(list_groups "${groups[@]}" | keep_missing)
if ((${#missing[@]} > 0)); then
  echo "packages.sh: apt succeeded, yet these are missing: ${missing[*]}" >&2
  exit 1
fi
