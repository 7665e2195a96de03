#!/usr/bin/env bash
# huge_pages_test.sh: tools/huge_pages.sh puts the count back, with real signals on the real count; and shares out pages
# over the nodes of a made-up machine.
#
# Usage      huge_pages_test.sh PATH_OF_HUGE_PAGES_SH CASE
source "$(dirname "$0")/check.sh"
script=$1
case_name=$2
count_file=/proc/sys/vm/nr_hugepages
more_pages=24

started=
# Also when a check failed: no process stays, and a count that was left changed goes back.
clean_up() {
  [[ -z $started ]] || kill -KILL "$started" 2>/dev/null
  [[ ! -s $scratch/command_pid ]] || kill -KILL "$(<"$scratch/command_pid")" 2>/dev/null
  [[ -z ${count_before:-} ]] || "$script" restore 2>/dev/null
  rm -rf "$scratch"
}

need_real_count() {
  local may=0
  affordable=$("$script" affordable 2>/dev/null) && may=1
  ((may)) || skip "the huge-page count may not be changed here: not root, no sudo without password, or /sys is read-only"
  wanted=$(($(free_pages) + more_pages))
  ((affordable >= wanted)) || skip "only $affordable huge pages affordable, $wanted needed"
  "$script" with 0 -- true 2>"$scratch/first" ||
    skip "another run holds the huge pages: $(tail -n 1 "$scratch/first")"
  count_before=$(<"$count_file")
}
free_pages() { awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo; }

# Starts `with` around a command that says when it runs and then stays; returns when it runs.
start_holder() {
  mkfifo "$scratch/runs"
  # The script's own process group must not get the signals that the cases send by pid, so it is started plainly.
  "$script" with "$wanted" -- sh -c 'echo $$ > "$1/command_pid"; echo > "$1/runs"; exec tail -f /dev/null' \
    sh "$scratch" 2>"$scratch/messages" &
  started=$!
  read -r _ <"$scratch/runs"
  granted=$(<"$count_file")
  ((granted > count_before)) || skip "no page was granted: memory is too fragmented ($(<"$scratch/messages"))"
}

