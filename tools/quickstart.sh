#!/usr/bin/env bash
# quickstart.sh: from a bare Debian 12 to a measured result: RocksDB's block cache on malloc, on its peers and on huge pages.
#
# Shape      packages, build, a look at the machine, a database, the measurement, the report
# Owner      huge pages are reserved by tools/huge_pages.sh for as long as the measurement runs
# Errors     exit 2 for bad input or missing packages, otherwise the exit code of the step that failed
# Cost       under 6 minutes on two CPUs the first time; later only the measurement
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
log_file=build/quickstart.log
readonly build_dir=build/release
readonly report=build/report

usage() {
  cat <<'TEXT'
usage: ./tools/quickstart.sh [OPTION]...

Installs what is missing, builds, makes a real RocksDB database, and reads it through block caches on different
allocators. Prints a table and writes build/report/index.html. Where it may, it reserves huge pages for the measurement
and puts the count back afterwards; otherwise it says what that costs.

  --records N   records of 16 + 400 bytes in the database, 10000 to 1000000000 (default: 2000000, less on a machine with
                little memory)
  --rounds N    rounds of each allocator, 1 to 100 (default 3)
  --seconds N   length of one round, 1 to 600 (default 2)
  --all         every allocator that kv_bench knows, also the peers without their huge-page settings
  --fresh       make the database anew (it stays in build/quickstart_db otherwise)
TEXT
}

refuse() {
  echo "quickstart.sh: $*" >&2
  exit 2
}

records=
rounds=3
seconds=2
allocators=malloc,malloc-thp,jemalloc-thp,tcmalloc-thp,mimalloc-thp,hugepool-small,hugepool-thp
allocators+=,hugepool-hugetlb,hugepool-hugetlb+jemalloc-thp
fresh=

# take_number OPTION VALUE LEAST MOST: the number, or the end with what is allowed.
take_number() {
  [[ $2 =~ ^[0-9]{1,10}$ ]] && ((10#$2 >= $3 && 10#$2 <= $4)) ||
    refuse "$1 is '$2'. Allowed: a whole number, $3 to $4. For example: $1 $5"
  number=$((10#$2))
}
while (($# > 0)); do
  # --records=5 is as good as --records 5.
  [[ $1 != --*=* ]] || set -- "${1%%=*}" "${1#*=}" "${@:2}"
  case $1 in
    --help) usage; exit 0 ;;
    --all) allocators=all ;;
    --fresh) fresh=1 ;;
    --records | --rounds | --seconds)
      (($# >= 2)) || refuse "$1 needs a value. See ./tools/quickstart.sh --help."
      case $1 in
        --records) take_number "$1" "$2" 10000 1000000000 2000000; records=$number ;;
        --rounds) take_number "$1" "$2" 1 100 3; rounds=$number ;;
        --seconds) take_number "$1" "$2" 1 600 2; seconds=$number ;;
      esac
      shift
      ;;
    *) refuse "unknown argument '$1'. Allowed: --records, --rounds, --seconds, --all, --fresh, --help." ;;
  esac
  shift
done

source tools/step.sh

# Free disk and memory that the database and one cache take, about: 430 B a record.
if [[ -z $records ]]; then
  available_kib=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  records=$((available_kib * 1024 / 8 / 430 / 100000 * 100000))
  records=$((records > 2000000 ? 2000000 : records < 100000 ? 100000 : records))
fi
mkdir -p build
disk_kib=$(df -Pk build | awk 'NR == 2 { print $4 }')
needed_kib=$((records * 430 / 1024 + (1 << 20)))
[[ -n $fresh || ! -d build/quickstart_db ]] && ((disk_kib < needed_kib)) &&
  refuse "--records is $records: that takes $((needed_kib >> 10)) MiB of disk, and $((disk_kib >> 10)) MiB are free." \
    "Allowed: what fits. For example: --records 100000"

: >"$log_file"
echo "hugepool quickstart: about 5 minutes the first time; details in $log_file"
run_step "packages" tools/packages.sh build bench || exit $?
run_step "configure" cmake --preset release -DHUGEPOOL_BUILD_TESTS=OFF -DHUGEPOOL_BUILD_BENCH=ON -DHUGEPOOL_BUILD_TOOLS=ON \
  -DHUGEPOOL_BUILD_ROCKSDB=ON || exit $?
run_step "build" cmake --build "$build_dir" --target kv_bench hugepool_tool || exit $?

[[ -z $fresh ]] || rm -rf build/quickstart_db
bench=("$build_dir/kv_bench" --db build/quickstart_db --records "$records" --value_bytes 400 --block_bytes 4096)
# Each of the two rows on reserved pages has a pool of its own.
pages=$("${bench[@]}" --huge_pages_needed) || exit $?
pages=$((2 * pages))

echo
echo "What this machine is, and whether the measurement's huge pages are there (hugepool check --need $((pages * 2))M):"
"$build_dir/hugepool" check --need "$((pages * 2))M"
echo

# How many huge pages there can be, and whether they may be reserved.
may_reserve=1
affordable=$(tools/huge_pages.sh affordable 2>>"$log_file") || may_reserve=
if ((${affordable:-0} < pages)); then
  if [[ -z $may_reserve ]]; then
    cat <<TEXT
Not root, and no sudo without a password: no huge pages can be reserved, and ${affordable:-0} of $pages are free. The
measurement goes on without its rows on reserved pages; the pool runs on transparent huge pages there, which costs:
filling the cache takes longer, since the kernel puts each page together when it is first needed; nothing is promised,
on fragmented memory it may decline and leave 4 KiB pages; and it may move pages to another node later.
This line reserves them, then start again:
    echo $pages | sudo tee /proc/sys/vm/nr_hugepages
TEXT
  else
    echo "Only ${affordable:-0} of $pages huge pages can be had without taking what the system needs for itself: the"
    echo "measurement goes on without its rows on reserved pages. Fewer records need fewer: --records $((records / 4))"
  fi
  pages=0
  if [[ $allocators == all ]]; then
    allocators=malloc,malloc-thp,jemalloc,jemalloc-thp,tcmalloc,tcmalloc-thp,mimalloc,mimalloc-thp
    allocators+=,tbb,tbb-huge,hugepool-small,hugepool-thp,hugepool-thp+jemalloc-thp
  else
    allocators=${allocators//,hugepool-hugetlb+jemalloc-thp/}
    allocators=${allocators//,hugepool-hugetlb/}
  fi
fi

((pages == 0)) || echo "Now this script has $pages of them free for the measurement, and puts the count back afterwards."
echo
mkdir -p "$report"
bench+=(--allocators "$allocators" --rounds "$rounds" --seconds "$seconds" --html "$report/index.html"
        --json "$report/report.json")
# This shell's death, even by SIGKILL, is a TERM to huge_pages.sh, which then puts the count back.
show_step "measurement" setpriv --pdeathsig TERM tools/huge_pages.sh with --wait 60 "$pages" -- "${bench[@]}"
status=$?
if ((status == 75)); then
  echo "Another run measures or tests on huge pages: start again when it has ended."
elif ((status == 137)); then
  tools/huge_pages.sh restore
fi
((status == 0)) || exit "$status"
echo
echo "The report with its charts: $report/index.html (one file, opens without a network); all figures: $report/report.json"
echo "The same with your own sizes: $build_dir/kv_bench --help"
