#!/usr/bin/env bash
# run.sh: installs what the tests need, builds everything, runs the tests, and says what passed, failed and was skipped.
#
# Shape      stages, one after the other; each leaves build/tests/STAGE.tsv (status, name, seconds, reason)
# Owner      huge pages are reserved by tools/huge_pages.sh for as long as one stage's tests run
# Errors     exit 1 when a test failed or a stage did not build, 2 for bad input or missing packages
# Cost       under 45 minutes on two CPUs; with --long some four hours, an hour of it the first time only
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
source tools/step.sh

readonly all_stages=(release clang asan tsan guest aarch64)
readonly results=build/tests
readonly wanted_pages=1200
log_file=$results/run.log

usage() {
  cat <<'TEXT'
usage: ./tests/run.sh [--long] [--stage NAME]... [--seed N]

Installs the Debian packages that are missing, builds, and runs the tests. The last line is the sum:
"N passed, N failed, N skipped"; the exit code is 0 only where nothing failed.

  --stage NAME  run this stage only; may be given more than once:
                  release  g++, as users get it; the tests of the tree and of the scripts too
                  clang    clang builds everything; its thread-safety analysis is an error
                  asan     AddressSanitizer and UndefinedBehaviorSanitizer
                  tsan     ThreadSanitizer
                  guest    four NUMA nodes in a virtual machine
                  aarch64  the restartable sequences of AArch64 in an emulated machine
                  long     the soaks (as --long, without the other stages)
  --long        the soaks too (some four hours); writes build/long/summary.json
  --seed N      of the random walks, 1 to 4294967295; without it a new one each run, printed
TEXT
}

refuse() {
  echo "run.sh: $*" >&2
  exit 2
}

