#!/usr/bin/env bash
# run.sh: runs GoogleTest binaries in a virtual machine with four NUMA nodes, and reports them as ordinary results.
#
# Shape      kernel.sh brings the kernel, the binaries with all they link become an initramfs, guest_init.sh runs them
#            as process 1, the first serial port carries the console, the second one logs and XML
# Units      seconds; memory in MiB; huge pages of 2 MiB
# Owner      --out: console.log, results/CASE.log, results/CASE.xml, junit.xml of this run, and the kernel (kept)
# Errors     exit 1: a case failed, none ran, or the guest panicked or hung; 2: bad input; 77: what it needs is missing
# Cost       boot 5–15 s without hardware virtualisation; the guest takes up to 3.5 GiB while it runs
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here

# Two nodes with CPUs, each with a memory-only one near to it. Distances are such that the nearest node is never the one
# with the next id. Linux numbers the nodes with CPUs first.
readonly node_mib=(1024 1024 768 768)
readonly node_cpus=(0-1 2-3 '' '')
readonly node_huge_pages=(112 104 88 80)
readonly distances=('0 1 31' '0 2 21' '0 3 31' '1 2 31' '1 3 21' '2 3 31')

usage() {
  cat <<'TEXT'
usage: tests/numa_guest/run.sh [OPTION...] BINARY...

Boots a 4-node NUMA guest and runs every GoogleTest case of each BINARY in it, each in a process of its own.

  --filter PATTERN     as --gtest_filter (default *)
  --out FOLDER         where kernel, console, logs and XML go (default: build/numa_guest of the source tree)
  --file HOST:GUEST    one more file to put into the guest; may be repeated
  --env NAME=VALUE     one more environment variable for the tests; may be repeated
  --aarch64 SYSROOT    the guest is AArch64, as the binaries are; busybox and libraries are those below SYSROOT
  --single_steps GLOB  cases in which the emulator may interrupt the guest after every instruction, not only between
                       blocks of them; several times slower
  --seconds N          limit for the whole guest, 10 to 3600 (default 240)
  --case_seconds N     limit for one case, 1 to 3600 (default 60)
  --shell              a shell on the guest's console instead of the tests

Environment: HUGEPOOL_GUEST_KERNEL=FILE takes that kernel image, HUGEPOOL_GUEST_KERNEL_PACKAGE=NAME that Debian package.
TEXT
}

fail_usage() {
  echo "run.sh: $1" >&2
  echo "run.sh: --help shows what is allowed" >&2
  exit 2
}

# Nothing ran, and why: counted as one skipped test.
skip_all() {
  echo "[guest] SKIP numa_guest: $1"
  echo "0 passed, 0 failed, 1 skipped"
  exit 77
}

check_number() {
  if ! [[ $2 =~ ^[1-9][0-9]{0,3}$ ]] || (($2 < $3 || $2 > 3600)); then
    fail_usage "$1 is '$2'; allowed are $3 to 3600"
  fi
}

filter='*'
out=$here/../../build/numa_guest
files=()
environment=(HUGEPOOL_IN_NUMA_GUEST=1)
limit_seconds=240
case_seconds=60
sysroot=
single_steps=
shell=
binaries=()
while (($# > 0)); do
  case $1 in
    --filter | --out | --file | --env | --aarch64 | --single_steps | --seconds | --case_seconds)
      (($# > 1)) || fail_usage "$1 needs a value"
      case $1 in
        --filter) filter=$2 ;;
        --out) out=$2 ;;
        --file) files+=("$2") ;;
        --env) environment+=("$2") ;;
        --aarch64) sysroot=$2 ;;
        --single_steps) single_steps=$2 ;;
        --seconds) limit_seconds=$2 ;;
        --case_seconds) case_seconds=$2 ;;
      esac
      shift 2
      ;;
    --shell) shell=yes; shift ;;
    --help) usage; exit 0 ;;
    -*) fail_usage "unknown option '$1'" ;;
    *) binaries+=("$1"); shift ;;
  esac
