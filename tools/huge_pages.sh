#!/usr/bin/env bash
# huge_pages.sh: reserves huge pages of 2 MiB or 1 GiB for as long as one command runs, and puts the count back.
#
# Shape      one state file per machine and page size holds, for each node, the count before and the count aimed at; it
#            is written before the first change and removed after the last
# Units      pages of the size asked for; counts are persistent pages (nr_hugepages less surplus) of one node
# Owner      the run that holds the lock; a state file without a holder was left by a killed run
# Threads    one run at a time on a machine; a second one is refused, or waits (--wait)
# Invariant  what a run added it takes away, and no more: changes that others made meanwhile stay
# Errors     with: the command's exit code, 75 when another run holds the pages, 2 for bad input
# Cost       0.2 to 5 ms for each page of 2 MiB that the kernel must find, up to seconds for one of 1 GiB
set -u
export LC_ALL=C

# Tests of the arithmetic put a made-up machine below this folder.
readonly root=${HUGEPOOL_FAKE_ROOT:-}
readonly state_dir=$root/run/hugepool
readonly lock_file=$state_dir/huge_pages.lock

# Everything below is about pages of this size: 2M or 1G.
use_page_size() {
  case $1 in
    2M) page_kib=2048 page_text="2 MiB" state_file=$state_dir/huge_pages.before ;;
    1G) page_kib=1048576 page_text="1 GiB" state_file=$state_dir/huge_pages_1G.before ;;
  esac
  page_size=$1
}

usage() {
  cat <<'TEXT'
usage: tools/huge_pages.sh with [--wait SECONDS] [--page 2M|1G] PAGES -- COMMAND [ARGUMENT...]
       tools/huge_pages.sh restore
       tools/huge_pages.sh affordable

with        reserves until PAGES huge pages are free, runs COMMAND, and puts the count back: after success and failure,
            on INT, TERM, HUP and QUIT, and after SIGKILL at the next start of any of these three. Where fewer can be
            had it says so, and COMMAND runs with those; HUGEPOOL_HUGE_PAGES tells it how many are free.
  PAGES     a whole number, 0 to 16777216, spread over the nodes that have memory; or NODE:PAGES[,NODE:PAGES...]
  --wait    seconds to wait, 0 to 3600, while another run holds huge pages; without it, that run refuses this one
  --page    their size: 2M (default), or 1G, of which memory that has been in use for long yields few or none
restore     puts the count back if a killed run left it changed
affordable  prints how many pages of 2 MiB `with` could have free; exit 1 if it may not change the count

The system keeps 8 GiB or 10 % of its memory, whichever is more (below 32 GiB of memory: a quarter of it).
Exit codes of `with`: that of COMMAND; 128 + number of the signal that ended it; 75 another run is on; 2 bad input.
TEXT
}

say() { echo "huge pages of $page_text: $*" >&2; }

refuse() {
  echo "huge_pages.sh: $*" >&2
  exit 2
}

# What the kernel says -----------------------------------------------------------------------------------------------

# Value in KiB of one line of a meminfo file: global ("MemFree: 1 kB") or of a node ("Node 0 MemFree: 1 kB").
meminfo_kib() { awk -v name="$2:" '{ for (i = 1; i < NF; i++) if ($i == name) { print $(i + 1); exit } }' "$1"; }