stages=()
long=
seed=$((($(date +%s%N) / 1000) % 4294967295 + 1))
while (($# > 0)); do
  case $1 in
    --help) usage; exit 0 ;;
    --long) long=1 ;;
    --stage | --seed)
      (($# >= 2)) || refuse "$1 needs a value. See ./tests/run.sh --help."
      if [[ $1 == --seed ]]; then
        [[ $2 =~ ^[0-9]{1,10}$ ]] && ((10#$2 >= 1 && 10#$2 <= 4294967295)) ||
          refuse "--seed is '$2'. Allowed: 1 to 4294967295."
        seed=$((10#$2))
      else
        [[ " ${all_stages[*]} long " == *" $2 "* ]] || refuse "--stage is '$2'. Allowed: ${all_stages[*]} long."
        stages+=("$2")
      fi
      shift
      ;;
    *) refuse "unknown argument '$1'. Allowed: --long, --stage, --seed, --help." ;;
  esac
  shift
done
((${#stages[@]} > 0)) || stages=("${all_stages[@]}")
[[ -z $long || " ${stages[*]} " == *" long "* ]] || stages+=(long)

# Running ------------------------------------------------------------------------------------------------------------

export HUGEPOOL_SEED=$seed
export GTEST_COLOR=no
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:check_initialization_order=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

# ThreadSanitizer of g++ 12 and clang 14 knows the address space of 28 random bits; newer kernels use 32. Where the
# system allows it, sanitized programs run without randomization.
fixed_addresses=()
! setarch -R true 2>/dev/null || fixed_addresses=(setarch -R)

add_result() {  # stage, status, name, seconds, reason
  printf '%s\t%s\t%s\t%s\n' "$2" "$3" "$4" "$5" >>"$results/$1.tsv"
}

# Turns ctest's JUnit file into lines "status<tab>name<tab>seconds<tab>reason". A test that ctest could not start counts
# as failed; so does one that was skipped and yet made a sanitizer speak.
read_junit() {
  awk '
    function plain(text) {
      gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&quot;/, "\"", text); gsub(/&apos;/, "\047", text)
      gsub(/&amp;/, "\\&", text); gsub(/\t/, " ", text); gsub(/^ +| +$/, "", text)
      return text
    }
    function attribute(line, name,    value) {
      if (!match(line, " " name "=\"[^\"]*\"")) return ""
      value = substr(line, RSTART, RLENGTH)
      sub(/^[^"]*"/, "", value); sub(/"$/, "", value)
      return plain(value)
    }
    /^\t<testcase / {
      name = attribute($0, "name"); seconds = attribute($0, "time"); status = attribute($0, "status")
      message = ""; reason = ""; first = ""; last = ""; collecting = 0; spoke = 0
      next
    }
    /<skipped message=/ { message = attribute($0, "message"); next }
    /<failure message=/ { message = attribute($0, "message"); next }
    /^\t<\/testcase>/ {
      if (status == "run") result = "passed"
      else if (status == "disabled") { result = "skipped"; reason = "disabled in the source" }
      else if (status == "notrun" && message ~ /^SKIP_(REGULAR_EXPRESSION_MATCHED|RETURN_CODE)/ && !spoke) result = "skipped"
      else { result = "failed"; reason = first != "" ? first : (message != "" ? message : last) }
      if (result == "skipped" && reason == "") reason = last
      if (result == "passed") reason = ""
      print result "\t" name "\t" seconds "\t" plain(reason)
      name = ""
      next
    }
    name != "" {
      line = $0
      sub(/^\t\t<system-out>/, "", line); sub(/<\/system-out>$/, "", line)
      if (line ~ /(ERROR|WARNING): (Address|Thread|Leak|Memory)Sanitizer|: runtime error: /) spoke = 1
      if (first == "" && (spoke || line ~ /: Failure$|^FAILED: /)) first = line
      if (line ~ /^\[  SKIPPED \]/) collecting = 0
      if (collecting && line != "") reason = reason (reason == "" ? "" : " ") line
      if (line ~ /: Skipped$/) collecting = 1
      if (line !~ /^ *$/) last = line
    }' "$1"
}

# The same of the guest's JUnit file, which has one case a line.
read_guest_cases() {
  sed -nE -e 's/.*<testcase classname="([^"]*)" name="([^"]*)" time="([^"]*)"(.*)$/\1.\2\t\3\t\4/p' "$1" |
    sed -E -e 's/^(.*)\t(.*)\t\/>$/passed\t\1\t\2\t/' \
      -e 's/^(.*)\t(.*)\t><skipped message="([^"]*)".*$/skipped\t\1\t\2\t\3/' \
      -e 's/^(.*)\t(.*)\t><failure message="([^"]*)".*$/failed\t\1\t\2\t\3/' \
      -e 's/&lt;/</g; s/&gt;/>/g; s/&quot;/"/g; s/&amp;/\&/g'
}

# run_tests STAGE BUILD_DIR TEXT WITH_PAGES CTEST_ARGUMENTS...: one run of ctest, its results added to the stage's.
run_tests() {
  local stage=$1 build_dir=$2 text=$3 with_pages=$4 junit=$PWD/$results/$1.xml before after
  shift 4
  local command=(ctest --test-dir "$build_dir" --output-junit "$junit" --test-output-size-passed 40000
                 --test-output-size-failed 400000 --output-on-failure --no-tests=error --timeout 600 "$@")
  [[ $stage == asan || $stage == tsan ]] && command=("${fixed_addresses[@]}" "${command[@]}")
  # This shell's death is a TERM to huge_pages.sh, which then puts the count back.
  [[ -z $with_pages ]] ||
    command=(setpriv --pdeathsig TERM tools/huge_pages.sh with --wait 600 "$wanted_pages" -- "${command[@]}")
  rm -f "$junit"
  before=$(wc -l <"$results/$stage.tsv")
  # Which tests failed is read from the file, and the summary names them.
  local status=0
  step_tail_count=0 run_step "$text" "${command[@]}" || status=$?
  [[ ! -s $junit ]] || read_junit "$junit" >>"$results/$stage.tsv"
  after=$(wc -l <"$results/$stage.tsv")
  if ((after == before)); then
    tail -n 20 "$log_file" | sed 's/^/    /'
    add_result "$stage" failed "$text" "$step_seconds" "no test ran (ctest's exit code is $status)"
  elif ((status != 0)) && ! tail -n "+$((before + 1))" "$results/$stage.tsv" | grep -q '^failed'; then
    add_result "$stage" failed "$text" "$step_seconds" "ctest's exit code is $status, yet no test failed"
  fi
}

# build STAGE PRESET: configures and builds all; where that fails the stage has one failed test.
built=()
build() {
  local stage=$1 preset=$2 command=(cmake --build --preset "$2")
  [[ " ${built[*]} " != *" $preset "* ]] || return 0
  [[ $preset != asan && $preset != tsan ]] || command=("${fixed_addresses[@]}" "${command[@]}")
  # Under a sanitizer what is ours to sanitize: Debian's RocksDB is not instrumented, so ThreadSanitizer would not see its
  # locks, and the benchmarks are RocksDB and pipes.
  local rocksdb=ON bench=ON tools=ON
  [[ $preset != asan && $preset != tsan ]] || bench=OFF
  [[ $preset != tsan ]] || rocksdb=OFF tools=OFF
  [[ $preset != aarch64 ]] || rocksdb=OFF tools=OFF bench=OFF
  local parts=(-DHUGEPOOL_BUILD_ROCKSDB=$rocksdb -DHUGEPOOL_BUILD_TOOLS=$tools -DHUGEPOOL_BUILD_BENCH=$bench
               -DHUGEPOOL_BUILD_TESTS=ON)
  if run_step "$stage: configure" cmake --preset "$preset" "${parts[@]}" &&
    run_step "$stage: build" "${command[@]}"; then
    built+=("$preset")
    return 0
  fi
  add_result "$stage" failed "$stage: build" "$step_seconds" "does not build; see $log_file"
  return 1
}

stage_release() {
  build release release || return
  run_tests release build/release "release: tests" pages -LE 'long|guest|reservation'
  # These change the huge-page count themselves, so nobody else may hold it meanwhile.
  run_tests release build/release "release: tests of the huge-page count" "" -L reservation -LE 'long|guest'
}

stage_clang() {
  build clang clang || return
  add_result clang passed "clang builds everything without a warning" "$step_seconds" ""
}

stage_asan() {
  build asan asan || return
  run_tests asan build/asan "asan: tests" pages -LE 'long|guest|reservation|house'
}

stage_tsan() {
  build tsan tsan || return
  run_tests tsan build/tsan "tsan: tests" pages -LE 'long|guest|reservation|house'
}

# To ctest a guest is one test. Its cases stand in its place, each with its own result.
put_guest_cases() {  # stage, ctest's name of the guest, its JUnit file
  local file=$results/$1_cases.tsv
  [[ -s $3 ]] || return 0
  read_guest_cases "$3" >"$file"
  grep -q . "$file" || return 0
  # Where the guest failed although none of its cases did, its own failure stays.
  if grep -q '^failed' "$file" || ! grep -q "^failed.$2" "$results/$1.tsv"; then
    sed -i "/^[a-z]*\t$2\t/d" "$results/$1.tsv"
  fi
  cat "$file" >>"$results/$1.tsv"
}

stage_guest() {
  build guest release || return
  local cases=build/release/numa_guest/junit.xml
  rm -f "$cases"
  run_tests guest build/release "guest: tests" "" -L guest -LE long
  put_guest_cases guest numa_guest "$cases"
}

stage_aarch64() {
  local status=0 cases=build/aarch64/aarch64_guest/junit.xml
  step_tail_count=1 run_step "aarch64: packages" tests/aarch64/sysroot.sh build/aarch64_packages || status=$?
  if ((status != 0)); then
    add_result aarch64 "$([[ $status == 77 ]] && echo skipped || echo failed)" "aarch64: packages" "$step_seconds" \
      "$(tail -n 1 "$log_file")"
    return
  fi
  build aarch64 aarch64 || return
  rm -f "$cases"
  run_tests aarch64 build/aarch64 "aarch64: tests in the guest" "" -L aarch64
  put_guest_cases aarch64 aarch64_guest "$cases"
  sed -n 's/^ *"aborted_sequences": \([0-9]*\).*/  a stress in the guest: \1 sequences aborted/p' \
    build/aarch64/aarch64_guest/results/*.log 2>/dev/null
  # The same tests where there are no sequences: by the mode that needs none.
  HUGEPOOL_PROMISED_MODE=locked HUGEPOOL_STRESS_SECONDS=5 run_tests aarch64 build/aarch64 \
    "aarch64: tests without sequences" "" -R '^(FoundMode|Modes/CpuRegions|CpuCache|PoolBlocks|PoolInlined)' -LE guest
}

stage_long() {
  rm -rf build/long
  mkdir -p build/long/figures
  export HUGEPOOL_FIGURES_DIR=$PWD/build/long/figures
  build long release || return
  run_tests long build/release "long: soaks" pages -L long
}

# Saying what happened -----------------------------------------------------------------------------------------------

count_results() { awk -F '\t' -v status="$2" '$1 == status { n++ } END { print n + 0 }' "$results/$1.tsv"; }

json_text() { printf '"%s"' "$(printf '%s' "$1" | tr '\n\t' '  ' | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g')"; }

# build/long/summary.json: what ran, on what, for how long, and the figures that the soaks left as JSON files.
write_summary() {
  local out=build/long/summary.json file name stage status seconds reason separator=
  printf 'file(READ "${file}" text)\nstring(JSON type TYPE "${text}")\n' >"$results/check_json.cmake"
  for file in build/long/figures/*.json; do
    [[ -e $file ]] || continue
    if ! cmake -Dfile="$PWD/$file" -P "$results/check_json.cmake" >>"$log_file" 2>&1; then
      add_result long failed "figures in $file" 0 "no valid JSON"
      mv "$file" "$file.invalid"
    fi
  done
  {
    printf '{\n  "commit": %s,\n' "$(json_text "$(git rev-parse HEAD 2>/dev/null || echo unknown)")"
    printf '  "modified": %s,\n' "$([[ -n $(git status --porcelain 2>/dev/null) ]] && echo true || echo false)"
    printf '  "seed": %d,\n  "started": %s,\n  "seconds": %d,\n' "$seed" "$(json_text "$started")" "$SECONDS"
    printf '  "kernel": %s,\n  "cpus": %d,\n  "memory_kib": %d,\n' "$(json_text "$(uname -r)")" "$(nproc)" \
      "$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)"
    printf '  "stages": ['
    for stage in "${stages[@]}"; do
      printf '%s\n    {"stage": "%s", "passed": %d, "failed": %d, "skipped": %d, "seconds": %d}' "$separator" "$stage" \
        "$(count_results "$stage" passed)" "$(count_results "$stage" failed)" "$(count_results "$stage" skipped)" \
        "${stage_seconds[$stage]}"
      separator=,
    done
    printf '\n  ],\n  "tests": ['
    separator=
    while IFS=$'\t' read -r status name seconds reason; do
      printf '%s\n    {"name": %s, "status": "%s", "seconds": %s, "reason": %s}' "$separator" "$(json_text "$name")" \
        "$status" "${seconds:-0}" "$(json_text "$reason")"
      separator=,
    done <"$results/long.tsv"
    printf '\n  ],\n  "figures": {'
    separator=
    for file in build/long/figures/*.json; do
      [[ -e $file ]] || continue
      name=${file##*/}
      printf '%s\n    %s: %s' "$separator" "$(json_text "${name%.json}")" "$(sed '1!s/^/    /' "$file")"
      separator=,
    done
    printf '\n  }\n}\n'
  } >"$out"
  echo "written: $out"
}

print_summary() {
  local stage status name seconds reason passed=0 failed=0 skipped=0
  echo
  echo "stage      passed  failed  skipped  seconds"
  for stage in "${stages[@]}"; do
    printf '%-9s  %6d  %6d  %7d  %7d\n' "$stage" "$(count_results "$stage" passed)" "$(count_results "$stage" failed)" \
      "$(count_results "$stage" skipped)" "${stage_seconds[$stage]}"
    passed=$((passed + $(count_results "$stage" passed)))
    failed=$((failed + $(count_results "$stage" failed)))
    skipped=$((skipped + $(count_results "$stage" skipped)))
  done
  for wanted in skipped failed; do
    for stage in "${stages[@]}"; do
      # read would take empty fields together: tabs are white space to it.
      while IFS=$'\037' read -r status name seconds reason; do
        [[ $status != "$wanted" ]] || printf '%s  %s  %s: %s\n' "$status" "$stage" "$name" "${reason:-no reason given}"
      done < <(tr '\t' '\037' <"$results/$stage.tsv")
    done
  done
  echo "all output: $log_file; seed $seed; $((SECONDS / 60)) min $((SECONDS % 60)) s"
  echo "$passed passed, $failed failed, $skipped skipped"
  ((failed == 0))
}

mkdir -p "$results"
: >"$log_file"
started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
declare -A stage_seconds
echo "hugepool's tests: ${stages[*]}; seed $seed; log in $log_file"
step_tail_count=20 run_step "packages" tools/packages.sh build bench test || exit $?
for stage in "${stages[@]}"; do
  : >"$results/$stage.tsv"
  stage_start=$SECONDS
  "stage_$stage"
  stage_seconds[$stage]=$((SECONDS - stage_start))
done
[[ ! -d build/long || " ${stages[*]} " != *" long "* ]] || write_summary
print_summary
