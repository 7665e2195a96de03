#!/usr/bin/env bash
# source_build_test.sh: RocksDB is built from Debian's source package with hugepool in it as a plugin, and our tests run against that.
#
# Usage      source_build_test.sh CASE SOURCE_DIR BUILD_DIR; CASE is
#              installed  the version whose headers this machine has, under AddressSanitizer
#              newest     the newest that Debian's sid or trixie has
#              make       the same version as "installed", by RocksDB's Makefile: our files and the table of plugins only
# Owner      everything below BUILD_DIR/rocksdb_source; what is built there is kept for the next run. The machine's own package
#            lists and sources stay as they are
# Cost       half an hour each on two CPUs the first time
source "$(dirname "$0")/../../house/check.sh"
case_name=$1 source_dir=$2 build_dir=$3
work=$build_dir/rocksdb_source/$case_name
[[ $case_name != make ]] || work=$build_dir/rocksdb_source/installed
mkdir -p "$work"

command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || skip "this is no Debian system: no source package of RocksDB"

# Getting the source -------------------------------------------------------------------------------------------------

# fetch SUITE...: unpacks the newest source package of the suites into $work/rocksdb. apt's state is of our own.
fetch() {
  local mirror state=$work/apt suite keyring=/usr/share/keyrings/debian-archive-keyring.gpg version archive
  mirror=$(apt-get indextargets --format '$(ORIGIN)|$(COMPONENT)|$(CREATED_BY)|$(REPO_URI)' |
    sed -n 's/^Debian|main|Packages|//p' | grep -v security | head -n 1)
  [[ -n $mirror ]] || skip "apt knows no mirror of Debian's"
  rm -rf "$state" "$work/rocksdb"
  mkdir -p "$state"/{lists,archives}/partial "$work/rocksdb.new"
  for suite in "$@"; do printf 'deb-src [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite"; done >"$state/sources.list"
  local apt=(-q -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$state/lists"
             -o "Dir::Cache::Archives=$state/archives" -o Dir::Cache::srcpkgcache= -o Dir::Cache::pkgcache= -o APT::Sandbox::User=root)
  apt-get "${apt[@]}" update >"$scratch/apt.log" 2>&1 || skip "no source lists of $*: $(tail -n 1 "$scratch/apt.log")"
  # Of several suites the newest whose archive can be had: mirrors lag behind their lists.
  while read -r version; do
    (cd "$state" && apt-get "${apt[@]}" source --download-only "rocksdb=$version") >>"$scratch/apt.log" 2>&1
    archive=$(find "$state" -name "rocksdb_${version%-*}.orig.tar.*" ! -name '*.asc' | head -n 1)
    if [[ -n $archive ]] && tar -xf "$archive" -C "$work/rocksdb.new" --strip-components=1; then
      mv "$work/rocksdb.new" "$work/rocksdb"
      return
    fi
  done < <(apt-cache "${apt[@]}" showsrc rocksdb 2>>"$scratch/apt.log" | sed -n 's/^Version: //p' | sort -rV)
  skip "no source package of RocksDB in $*: $(tail -n 1 "$scratch/apt.log")"
}

version_of() {  # a folder with include/rocksdb/version.h
  sed -nE 's/^#define ROCKSDB_(MAJOR|MINOR|PATCH) ([0-9]+).*/\2/p' "$1/rocksdb/version.h" | paste -sd .
}

if [[ ! -d $work/rocksdb ]]; then
  case $case_name in
    newest) fetch sid trixie ;;
    *) fetch "$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)" ;;
  esac
fi
version=$(version_of "$work/rocksdb/include")
if [[ $case_name == installed ]]; then
  # Or else "the same tests, the same version, sanitized" would not be what it says.
  expect_equal "$version" "$(version_of /usr/include)" "version of the source package"
fi

# Building -----------------------------------------------------------------------------------------------------------

sanitize=
compile=(-O1 -g0)
if [[ $case_name == installed ]]; then
  sanitize=address,undefined
  compile+=(-fsanitize=address -fno-omit-frame-pointer)
fi
prefix=$work/prefix
must "configuring libhugepool" cmake -G Ninja -S "$source_dir" -B "$work/hugepool" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DHUGEPOOL_SANITIZE="$sanitize" -DHUGEPOOL_BUILD_ROCKSDB=OFF -DHUGEPOOL_BUILD_TOOLS=OFF -DHUGEPOOL_BUILD_BENCH=OFF \
  -DHUGEPOOL_BUILD_TESTS=OFF
