#!/usr/bin/env bash
# giant_pages_test.sh: reserves one page of 1 GiB, runs the test of pools on it, and sees the count put back.
#
# Usage      giant_pages_test.sh PATH_OF_HUGE_PAGES_SH PATH_OF_TEST
source "$(dirname "$0")/check.sh"
script=$1 test=$2
count_file=/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages
[[ -e $count_file ]] || skip "this kernel has no huge pages of 1 GiB"
"$script" affordable >/dev/null 2>&1 ||
  skip "the huge-page count may not be changed here: not root, no sudo without password, or /sys is read-only"
count_before=$(<"$count_file")
status=0
# shellcheck disable=SC2016  # expanded by the inner shell
"$script" with --page 1G 1 -- bash -c '((HUGEPOOL_HUGE_PAGES > 0)) || exit 77; exec "$1"' bash "$test" \
  >"$scratch/output" 2>"$scratch/messages" || status=$?
expect_equal "$(<"$count_file")" "$count_before" "count of 1 GiB pages afterwards"
case $status in
  0) cat "$scratch/output" ;;
  75) skip "another run holds the huge pages: $(tail -n 1 "$scratch/messages")" ;;
  77) skip "the kernel gives no page of 1 GiB: $(tr '\n' ' ' <"$scratch/messages")" ;;
  *)
    cat "$scratch/output" "$scratch/messages"
    fail "the test's exit code is $status"
    ;;
esac
echo "passed"
