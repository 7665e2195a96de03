#!/usr/bin/env bash
# missing_package_test.sh: where a library is missing, CMake stops and names the Debian package that holds it.
#
# Usage      missing_package_test.sh CASE SOURCE_DIR CMAKE CXX
source "$(dirname "$0")/check.sh"
case_name=$1 source_dir=$2 cmake=$3 cxx=$4

# CMake is told to overlook the folders where Debian keeps headers; what the case does not hide is handed to it.
hide=(-DCMAKE_IGNORE_PATH="/usr/include;/usr/include/$("$cxx" -dumpmachine)")
case $case_name in
  hwloc) arguments=("${hide[@]}") package=libhwloc-dev ;;
  numa) arguments=("${hide[@]}" -DHUGEPOOL_hwloc_INCLUDE=/usr/include) package=libnuma-dev ;;
  rocksdb)
    arguments=("${hide[@]}" -DHUGEPOOL_hwloc_INCLUDE=/usr/include -DHUGEPOOL_numa_INCLUDE=/usr/include)
    package=librocksdb-dev
    ;;
  benchmark) arguments=(-DCMAKE_DISABLE_FIND_PACKAGE_benchmark=ON) package=libbenchmark-dev ;;
  GTest) arguments=(-DCMAKE_DISABLE_FIND_PACKAGE_GTest=ON -DHUGEPOOL_BUILD_TESTS=ON) package=libgtest-dev ;;
  *) fail "unknown case '$case_name'" ;;
esac
status=0
"$cmake" -G Ninja -S "$source_dir" -B "$scratch/build" -DCMAKE_CXX_COMPILER="$cxx" "${arguments[@]}" \
  >"$scratch/configure.log" 2>&1 || status=$?
((status != 0)) || fail "CMake succeeded although $case_name was hidden from it"
tr '\n' ' ' <"$scratch/configure.log" | tr -s ' ' | grep -q "apt-get install.* $package" || {
  tail -n 20 "$scratch/configure.log"
  fail "CMake does not name the package $package"
}
grep -A 3 "CMake Error" "$scratch/configure.log" | tail -n 2
