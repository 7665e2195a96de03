#!/usr/bin/env bash
# install_test.sh: a user's project builds against an installed hugepool and runs; a user's plugin outlives its dlclose.
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

check_run() {  # program and its arguments: runs it, and checks that no part of the build tree is used
  must "running the consumer" env LD_LIBRARY_PATH="$(dirname "$(find "$prefix" -name libhugepool.so)")" "$@"
  cat "$scratch/must.log"
  [[ -s $scratch/must.log ]] || fail "$1 printed nothing"
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

# A plugin stays where it is when it is unloaded, for the kernel looks where its sequences were. host, plugin
check_plugin() {
  readelf -d "$2" | grep -q 'FLAGS_1.*NODELETE' || fail "$2 may be unloaded: it is not linked with -z nodelete"
  check_run "$1" "$2"
  grep -q 'still loaded after dlclose' "$scratch/must.log" || fail "$2 did not run to its end"
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
  must "building the plugin" "$cmake" --build "$scratch/build" --target plugin_host "plugin$1"
  check_plugin "$scratch/build/plugin_host" "$scratch/build/libplugin$1.so"
}

find_pkg_config() {
  command -v pkg-config >/dev/null || skip "pkg-config is missing (Debian package pkg-config)"
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name hugepool.pc)")
  export PKG_CONFIG_PATH
}
libs_of() {  # module, shared or static
  if [[ $2 == static ]]; then
    # The archives in place of our libraries; the system's stay shared.
    pkg-config --static --libs "$1" | sed -E 's/-l(hugepool[a-z_]*)/-l:lib\1.a/g'
  else
    pkg-config --libs "$1"
  fi
}

build_with_pkg_config() {  # shared or static
  find_pkg_config
  expect_equal "$(pkg-config --modversion hugepool)" \
    "$(sed -n 's/.*HUGEPOOL_VERSION_STRING "\(.*\)"/\1/p' "$prefix/include/hugepool/version.h")" "version by pkg-config"
  local name module flags libs
  for name in consumer ${rocksdb:+rocksdb_consumer}; do
    module=hugepool
    [[ $name == consumer ]] || module=hugepool-rocksdb
    flags=$(pkg-config --cflags "$module") || fail "pkg-config --cflags $module"
    libs=$(libs_of "$module" "$1")
    # shellcheck disable=SC2086  # flags are words
    must "compiling $name" "$cxx" -std=c++20 $flags "$consumer_dir/$name.cc" -o "$scratch/$name" $libs
    check_linked "$scratch/$name" "$1"
    check_run "$scratch/$name"
  done
  build_plugin "$cxx" "$1"
  check_plugin "$scratch/plugin_host" "$scratch/plugin.so"
  # What the test would see if our packages forgot the option: the plugin is gone. (One with the archive in it stays by
  # itself: g++ makes symbols of it unique in the process, which pins their object.)
  [[ $1 == shared ]] || return 0
  local status=0
  build_plugin "$cxx" "$1" -Wl,-z,nodelete
  LD_LIBRARY_PATH="$(dirname "$(find "$prefix" -name libhugepool.so)")" "$scratch/plugin_host" "$scratch/plugin.so" \
    >/dev/null || status=$?
  # 3 is its own word for that; SIGSEGV is the kernel's, where it looked for the sequence before the host did.
  [[ $status == 3 || $status == 139 ]] || fail "exit code of plugin_host where the plugin can be unloaded: $status, expected 3 or 139"
}
build_plugin() {  # compiler, shared or static, a link option to leave out
  local libs
  libs=$(libs_of hugepool "$2")
  [[ -z ${3-} ]] || libs=${libs//$3/}
  # shellcheck disable=SC2046,SC2086  # flags are words
  must "compiling the plugin" "$1" -std=c++20 -O2 -fPIC -shared $(pkg-config --cflags hugepool) \
    "$consumer_dir/plugin.cc" -o "$scratch/plugin.so" $libs
  must "compiling the plugin's host" "$1" -std=c++20 "$consumer_dir/plugin_host.cc" -o "$scratch/plugin_host" -pthread -ldl
}

# The inlined sequences come through link-time optimization: a program and a plugin, by this compiler. shared or static
build_with_lto() {
  find_pkg_config
  command -v "$cxx" >/dev/null || skip "$cxx is missing (Debian package ${cxx%++})"
  local flags=(-std=c++20 -O2 -flto -fPIC -pthread) program=$scratch/program sequences
  if [[ $cxx == clang++ ]]; then
    command -v ld.lld >/dev/null || skip "ld.lld is missing (Debian package lld)"
    flags+=(-fuse-ld=lld)
  fi
  cat >"$scratch/program.cc" <<'CODE'
#include <cstdio>
#include <thread>
extern "C" bool OpenPlugin();
extern "C" int RunPlugin(int round_count);
int main() {
  if (!OpenPlugin()) return 1;
  int wrong_counts[4];
  {
    std::jthread threads[4];
    for (int i = 0; i < 4; ++i) threads[i] = std::jthread([&wrong_counts, i] { wrong_counts[i] = RunPlugin(100'000); });
  }
  int wrong_count = 0;
  for (const int wrong : wrong_counts) wrong_count += wrong;
  std::printf("%d blocks wrong\n", wrong_count);
  return wrong_count == 0 ? 0 : 1;
}
CODE
  # Two units, which link-time optimization makes one.
  # shellcheck disable=SC2046  # flags are words
  must "compiling with $cxx -flto" "$cxx" "${flags[@]}" $(pkg-config --cflags hugepool) "$scratch/program.cc" \
    "$consumer_dir/plugin.cc" -o "$program" $(libs_of hugepool "$1")
  check_linked "$program" "$1"
  check_run "$program"
  sequences=$(objdump --disassemble "$program" | grep -cE '%fs:-0x4\(' || true)
  [[ $(uname -m) != x86_64 ]] || ((sequences >= 2)) || fail "$program has no restartable sequence left"
  # shellcheck disable=SC2046
  must "compiling the plugin with $cxx -flto" "$cxx" "${flags[@]}" -shared $(pkg-config --cflags hugepool) \
    "$consumer_dir/plugin.cc" -o "$scratch/plugin.so" $(libs_of hugepool "$1")
  must "compiling the plugin's host" "$cxx" -std=c++20 "$consumer_dir/plugin_host.cc" -o "$scratch/plugin_host" -pthread -ldl
  check_plugin "$scratch/plugin_host" "$scratch/plugin.so"
}

case $case_name in
  cmake_shared) build_with_cmake "" ;;
  cmake_static) build_with_cmake _static ;;
  pkg_config_shared) build_with_pkg_config shared ;;
  pkg_config_static) build_with_pkg_config static ;;
  lto_shared) build_with_lto shared ;;
  lto_static) build_with_lto static ;;
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
  preload)
    # It finds the adapter, and that its pool, beside itself; RocksDB is the program's own.
    program=$build_dir/preload_program
    [[ -x $program ]] || skip "$program was not built"
    must "running a program with the installed library preloaded" env \
      LD_PRELOAD="$(find "$prefix" -name libhugepool_rocksdb_preload.so)" HUGEPOOL_STRICT=1 \
      HUGEPOOL_OPTIONS="huge_pages=off" HUGEPOOL_REPORT_FILE="$scratch/report.json" "$program" "$scratch/db" read
    grep -q '"problem": ""' "$scratch/report.json" || fail "the report has a problem: $(<"$scratch/report.json")"
    ;;
  *) fail "unknown case '$case_name'" ;;
esac
echo "passed"