# Nodes that have memory, ascending; "-" where the kernel was built without NUMA.
find_nodes() {
  local dir ids=()
  for dir in "$root"/sys/devices/system/node/node[0-9]*; do
    [[ -d $dir/hugepages/hugepages-${page_kib}kB ]] || continue
    (($(meminfo_kib "$dir/meminfo" MemTotal) > 0)) && ids+=("${dir##*node}")
  done
  if ((${#ids[@]} > 0)); then
    printf '%s\n' "${ids[@]}" | sort -n
  elif [[ -d $root/sys/kernel/mm/hugepages/hugepages-${page_kib}kB ]]; then
    echo -
  fi
}

pages_dir() {
  if [[ $1 == - ]]; then
    echo "$root/sys/kernel/mm/hugepages/hugepages-${page_kib}kB"
  else
    echo "$root/sys/devices/system/node/node$1/hugepages/hugepages-${page_kib}kB"
  fi
}

persistent_pages() {
  local dir
  dir=$(pages_dir "$1")
  echo $(($(<"$dir/nr_hugepages") - $(<"$dir/surplus_hugepages")))
}

free_pages() {
  local dir
  dir=$(pages_dir "$1")
  echo $(($(<"$dir/free_hugepages")))
}

# Free pages of all nodes that no mapping has reserved.
unreserved_pages() {
  local sum=0 node reserved=0
  for node in "${nodes[@]}"; do sum=$((sum + $(free_pages "$node"))); done
  [[ -r $root/sys/kernel/mm/hugepages/hugepages-${page_kib}kB/resv_hugepages ]] &&
    reserved=$(<"$root/sys/kernel/mm/hugepages/hugepages-${page_kib}kB/resv_hugepages")
  echo $((sum > reserved ? sum - reserved : 0))
}

# What stays with the system whatever is asked for.
floor_kib() {
  local total_kib=$1 eight_gib_kib=$((8 << 20))
  if ((total_kib < 4 * eight_gib_kib)); then
    echo $((total_kib / 4))
  else
    echo $((total_kib / 10 > eight_gib_kib ? total_kib / 10 : eight_gib_kib))
  fi
}

# Pages that one node could still give without touching its share of the floor.
affordable_on() {
  local node=$1 file available_kib total_kib node_total_kib
  total_kib=$(meminfo_kib "$root/proc/meminfo" MemTotal)
  # Deferred memory initialisation leaves a node's own meminfo short of what the machine has: with one node the machine's
  # figures are the node's.
  if ((${#nodes[@]} == 1)); then
    available_kib=$(meminfo_kib "$root/proc/meminfo" MemAvailable)
    node_total_kib=$total_kib
  else
    file=$root/sys/devices/system/node/node$node/meminfo
    node_total_kib=$(meminfo_kib "$file" MemTotal)
    available_kib=$(($(meminfo_kib "$file" MemFree) + $(meminfo_kib "$file" 'Active(file)') +
                     $(meminfo_kib "$file" 'Inactive(file)')))
  fi
  local spare_kib=$((available_kib - $(floor_kib "$total_kib") * node_total_kib / total_kib))
  echo $((spare_kib > 0 ? spare_kib / page_kib : 0))
}

affordable_in_all() {
  local total_kib spare_kib
  total_kib=$(meminfo_kib "$root/proc/meminfo" MemTotal)
  spare_kib=$(($(meminfo_kib "$root/proc/meminfo" MemAvailable) - $(floor_kib "$total_kib")))
  echo $((spare_kib > 0 ? spare_kib / page_kib : 0))
}

# Changing it --------------------------------------------------------------------------------------------------------

# How the count may be written: "direct", "sudo" or "" (not at all).
find_way() {
  if [[ -w $(pages_dir "${nodes[0]}")/nr_hugepages ]]; then
    echo direct
  elif [[ -z $root && $(id -u) -ne 0 ]] && sudo -n true 2>/dev/null; then
    echo sudo
  fi
}

as_root() { if [[ $way == sudo ]]; then sudo -n "$@"; else "$@"; fi; }

# shellcheck disable=SC2016  # expanded by the inner shell
write_file() { as_root sh -c 'printf "%s\n" "$1" > "$2.new" && mv "$2.new" "$2"' sh "$2" "$1"; }
# shellcheck disable=SC2016
write_count() { as_root sh -c 'echo "$1" > "$2"' sh "$2" "$(pages_dir "$1")/nr_hugepages" 2>/dev/null; }

# Sets one node's persistent count; prints what the kernel then reports. Kernels up to 6.1 miscount a node's write while
# surplus pages exist, and fragmented memory yields more after compaction: read back, correct, try again.
set_count() {
  local node=$1 wanted=$2 correction=0 got attempt
  for attempt in 1 2 3; do
    write_count "$node" $((wanted + correction > 0 ? wanted + correction : 0))
    got=$(persistent_pages "$node")
    ((got == wanted)) && break
    if (($(<"$(pages_dir "$node")/surplus_hugepages") > 0)); then
      correction=$((correction + wanted - got))
    elif ((got < wanted && attempt < 3)); then
      [[ -e $root/proc/sys/vm/compact_memory ]] && as_root sh -c "echo 1 > $root/proc/sys/vm/compact_memory" 2>/dev/null
    fi
  done
  echo "$got"
}

process_start() { awk '{ sub(/^.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null; }
boot_id() { cat "$root/proc/sys/kernel/random/boot_id" 2>/dev/null || echo unknown; }

# Remembers before the first write what to put back: before[], and target[] as the most that we may leave behind.
record_state() {
  local text node
  text="pid $$"$'\n'"pid_start $(process_start $$)"$'\n'"boot_id $(boot_id)"
  for node in "${!target[@]}"; do text+=$'\n'"node $node before ${before[$node]} target ${target[$node]}"; done
  write_file "$state_file" "$text"
}

# Takes away what the state file says was added, reads back, and forgets it.
put_back() {
  [[ -e $state_file ]] || return 0
  local key node was aimed now back got failed=0
  while read -r key node _ was _ aimed; do
    [[ $key == node ]] || continue
    now=$(persistent_pages "$node")
    if ((now <= was)); then
      ((now == was)) || say "node $node: $now pages, fewer than the $was before: someone else took them; left as it is"
      continue
    elif ((now <= aimed)); then
      back=$was
    else
      back=$((now - (aimed - was)))
      say "node $node: $now pages, more than the $aimed that were aimed at: someone else added some; those stay"
    fi
    got=$(set_count "$node" "$back")
    if ((got == back)); then
      say "node $node: put back, $now → $got"
    else
      failed=1
      say "node $node: tried to put back $back, the kernel says $got. This line does it:" \
        "echo $back | sudo tee $(pages_dir "$node")/nr_hugepages"
    fi
  done <"$state_file"
  ((failed)) || as_root rm -f "$state_file"
  return $failed
}

# Takes the machine-wide lock; $1 seconds to wait. Where no state folder can be made nothing was ever changed by us.
take_lock() {
  if [[ -n $way && ! -e $lock_file ]]; then
    as_root sh -c "mkdir -p '$state_dir' && chmod 755 '$state_dir' && : >> '$lock_file' && chmod 644 '$lock_file'" || {
      say "cannot make $lock_file, so the count stays as it is"
      way=
    }
  fi
  [[ -r $lock_file ]] || return 0
  exec 9<"$lock_file"
  flock -n 9 && return 0
  local holder
  holder=$(awk '$1 == "pid" { print $2 }' "$state_dir"/huge_pages*.before 2>/dev/null)
  if (($1 > 0)); then
    say "process ${holder:-?} holds them; waiting up to $1 s"
    flock -w "$1" 9 && return 0
  fi
  say "process ${holder:-?} holds them: let it end first, or wait for it with --wait SECONDS"
  exit 75
}

# A state file whose owner does not hold the lock any more: that run was killed.
mend_killed_runs() {
  local wanted_size=$page_size size
  for size in 2M 1G; do
    use_page_size "$size"
    mend_killed_run
  done
  use_page_size "$wanted_size"
}
mend_killed_run() {
  [[ -e $state_file ]] || return 0
  local pid boot
  pid=$(awk '$1 == "pid" { print $2 }' "$state_file")
  boot=$(awk '$1 == "boot_id" { print $2 }' "$state_file")
  if [[ -z $way ]]; then
    say "process $pid was killed and left the count changed; this line puts it back: sudo $0 restore"
  elif [[ $boot != "$(boot_id)" ]]; then
    as_root rm -f "$state_file"
  else
    say "process $pid was killed before it put the count back: doing that first"
    put_back
  fi
}

# Fills target[] and before[] for the nodes that must grow. Arguments: the wanted numbers, as on the command line.
plan() {
  local text=$1 part node sum=0 share grown left
  declare -gA before=() target=() room=()
  local budget
  budget=$(affordable_in_all)
  for node in "${nodes[@]}"; do room[$node]=$(affordable_on "$node"); done
  grow() {  # node, pages: within the room of the node and of the machine; the result is in grown
    grown=$(($2 < room[$1] ? $2 : room[$1]))
    grown=$((grown < budget ? grown : budget))
    room[$1]=$((room[$1] - grown))
    budget=$((budget - grown))
    ((grown == 0)) && return
    [[ -n ${before[$1]:-} ]] || before[$1]=$(persistent_pages "$1")
    target[$1]=$((${target[$1]:-${before[$1]}} + grown))
  }
  short=0
  if [[ $text == *:* ]]; then
    for part in ${text//,/ }; do
      node=${part%%:*}
      share=$((${part##*:} - $(free_pages "$node")))
      ((share > 0)) || continue
      grow "$node" "$share"
      short=$((short + share - grown))
    done
  else
    left=$((text - $(unreserved_pages)))
    while ((left > 0 && ${#nodes[@]} > 0)); do
      share=$(((left + ${#nodes[@]} - 1) / ${#nodes[@]}))
      sum=0
      for node in "${nodes[@]}"; do
        grow "$node" $((share < left ? share : left))
        sum=$((sum + grown))
        left=$((left - grown))
      done
      ((sum > 0)) || break
    done
    short=$((left > 0 ? left : 0))
  fi
}

# Commands -----------------------------------------------------------------------------------------------------------

check_pages() {
  local part text=$1
  if [[ $text =~ ^[0-9]{1,8}$ ]] && ((10#$text <= 16777216)); then return; fi
  [[ $text =~ ^[0-9]{1,4}:[0-9]{1,8}(,[0-9]{1,4}:[0-9]{1,8})*$ ]] ||
    refuse "PAGES is '$text'. Allowed: a whole number, 0 to 16777216, or NODE:PAGES[,NODE:PAGES...]."
  for part in ${text//,/ }; do
    [[ " ${nodes[*]} " == *" ${part%%:*} "* ]] ||
      refuse "node ${part%%:*} has no memory, or is not there. Allowed: ${nodes[*]}."
    ((10#${part##*:} <= 16777216)) || refuse "PAGES of node ${part%%:*} is ${part##*:}. Allowed: 0 to 16777216."
  done
}

caught=
child=
on_signal() {
  caught=$1
  [[ -n $child ]] || return 0
  kill -TERM -- "-$child" 2>/dev/null
  [[ -z ${watchdog:-} ]] || return 0
  # What does not end within 10 s is killed, so that the count is put back in any case.
  set -m
  (sleep 10 && kill -KILL -- "-$child") 9<&- 2>/dev/null &
  watchdog=$!
  set +m
}

# Runs the command in a process group of its own, and waits for its end whatever signals come meanwhile.
run_command() {
  local status=0
  set -m
  "$@" 9<&- </dev/null &
  child=$!
  set +m
  # The signal came between the trap's last look and the start: hand it on.
  [[ -z $caught ]] || on_signal "$caught"
  while :; do
    wait "$child" 2>/dev/null
    status=$?
    kill -0 "$child" 2>/dev/null || break
  done
  child=
  [[ -z ${watchdog:-} ]] || kill -TERM -- "-$watchdog" 2>/dev/null
  return "$status"
}

with_pages() {
  local wait_seconds=0 pages node got
  while [[ ${1:-} == --* && ${1:-} != -- ]]; do
    case $1 in
      --wait)
        [[ ${2:-} =~ ^[0-9]{1,4}$ ]] && ((10#$2 <= 3600)) || refuse "--wait is '${2:-}'. Allowed: 0 to 3600 seconds."
        wait_seconds=$((10#$2))
        ;;
      --page)
        [[ ${2:-} == 2M || ${2:-} == 1G ]] || refuse "--page is '${2:-}'. Allowed: 2M, 1G."
        look_at_machine "$2"
        ;;
      *) refuse "unknown argument '$1'. Allowed: --wait, --page." ;;
    esac
    shift 2
  done
  (($# >= 3)) && [[ $2 == -- ]] || refuse "with needs PAGES -- COMMAND. See tools/huge_pages.sh --help."
  pages=$1
  shift 2
  check_pages "$pages"
  [[ $pages == *:* ]] || pages=$((10#$pages))

  take_lock "$wait_seconds"
  trap ':' PIPE
  trap 'on_signal INT' INT
  trap 'on_signal TERM' TERM
  trap 'on_signal HUP' HUP
  trap 'on_signal QUIT' QUIT
  mend_killed_runs
  plan "$pages"
  if ((${#target[@]} > 0)) && [[ -z $way ]]; then
    say "$(unreserved_pages) are free, $pages wanted, and this user may not change the count. This line does:" \
      "echo $pages | sudo tee /sys/kernel/mm/hugepages/hugepages-${page_kib}kB/nr_hugepages"
  elif ((${#target[@]} > 0)); then
    if record_state; then
      trap 'trap "" INT TERM HUP QUIT PIPE; put_back' EXIT
      for node in $(printf '%s\n' "${!target[@]}" | sort -n); do
        [[ -z $caught ]] || break
        got=$(set_count "$node" "${target[$node]}")
        say "node $node: ${before[$node]} → $got"
        ((got >= target[$node])) ||
          say "node $node: ${target[$node]} asked for; memory is too fragmented for more (reserve at boot instead)"
      done
    else
      say "cannot write $state_file, so the count stays as it is"
    fi
  fi
  ((short == 0)) || say "$short fewer than asked for: the system keeps" \
    "$(($(floor_kib "$(meminfo_kib "$root/proc/meminfo" MemTotal)") >> 10)) MiB for itself"

  local status=0
  HUGEPOOL_HUGE_PAGES=$(unreserved_pages)
  export HUGEPOOL_HUGE_PAGES
  if [[ -z $caught ]]; then
    run_command "$@" || status=$?
  fi
  trap '' INT TERM HUP QUIT PIPE
  [[ -z $caught ]] || status=$((128 + $(kill -l "$caught")))
  exit "$status"
}

case ${1:-} in
  --help) usage; exit 0 ;;
  with | restore | affordable) ;;
  *) refuse "unknown command '${1:-}'. Allowed: with, restore, affordable, --help." ;;
esac
# Fills nodes and way for pages of one size.
look_at_machine() {
  use_page_size "$1"
  mapfile -t nodes < <(find_nodes)
  way=
  if ((${#nodes[@]} == 0)); then
    echo "huge_pages.sh: this kernel has no huge pages of $page_text" >&2
    [[ $command == with ]] || exit 1
  else
    way=$(find_way)
  fi
}

command=$1
look_at_machine 2M
shift
case $command in
  with) with_pages "$@" ;;
  restore)
    take_lock 0
    mend_killed_runs
    ! compgen -G "$state_dir/huge_pages*.before" >/dev/null
    ;;
  affordable)
    limit=$(affordable_in_all)
    sum=0
    for node in "${nodes[@]}"; do sum=$((sum + $(affordable_on "$node"))); done
    if [[ -n $way ]]; then
      echo $(($(unreserved_pages) + (limit < sum ? limit : sum)))
    else
      unreserved_pages
      exit 1
    fi
    ;;
esac