must "building libhugepool" cmake --build "$work/hugepool"
must "installing libhugepool" cmake --install "$work/hugepool" --prefix "$prefix"
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name hugepool.pc)")
export PKG_CONFIG_PATH
rm -rf "$work/rocksdb/plugin/hugepool"
cp -r "$prefix/share/hugepool/rocksdb_plugin" "$work/rocksdb/plugin/hugepool" || fail "the plugin was not installed"

if [[ $case_name == make ]]; then
  cd "$work/rocksdb" || fail "no folder $work/rocksdb"
  objects=$(sed -n 's/^hugepool_SOURCES := //p' plugin/hugepool/hugepool.mk | tr ' ' '\n' | sed -E 's|(.*)\.cc$|plugin/hugepool/\1.o|')
  mapfile -t objects <<<"$objects"
  # Without DEPFILES, or else it looks for the headers of all of RocksDB's files first.
  command=(make DEPFILES= ROCKSDB_PLUGINS=hugepool DISABLE_WARNING_AS_ERROR=1 DEBUG_LEVEL=0)
  must "building the plugin by RocksDB's Makefile" "${command[@]}" -j2 "${objects[@]}"
  # The file with the table is made after all of RocksDB's objects; what will stand in it is seen without them.
  must "looking at the table of plugins" "${command[@]}" -n util/build_version.cc
  grep -q 'hugepool_register' "$scratch/must.log" || fail "RocksDB's table of plugins will not name ours"
  nm -C plugin/hugepool/registration.o | grep -q ' T hugepool_register' || fail "registration.o does not define its function"
  echo "passed: RocksDB $version's Makefile compiles ${#objects[@]} files of the plugin"
  exit 0
fi

options=(-DROCKSDB_PLUGINS=hugepool -DCMAKE_BUILD_TYPE=None "-DCMAKE_CXX_FLAGS=${compile[*]} -w" -DFAIL_ON_WARNINGS=OFF
         -DROCKSDB_BUILD_SHARED=OFF -DWITH_LZ4=ON -DUSE_RTTI=ON -DPORTABLE=1)
for part in TESTS ALL_TESTS BENCHMARK_TOOLS CORE_TOOLS TOOLS GFLAGS LIBURING SNAPPY; do options+=("-DWITH_$part=OFF"); done
must "configuring RocksDB $version" cmake -G Ninja -S "$work/rocksdb" -B "$work/build" "${options[@]}"
must "building RocksDB $version" cmake --build "$work/build" --target rocksdb

# Our tests, against the adapter that is in there.
tests=$source_dir/tests/engine_integration/rocksdb
must "building the tests" c++ -std=c++20 "${compile[@]}" ${sanitize:+-fsanitize=undefined} -I"$source_dir/tests" -I"$work/rocksdb/include" \
  -I"$source_dir/engine_integration/rocksdb/include" -I"$prefix/include" -o "$work/plugin_test" "$tests"/plugin_test.cc \
  "$tests"/{allocator,allocator_options,cache,new_cache,everywhere,monitoring,recording}_test.cc "$tests"/{real_database,plain_user}.cc \
  "$work/build/librocksdb.a" -L"$(dirname "$PKG_CONFIG_PATH")" -Wl,-rpath,"$(dirname "$PKG_CONFIG_PATH")" -lhugepool -llz4 \
  -lgmock -lgtest -lgtest_main -lpthread -ldl
# There the id is known without a registration: plugin_test.cc says so.
left_out=AllocatorByText.WithoutRegistrationTheIdIsNotKnown
if [[ $version == 9.* ]]; then
  echo "left out: *SecondTier*: RocksDB $version asks malloc_usable_size about blocks of any allocator in CompressedSecondaryCache"
  left_out+=:*SecondTier*:*SecondaryCache*
fi
must "the tests on RocksDB $version" "$work/plugin_test" --gtest_color=no --gtest_filter="-$left_out"
sed -n 's/^\[  PASSED  \] \([0-9]*\) tests*\./passed: \1 tests on RocksDB '"$version${sanitize:+ under AddressSanitizer}"'/p; /SKIPPED/p' \
  "$scratch/must.log" | sort | uniq -c | sed 's/^ *1 //' | tail -n 12
