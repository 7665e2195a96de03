#!/bin/sh
# guest_init.sh: process 1 of the guest. Runs each GoogleTest case in a process of its own, says on the console how it
# went, sends logs and XML over the second serial port, and powers off. Language: busybox sh.
#
# Shape      /guest/binaries, /guest/filter, /guest/environment, /guest/shell, /guest/results_port are laid by run.sh
#            "[guest] PASS|FAIL|SKIP name …" on the console for each case, "[guest] DONE" at the end
# Units      huge pages of 2 MiB
# Invariant  before each case: no other process, no cgroup, every CPU online, each node's huge pages as /guest/huge_pages says
export PATH=/bin LC_ALL=C LD_LIBRARY_PATH=/guest/lib

reserve() {
  # A count that still has surplus pages of the case before may be off: write until it reads back as asked.
  while read -r node count; do
    file=/sys/devices/system/node/node$node/hugepages/hugepages-2048kB/nr_hugepages
    read -r now <"$file"
    for try in 1 2 3 4 5; do
      [ "$now" = "$count" ] && break
      echo "$count" >"$file"
      read -r now <"$file"
    done
    [ "$now" = "$count" ] || echo "[guest] node $node has $now huge pages instead of $count after $try tries"
  done </guest/huge_pages
}

# Nothing of one case reaches the next one.
reset_guest() {
  kill -9 -1 2>/dev/null
  dmesg -c >/dev/null
  for dir in /sys/fs/cgroup/*/; do
    [ -d "$dir" ] && rmdir "$dir" 2>/dev/null
  done
  for file in /sys/devices/system/cpu/cpu*/online; do
    read -r online <"$file"
    [ "$online" = 1 ] || echo 1 >"$file"
  done
  echo 0 >/proc/sys/vm/nr_overcommit_hugepages
  echo madvise >/sys/kernel/mm/transparent_hugepage/enabled
  reserve
}

# "Suite.Case" of every case in a binary that the filter lets through.
list_cases() {
  "$1" --gtest_list_tests --gtest_filter="$(cat /guest/filter)" >/guest/listed || return
  awk '/^[^ ]/ { suite = $1; next } /^  / { print suite $1 }' /guest/listed
}

run_case() {
  binary=$1
  name=$2
  base=/guest/results/$(echo "$name" | tr '/' '_')
  reset_guest
  started=$(cut -d ' ' -f 1 /proc/uptime)
  timeout -s KILL "$(cat /guest/case_seconds)" "$binary" --gtest_filter="$name" --gtest_color=no \
    --gtest_output="xml:$base.xml" >"$base.log" 2>&1 </dev/null
  status=$?
  seconds=$(awk -v from="$started" '{ printf "%.1f", $1 - from }' /proc/uptime)
  if [ $status -eq 0 ] && grep -q '^\[  SKIPPED \]' "$base.log"; then
    echo "[guest] SKIP $name: $(awk 'found { print; exit } /: Skipped$/ { found = 1 }' "$base.log")"
  elif [ $status -eq 0 ] && grep -q '^\[  PASSED  \] 1 test' "$base.log"; then
    echo "[guest] PASS $name ($seconds s)"
  else
    sed 's/^/[output] /' "$base.log"
    dmesg | tail -n 60 | sed 's/^/[kernel] /'
    [ $status -eq 137 ] && status="137, killed by the limit of $(cat /guest/case_seconds) s or for want of memory"
    echo "[guest] FAIL $name ($seconds s, exit status $status)"
  fi
}

busybox mount -t proc none /proc
busybox --install -s /bin
mount -t devtmpfs none /dev
exec </dev/console >/dev/console 2>&1
mount -t sysfs none /sys
mount -t tmpfs none /tmp
mkdir -p /dev/shm /guest/results
mount -t tmpfs none /dev/shm
mount -t cgroup2 none /sys/fs/cgroup
echo '+cpuset +hugetlb +memory' >/sys/fs/cgroup/cgroup.subtree_control
results_port=/dev/$(cat /guest/results_port)
stty -F "$results_port" raw -echo 2>/dev/null
while read -r line; do
  export "${line?}"
done </guest/environment
reset_guest

echo "[guest] up after $(cut -d ' ' -f 1 /proc/uptime) s, Linux $(uname -r)," \
  "huge pages by node: $(tr '\n' ';' </guest/huge_pages)"
if [ -s /guest/shell ]; then
  echo "[guest] tests are in /guest/bin; 'poweroff -f' ends the guest"
  setsid cttyhack sh
else
  while read -r binary; do
    list_cases "$binary" >/guest/cases || echo "[guest] FAIL $binary (its tests cannot be listed)"
    while read -r name; do
      echo "[guest] RUN $name"
      run_case "$binary" "$name"
    done </guest/cases
  done </guest/binaries
  tar -c -C /guest/results . >"$results_port"
  echo "[guest] DONE after $(cut -d ' ' -f 1 /proc/uptime) s"
fi
poweroff -f