case $case_name in
  success)
    need_real_count
    inside=$("$script" with "$wanted" -- cat "$count_file") || fail "the command failed"
    ((inside > count_before)) || skip "no page was granted: memory is too fragmented"
    expect_equal "$(<"$count_file")" "$count_before" "count after success"
    ;;
  failure)
    need_real_count
    status=0
    "$script" with "$wanted" -- sh -c 'exit 7' || status=$?
    expect_equal "$status" 7 "exit code of a command that fails"
    expect_equal "$(<"$count_file")" "$count_before" "count after failure"
    ;;
  missing_command)
    need_real_count
    status=0
    "$script" with "$wanted" -- "$scratch/no_such_command" 2>/dev/null || status=$?
    expect_equal "$status" 127 "exit code of a command that is not there"
    expect_equal "$(<"$count_file")" "$count_before" "count after a command that is not there"
    ;;
  INT | TERM | HUP | QUIT)
    need_real_count
    # A shell starts background jobs with INT and QUIT ignored, and what is ignored at the start cannot be trapped:
    # job control gives the holder the handlers that it has in a terminal.
    set -m
    start_holder
    set +m
    kill -s "$case_name" "$started"
    status=0
    wait "$started" || status=$?
    started=
    expect_equal "$status" $((128 + $(kill -l "$case_name"))) "exit code after $case_name"
    expect_equal "$(<"$count_file")" "$count_before" "count after $case_name"
    kill -0 "$(<"$scratch/command_pid")" 2>/dev/null && fail "the command still runs after $case_name"
    ;;
  KILL)
    need_real_count
    start_holder
    kill -KILL "$started"
    wait "$started" 2>/dev/null
    started=
    expect_equal "$(<"$count_file")" "$granted" "count after SIGKILL, before the next start (else this proves nothing)"
    "$script" with 0 -- true 2>"$scratch/next" || fail "the next start failed: $(<"$scratch/next")"
    grep -q "was killed" "$scratch/next" || fail "the next start does not say what it mended: $(<"$scratch/next")"
    expect_equal "$(<"$count_file")" "$count_before" "count after the next start"
    ;;
  KILL_of_caller)
    need_real_count
    command -v setpriv >/dev/null || skip "setpriv is missing (Debian package util-linux)"
    mkfifo "$scratch/runs" "$scratch/ended"
    # quickstart.sh and run.sh start it like this: their death is a TERM to it.
    bash -c 'setpriv --pdeathsig TERM "$1" with "$2" -- sh -c "echo \$\$ > \"\$1/command_pid\"; echo > \"\$1/runs\"; \
      exec tail -f /dev/null" sh "$3" 2>"$3/messages" 7>"$3/ended"; true' bash "$script" "$wanted" "$scratch" &
    started=$!
    exec 8<"$scratch/ended"
    read -r _ <"$scratch/runs"
    kill -KILL "$started"
    wait "$started" 2>/dev/null
    started=
    # The pipe closes when the last of its writers, the script and its command, has ended.
    cat <&8
    expect_equal "$(<"$count_file")" "$count_before" "count after SIGKILL of the caller"
    ;;
  second_run)
    need_real_count
    start_holder
    status=0
    "$script" with "$wanted" -- true 2>"$scratch/second" || status=$?
    expect_equal "$status" 75 "exit code of a second run"
    grep -q "process $started holds them" "$scratch/second" || fail "it does not name the first: $(<"$scratch/second")"
    expect_equal "$(<"$count_file")" "$granted" "count while the first run goes on"
    kill -TERM "$started"
    wait "$started"
    started=
    expect_equal "$(<"$count_file")" "$count_before" "count after both"
    ;;
  waiting_run)
    need_real_count
    start_holder
    mkfifo "$scratch/second"
    "$script" with --wait 60 "$wanted" -- true 2>"$scratch/second" &
    second=$!
    exec 8<"$scratch/second"
    read -r said <&8
    [[ $said == *"waiting up to 60 s"* ]] || fail "the second run does not say that it waits: $said"
    kill -TERM "$started"
    wait "$started"
    started=
    status=0
    cat <&8
    wait "$second" || status=$?
    expect_equal "$status" 0 "exit code of the run that waited"
    expect_equal "$(<"$count_file")" "$count_before" "count after both"
    ;;
  bad_input)
    for arguments in "" "frobnicate" "with" "with 12" "with x -- true" "with -1 -- true" "with 99999999 -- true" \
      "with 9999:1 -- true" "with --wait x 1 -- true" "with --wait 3601 1 -- true" "with --page 4M 1 -- true" \
      "with --page" "with --size 1G 1 -- true"; do
      status=0
      # shellcheck disable=SC2086  # split on purpose
      "$script" $arguments >"$scratch/out" 2>&1 || status=$?
      expect_equal "$status" 2 "exit code of '$arguments'"
      grep -qE "Allowed|See" "$scratch/out" || fail "'$arguments' does not say what is allowed: $(<"$scratch/out")"
    done
    ;;
  made_up_machine)
    # Two nodes with memory and one without, 64 GiB: the floor is 8 GiB, so each of the 32 GiB nodes keeps 4.
    fake=$scratch/machine
    mkdir -p "$fake/proc/sys/kernel/random" "$fake/run" "$fake/sys/kernel/mm/hugepages/hugepages-2048kB"
    echo made-up >"$fake/proc/sys/kernel/random/boot_id"
    printf 'MemTotal: %d kB\nMemAvailable: %d kB\n' $((64 << 20)) $((40 << 20)) >"$fake/proc/meminfo"
    echo 0 >"$fake/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages"
    add_node() {  # id, MiB in all, MiB free, pages
      local pages=$fake/sys/devices/system/node/node$1/hugepages/hugepages-2048kB
      mkdir -p "$pages"
      printf 'Node %d MemTotal: %d kB\nNode %d MemFree: %d kB\n' "$1" $(($2 << 10)) "$1" $(($3 << 10)) \
        >"$pages/../../meminfo"
      printf 'Node %d Active(file): 0 kB\nNode %d Inactive(file): 0 kB\n' "$1" "$1" >>"$pages/../../meminfo"
      echo "$4" >"$pages/nr_hugepages"
      echo "$4" >"$pages/free_hugepages"
      echo 0 >"$pages/surplus_hugepages"
    }
    count() { cat "$fake"/sys/devices/system/node/node{0,10}/hugepages/hugepages-2048kB/nr_hugepages | tr '\n' ' '; }
    export -f count
    export fake
    export HUGEPOOL_FAKE_ROOT=$fake
    add_node 0 32768 20480 10
    add_node 3 0 0 0
    add_node 10 32768 5120 0

    # 110 wanted, 10 free: 50 more on each.
    expect_equal "$("$script" with 110 -- bash -c count)" "60 50 " "an even share"
    expect_equal "$(count)" "10 0 " "put back"
    # Node 10 can spare 5 GiB - 4 GiB = 512 pages; the rest comes from node 0.
    expect_equal "$("$script" with 2010 -- bash -c count)" "1498 512 " "a share that respects each node's floor"
    # Node 0 can spare 20 GiB - 4 GiB = 8,192 pages.
    expect_equal "$("$script" with 100000 -- bash -c count 2>"$scratch/messages")" "8202 512 " "no more than is affordable"
    grep -q "the system keeps 8192 MiB" "$scratch/messages" || fail "the floor is not named: $(<"$scratch/messages")"
    expect_equal "$("$script" with 0:12,10:7 -- bash -c count)" "12 7 " "counts by node"
    expect_equal "$("$script" affordable)" $((10 + 8192 + 512)) "affordable"
    status=0
    "$script" with 3:5 -- true 2>/dev/null || status=$?
    expect_equal "$status" 2 "a node without memory"
    # Someone else adds 100 pages meanwhile: they stay.
    "$script" with 0:20 -- \
      bash -c 'f=$fake/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages; echo 120 > $f' 2>/dev/null
    expect_equal "$(count)" "110 0 " "pages that others added"
    # Pages of 1 GiB have counts of their own: node 0 can spare 16 of them, node 10 one.
    mkdir -p "$fake/sys/kernel/mm/hugepages/hugepages-1048576kB"
    for node in 0 10; do
      giant=$fake/sys/devices/system/node/node$node/hugepages/hugepages-1048576kB
      mkdir "$giant"
      for name in nr free surplus; do echo 0 >"$giant/${name}_hugepages"; done
    done
    giant_count() { cat "$fake"/sys/devices/system/node/node{0,10}/hugepages/hugepages-1048576kB/nr_hugepages | tr '\n' ' '; }
    export -f giant_count
    expect_equal "$("$script" with --page 1G 3 -- bash -c 'giant_count; count' 2>/dev/null)" "2 1 110 0 " "pages of 1 GiB"
    expect_equal "$("$script" with --page 1G 100 -- bash -c giant_count 2>/dev/null)" "16 1 " "no more than is affordable"
    expect_equal "$(giant_count)$(count)" "0 0 110 0 " "pages of 1 GiB put back"
    # A killed run left one of them: the next run, whatever its size, puts it back.
    echo 1 >"$fake/sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages"
    printf 'pid 1\npid_start 1\nboot_id made-up\nnode 0 before 0 target 1\n' >"$fake/run/hugepool/huge_pages_1G.before"
    "$script" with 0 -- true 2>/dev/null
    expect_equal "$(giant_count)" "0 0 " "pages of 1 GiB after a killed run"
    # Below 32 GiB the floor is a quarter: 16 GiB keep 4.
    rm -r "$fake/sys/devices/system/node/node10"
    printf 'MemTotal: %d kB\nMemAvailable: %d kB\n' $((16 << 20)) $((5 << 20)) >"$fake/proc/meminfo"
    add_node 0 16384 5120 0
    expect_equal "$("$script" affordable)" 512 "affordable on a small machine"
    ;;
  *) fail "unknown case '$case_name'" ;;
esac
echo "passed"
