#!/usr/bin/env bash
# install_test.sh: a user's project builds against an installed hugepool and runs.
#
# Usage      install_test.sh CASE BUILD_DIR CMAKE CXX
source "$(dirname "$0")/check.sh"
case_name=$1 build_dir=$2 cmake=$3 cxx=$4
consumer_dir=$(cd "$(dirname "$0")" && pwd)/consumer
prefix=$scratch/prefix
rocksdb=
[[ ! -e $build_dir/libhugepool_rocksdb.so ]] || rocksdb=1

must "installing" "$cmake" --install "$build_dir" --prefix "$prefix"
[[ -n $(find "$prefix" -name 'libhugepool.so.*') ]] || fail "no libhugepool.so.* in the installed tree"

check_run() {  # program: runs it, and checks that no part of the build tree is used
  local program=$1
  must "running the consumer" env LD_LIBRARY_PATH="$(dirname "$(find "$prefix" -name libhugepool.so)")" "$program"
  cat "$scratch/must.log"
  [[ -s $scratch/must.log ]] || fail "$program printed nothing"
}
check_linked() {  # program, shared or static
  local needed
  needed=$(readelf -d "$1" | grep -c 'NEEDED.*libhugepool')
  if [[ $2 == shared ]]; then
    ((needed >= 1)) || fail "$1 was to link libhugepool.so, and does not"
  else
    expect_equal "$needed" 0 "libhugepool.so among what the static $1 needs"
  fi
}

build_with_cmake() {  # suffix of the targets
  local target
  must "configuring the consumer" "$cmake" -G Ninja -S "$consumer_dir" -B "$scratch/build" \
    -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$prefix"
  for target in consumer ${rocksdb:+rocksdb_consumer}; do
    must "building the consumer" "$cmake" --build "$scratch/build" --target "$target$1"
    check_linked "$scratch/build/$target$1" "$([[ -n $1 ]] && echo static || echo shared)"
    check_run "$scratch/build/$target$1"
  done
}

build_with_pkg_config() {  # shared or static
  command -v pkg-config >/dev/null || skip "pkg-config is missing (Debian package pkg-config)"
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name hugepool.pc)")
  export PKG_CONFIG_PATH
  expect_equal "$(pkg-config --modversion hugepool)" \
    "$(sed -n 's/.*HUGEPOOL_VERSION_STRING "\(.*\)"/\1/p' "$prefix/include/hugepool/version.h")" "version by pkg-config"
  local name module flags libs
  for name in consumer ${rocksdb:+rocksdb_consumer}; do
    module=hugepool
    [[ $name == consumer ]] || module=hugepool-rocksdb
    flags=$(pkg-config --cflags "$module") || fail "pkg-config --cflags $module"
    if [[ $1 == static ]]; then
      # The archives in place of our libraries; the system's stay shared.
      libs=$(pkg-config --static --libs "$module" | sed -E 's/-l(hugepool[a-z_]*)/-l:lib\1.a/g')
    else
      libs=$(pkg-config --libs "$module")
    fi
    # shellcheck disable=SC2086  # flags are words
    must "compiling $name" "$cxx" -std=c++20 $flags "$consumer_dir/$name.cc" -o "$scratch/$name" $libs
    check_linked "$scratch/$name" "$1"
    check_run "$scratch/$name"
  done
}

case $case_name in
  cmake_shared) build_with_cmake "" ;;
  cmake_static) build_with_cmake _static ;;
  pkg_config_shared) build_with_pkg_config shared ;;
  pkg_config_static) build_with_pkg_config static ;;
  moved_prefix)
    mv "$prefix" "$scratch/moved"
    prefix=$scratch/moved
    build_with_cmake ""
    build_with_pkg_config shared
    ;;
  pool_bench)
    # What is measured is what users get: the benchmark is a user's project, too.
    must "configuring pool_bench" "$cmake" -G Ninja -S "$(dirname "$0")/../../bench/pool_bench" -B "$scratch/build" \
      -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Debug
    must "building pool_bench" "$cmake" --build "$scratch/build"
    check_linked "$scratch/build/pool_bench" shared
    readelf -d "$scratch/build/pool_bench" | grep -E 'R(UN)?PATH' | grep -qF "$prefix" ||
      fail "pool_bench does not load the installed library"
    must "running pool_bench" "$scratch/build/pool_bench" --subject=pool '--benchmark_filter=^pair/64/' \
      --capacity=64M --benchmark_min_time=0.001
    ;;
  *) fail "unknown case '$case_name'" ;;
esac
echo "passed"
