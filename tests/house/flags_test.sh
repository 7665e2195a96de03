#!/usr/bin/env bash
# flags_test.sh: every flag that README.md and docs/ name for our commands is in the --help of that command.
#
# Usage      flags_test.sh SOURCE_DIR BUILD_DIR
source "$(dirname "$0")/check.sh"
source_dir=$1 build_dir=$2
cd "$source_dir" || fail "no folder $source_dir"
[[ -s README.md ]] || fail "README.md is missing"

# Commands by the word that names them in the text.
declare -A help
help[quickstart.sh]=$(tools/quickstart.sh --help) || fail "quickstart.sh --help"
help[run.sh]=$(tests/run.sh --help) || fail "run.sh --help"
help[numa_guest/run.sh]=$(tests/numa_guest/run.sh --help) || fail "numa_guest/run.sh --help"
help[packages.sh]=$(tools/packages.sh --help) || fail "packages.sh --help"
help[huge_pages.sh]=$(tools/huge_pages.sh --help) || fail "huge_pages.sh --help"
[[ -x $build_dir/kv_bench ]] || skip "kv_bench was not built"
[[ -x $build_dir/hugepool ]] || skip "the tool hugepool was not built"
help[kv_bench]=$("$build_dir/kv_bench" --help) || fail "kv_bench --help"
help[bench/compare]=$(bench/compare --help) || fail "bench/compare --help"
for program in pool_bench bench_compare numa_model; do
  [[ -x $build_dir/$program ]] || skip "$program was not built"
  help[$program]=$("$build_dir/$program" --help) || fail "$program --help"
done
help["hugepool check"]=$("$build_dir/hugepool" check --help) || fail "hugepool check --help"
everything=${help[*]}

# Prints "LINE<tab>COMMAND<tab>FLAG" for each flag; COMMAND is "none" where a line names none of ours. Flags of cmake,
# ctest, git, apt-get and pkg-config are not ours to prove.
find_flags() {
  awk '
    {
      rest = $0
      while (match(rest, /(quickstart\.sh|numa_guest\/run\.sh|run\.sh|packages\.sh|huge_pages\.sh|kv_bench|pool_bench|bench_compare|numa_model|bench\/compare|hugepool check|cmake|ctest|git|apt-get|pkg-config|[|;]|&&|--[a-z][a-z0-9_-]*)/)) {
        word = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        if (word ~ /^--/) { if (command !~ /^(cmake|ctest|git|apt-get|pkg-config)$/) print FILENAME ":" FNR "\t" (command == "" ? "none" : command) "\t" word }
        else if (word ~ /^([|;]|&&)$/) command = ""
        else command = word
      }
      # A line that ends in a backslash goes on.
      if ($0 !~ /\\$/) command = ""
    }' "$@"
}
mapfile -t documents < <(find README.md docs pool/README.md -name '*.md' | sort)
find_flags "${documents[@]}" >"$scratch/flags"
[[ -s $scratch/flags ]] || fail "no flag found in ${documents[*]}: the search is broken"
count=0
while IFS=$'\t' read -r place command flag; do
  text=$everything
  [[ $command == none ]] || text=${help[$command]}
  grep -qE -- "(^|[^a-z0-9_-])$flag([^a-z0-9_-]|$)" <<<"$text" || fail "$place: ${command/none/our commands}: no $flag"
  count=$((count + 1))
done <"$scratch/flags"
echo "passed: $count flags in ${#documents[@]} documents"
