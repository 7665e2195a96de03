#!/usr/bin/env bash
# model_test.sh: spin finds nothing wrong with a model in all its states, and something wrong with each of its mutants.
#
# Usage      model_test.sh MODEL.pml
# Cost       up to 45 s and 1.2 GB; all models 100 s
source "$(dirname "$0")/../house/check.sh"
model=$(realpath "$1")
readonly memory_mb=1400
cd "$scratch" || fail "no folder $scratch"

command -v spin >/dev/null || skip "spin is missing (Debian package spin)"
compiler=$(command -v cc || command -v gcc) || skip "a C compiler is missing (Debian package gcc)"

# search OPTIMIZATION SPIN_FLAGS...: leaves what the search says in the file "found".
search() {
  local optimization=$1
  shift
  must "reading the model" spin -a "$@" "$model"
  must "compiling the search" "$compiler" -w "$optimization" -DSAFETY -DMEMLIM=$memory_mb -o pan pan.c
  ./pan -m2500000 -w22 >found 2>&1
}

search -O2
grep -qE 'errors: 0$' found || {
  cat found
  spin -t -p -g "$model" 2>&1 | tail -n 100
  fail "the model breaks a promise"
}
# Truncated by depth, memory or time, it would have said nothing of the rest.
! grep -qE 'max search depth too small|Search not completed|out of memory|resource limit' found || {
  cat found
  fail "the search is not complete"
}
grep -qE 'invalid end states.*\+' found || fail "deadlocks were not looked for"
# A statement that no state reaches is one that the model does not test.
unreached=$(grep -E '^\s.*\.pml:[0-9]+, state [0-9]+, ' found | grep -vE '"-end-"|"\.\(goto\)"')
[[ -z $unreached ]] || fail "no state reaches: $unreached"
echo "  as written: $(awk '/states, stored/ { print $1 }' found) states, errors: 0"

mapfile -t mutants < <(sed -nE 's,^#ifn?def ([A-Z_0-9]+) /\* MUTANT.*,\1,p' "$model")
((${#mutants[@]} >= 4)) || fail "only ${#mutants[@]} mutants found in $model"
# Their searches end soon: compiling takes longer.
for mutant in "${mutants[@]}"; do
  search -O0 -D"$mutant"
  grep -qE '^pan:1: (assertion violated|invalid end state)' found || {
    cat found
    fail "$mutant is as good as the model"
  }
  echo "  $mutant: $(sed -nE 's/^pan:1: (assertion violated|invalid end state).*/\1/p' found)"
done
echo "passed: ${#mutants[@]} mutants found wrong"