done
check_number --seconds "$limit_seconds" 10
check_number --case_seconds "$case_seconds" 1
((${#binaries[@]} > 0)) || fail_usage "name at least one test binary"
for binary in "${binaries[@]}"; do
  [[ -x $binary && -f $binary ]] || fail_usage "'$binary' is no executable file"
done
for pair in ${files[@]+"${files[@]}"}; do
  [[ $pair == ?*:/?* && -r ${pair%%:*} ]] ||
    fail_usage "--file '$pair' is not HOST:GUEST with a readable file and a path from /"
done
for pair in "${environment[@]}"; do
  [[ $pair =~ ^[A-Za-z_][A-Za-z0-9_]*= ]] || fail_usage "--env '$pair' is not NAME=VALUE"
done

missing=()
if [[ -z $sysroot ]]; then
  qemu=qemu-system-x86_64 qemu_package=qemu-system-x86 strip=strip
  machine=(-machine pc)
  console=ttyS0 results_port=ttyS1 results_device=isa-serial
  busybox=$(command -v busybox || true)
  if [[ -z $busybox ]] || ldd "$busybox" >/dev/null 2>&1; then missing+=(busybox-static); fi
else
  qemu=qemu-system-aarch64 qemu_package=qemu-system-arm strip=aarch64-linux-gnu-strip
  machine=(-machine 'virt,gic-version=3' -cpu neoverse-n1)
  console=ttyAMA0 results_port=ttyS0 results_device=pci-serial  # this machine has one serial port by itself, and gets another one by PCI
  busybox=$sysroot/bin/busybox
  [[ -x $busybox ]] || fail_usage "--aarch64 '$sysroot' has no bin/busybox"
fi
command -v "$qemu" >/dev/null || missing+=("$qemu_package")
command -v cpio >/dev/null || missing+=(cpio)
((${#missing[@]} == 0)) || skip_all "missing: ${missing[*]}. On Debian: apt-get install ${missing[*]}"
mkdir -p "$out"
out=$(cd "$out" && pwd)
# kernel.sh's reason goes to standard error, and from there into the skip's.
kernel=$("$here/kernel.sh" "$out" 2>"$out/kernel.log") || skip_all "$(tail -n 1 "$out/kernel.log")"

work=$(mktemp -d "$out/run.XXXXXX")
qemu_pid=
cleanup() {
  # This is timeout(1), which hands the signal on to its QEMU.
  if [[ -n $qemu_pid ]] && kill -TERM "$qemu_pid" 2>/dev/null; then wait "$qemu_pid" || true; fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Copies a file to the same path in the guest, or to another one.
put() {
  mkdir -p "$work/root/$(dirname "$2")"
  cp --dereference "$1" "$work/root/$2"
}

# Every shared library that a binary links, the loader included, by its path in the guest.
libraries_of() {
  if [[ -z $sysroot ]]; then
    ldd "$1" | sed -n 's/^[[:space:]]*\(.* => \)\?\(\/[^ ]*\) (0x[0-9a-f]*)$/\2/p'
  else
    foreign_libraries_of "$1" | sort -u
  fi
}

# The same where ldd cannot run the binary.
foreign_libraries_of() {
  local name path
  while read -r name; do
    for path in /lib /lib/aarch64-linux-gnu /usr/lib/aarch64-linux-gnu; do
      [[ -e $sysroot$path/$name ]] || continue
      echo "$path/$name"
      foreign_libraries_of "$sysroot$path/$name"
      break
    done
  done < <(readelf --dynamic "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p')
}

# The system's where they are, ours in /guest/lib: their folder may be one that the guest mounts something over.
put_libraries() {
  local library place
  while read -r library; do
    place=$library
    [[ $library == /lib* || $library == /usr/* ]] || place=/guest/lib/$(basename "$library")
    [[ -e $work/root/$place ]] || put "$sysroot$library" "$place"
  done < <(libraries_of "$1")
}

make_initramfs() {
  local binary name
  mkdir -p "$work"/root/{bin,dev,proc,sys,tmp,guest/{bin,lib}}
  put "$busybox" bin/busybox
  ln -s busybox "$work/root/bin/sh"
  put "$here/guest_init.sh" init
  chmod 755 "$work/root/init"
  for binary in "${binaries[@]}"; do
    name=$(basename "$binary")
    put "$binary" "guest/bin/$name"
    # Symbols for debuggers are most of the file, and all of it is held in the guest's memory.
    if command -v "$strip" >/dev/null; then "$strip" --strip-debug "$work/root/guest/bin/$name"; fi
    echo "/guest/bin/$name" >>"$work/root/guest/binaries"
    put_libraries "$binary"
  done
  for pair in ${files[@]+"${files[@]}"}; do
    put "${pair%%:*}" "${pair#*:}"
    [[ $pair != *.so.* ]] || put_libraries "${pair%%:*}"
  done
  echo "$filter" >"$work/root/guest/filter"
  echo "$case_seconds" >"$work/root/guest/case_seconds"
  echo -n "$shell" >"$work/root/guest/shell"
  echo "$results_port" >"$work/root/guest/results_port"
  printf '%s\n' "${environment[@]}" >"$work/root/guest/environment"
  local node
  for node in "${!node_huge_pages[@]}"; do
    echo "$node ${node_huge_pages[$node]}"
  done >"$work/root/guest/huge_pages"
  (cd "$work/root" && find . -print0 | cpio --null --create --format=newc --owner=+0:+0 --quiet) >"$work/initramfs"
}

qemu_arguments() {
  local node total_mib=0
  arguments=("${machine[@]}" -accel 'tcg,thread=multi' -nodefaults -no-user-config -display none -no-reboot -nic none)
  for node in "${!node_mib[@]}"; do
    arguments+=(-object "memory-backend-ram,id=memory$node,size=${node_mib[$node]}M"
                -numa "node,nodeid=$node,memdev=memory$node${node_cpus[$node]:+,cpus=${node_cpus[$node]}}")
    total_mib=$((total_mib + node_mib[node]))
  done
  local from to distance
  while read -r from to distance; do
    arguments+=(-numa "dist,src=$from,dst=$to,val=$distance")
  done < <(printf '%s\n' "${distances[@]}")
  arguments+=(-m "${total_mib}M" -smp 4 -kernel "$kernel" -initrd "$work/initramfs"
              -append "console=$console loglevel=1 panic=-1 random.trust_cpu=on")
}

# Throws QEMU's switch as cases begin, for as long as it runs. The switch has two names, an older and a newer one; QEMU
# complains of the other.
switch_single_steps() {
  local name state now=off
  while kill -0 "$1" 2>/dev/null; do
    name=$(sed -n -e 's/\r//' -e 's/^\[guest\] RUN //p' "$out/console.log" | tail -n 1)
    # shellcheck disable=SC2053  # it is a pattern
    if [[ $name == $single_steps ]]; then state=on; else state=off; fi
    if [[ $state != "$now" ]]; then
      now=$state
      # Opened for reading as well, so that a QEMU that is gone holds nobody up.
      printf '%s\n' "singlestep $now" "one-insn-per-tb $now" 1<>"$work/monitor.in"
    fi
    sleep 0.2
  done
}

# A FAIL where a case that was to go step by step did not: its passing would say less than people think.
check_single_steps() {
  local name why=
  grep -aq 'singlestep on' "$out/monitor.log" || why='the switch was not thrown'
  if grep -aq "unknown command: 'singlestep'" "$out/monitor.log" &&
    grep -aq "unknown command: 'one-insn-per-tb'" "$out/monitor.log"; then
    why='this QEMU has no such switch'
  fi
  [[ -n $why ]] || return 0
  while read -r name; do
    # shellcheck disable=SC2053  # it is a pattern
    [[ $name == $single_steps ]] || continue
    echo "[guest] FAIL single_steps ($why: $out/monitor.log)" | tee -a "$work/console"
    return 0
  done < <(sed -n 's/^\[guest\] RUN //p' "$work/console")
}

# The guest's own lines as they come, until that process ends.
show_progress() {
  tail --pid="$1" -s 0.3 -n +1 -f "$out/console.log" | sed -u -n -e 's/\r//g' -e '/^\[guest\] RUN/d' \
    -e '/^\[\(guest\|output\|kernel\)\]/p'
}

# The cases as JUnit XML, for tools that read it; the text of each case is in its log.
write_junit() {
  sed -n 's/^\[guest\] \(PASS\|FAIL\|SKIP\) \([^ :]*\):\{0,1\} *\(.*\)$/\1\t\2\t\3/p' "$work/console" |
    sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' -e 's/"/\&quot;/g' |
    awk -F '\t' '
      BEGIN { print "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"; print "<testsuite name=\"numa_guest\">" }
      {
        suite = $2; sub(/\.[^.]*$/, "", suite)
        seconds = 0; if (match($3, /[0-9.]+ s/)) seconds = substr($3, RSTART, RLENGTH - 2)
        name = substr($2, length(suite) + 2)
        printf "  <testcase classname=\"%s\" name=\"%s\" time=\"%s\"", suite, name == "" ? $2 : name, seconds
        if ($1 == "PASS") print "/>"
        else if ($1 == "SKIP") printf "><skipped message=\"%s\"/></testcase>\n", $3
        else printf "><failure message=\"%s\"/></testcase>\n", $3
      }
      END { print "</testsuite>" }' >"$out/junit.xml"
}

# The console without carriage returns, and with a FAIL for what the guest did not finish.
read_console() {
  tr -d '\r' <"$out/console.log" >"$work/console"
  grep -q '^\[guest\] DONE' "$work/console" && return 0
  local running
  running=$(sed -n 's/^\[guest\] RUN //p' "$work/console" | tail -n 1)
  echo "[guest] the guest $1; the end of its console (all of it: $out/console.log):"
  tail -n 40 "$work/console" | sed 's/^/[console] /'
  echo "[guest] FAIL ${running:-boot} (the guest $1)" | tee -a "$work/console"
}

make_initramfs
arguments=()
qemu_arguments
if [[ -n $shell ]]; then
  echo "[guest] a shell in the guest; Ctrl-A X ends it"
  "$qemu" "${arguments[@]}" -serial mon:stdio
  exit 0
fi

rm -rf "$out/results" "$out/junit.xml"
mkdir -p "$out/results"
: >"$out/console.log"
started=$SECONDS
if [[ -n $single_steps ]]; then
  mkfifo "$work/monitor.in" "$work/monitor.out"
  arguments+=(-chardev "pipe,id=monitor,path=$work/monitor,logfile=$out/monitor.log" -mon chardev=monitor)
fi
timeout --kill-after=5 "$limit_seconds" "$qemu" "${arguments[@]}" -serial "file:$out/console.log" \
  -chardev "file,id=results,path=$work/results.tar" -device "$results_device,chardev=results" </dev/null 2>"$out/qemu.log" &
qemu_pid=$!
show_progress "$qemu_pid" &
progress_pid=$!
switch_pid=
if [[ -n $single_steps ]]; then
  switch_single_steps "$qemu_pid" &
  switch_pid=$!
fi
status=0
wait "$qemu_pid" || status=$?
qemu_pid=
wait "$progress_pid" || true
if [[ -n $switch_pid ]]; then wait "$switch_pid" || true; fi
ended="ended without finishing (a kernel panic, or process 1 died)"
if ((status == 124 || status == 137)); then ended="did not finish within $limit_seconds s"; fi
if ((status != 0 && status != 124 && status != 137)); then
  ended="could not run: qemu ended with status $status: $(tail -n 1 "$out/qemu.log")"
fi
read_console "$ended"
tar -x -C "$out/results" -f "$work/results.tar" 2>/dev/null || echo "[guest] logs and XML did not come back whole"
[[ -z $single_steps ]] || check_single_steps
write_junit

passed=$(grep -c '^\[guest\] PASS ' "$work/console" || true)
failed=$(grep -c '^\[guest\] FAIL ' "$work/console" || true)
skipped=$(grep -c '^\[guest\] SKIP ' "$work/console" || true)
if ((failed > 0)); then
  echo "[guest] failed:"
  sed -n 's/^\[guest\] FAIL /[guest]   /p' "$work/console"
fi
echo "[guest] took $((SECONDS - started)) s; logs and XML: $out/results, $out/junit.xml"
if ((passed + failed + skipped == 0)); then echo "[guest] no case ran: does --filter '$filter' match any?"; fi
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
