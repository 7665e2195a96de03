#!/usr/bin/env bash
# readme_examples_test.sh: every C++ and C example of README.md and docs/ compiles as it stands there, its #include lines
# first and the rest as the body of a function.
#
# Usage      readme_examples_test.sh SOURCE_DIR COMPILER INCLUDE_DIRS (directories by ;)
source "$(dirname "$0")/check.sh"
source_dir=$1 compiler=$2 directories=$3

flags=(-fsyntax-only -Wall -Wextra -Werror)
while read -r directory; do [[ -z $directory ]] || flags+=("-I$directory"); done <<<"${directories//;/$'\n'}"
awk -v folder="$scratch" '
  /^```(cpp|c)$/ { file = folder "/" ++count "." (/cpp/ ? "cc" : "c") ".example"; next }
  /^```$/ { file = "" }
  file != "" { print >file }' "$source_dir/README.md" "$source_dir"/docs/*.md
shopt -s nullglob
examples=("$scratch"/*.example)
((${#examples[@]} > 3)) || fail "README.md and docs/ have hardly an example"
for example in "${examples[@]}"; do
  # An example that goes on from the one before uses its error (one in C: its cache options too); the braces let another
  # declare its own.
  parameters='[[maybe_unused]] hugepool::Error& error' language=(-std=c++20)
  [[ $example != *.c.example ]] || parameters='rocksdb_lru_cache_options_t* lru' language=(-x c -std=c11)
  {
    grep '^#include' "$example"
    echo "void Example($parameters);"
    echo "void Example($parameters) {{"
    grep -v '^#include' "$example"
    echo '}}'
  } >"${example%.example}"
  must "this example: $(<"$example")" "$compiler" "${language[@]}" "${flags[@]}" "${example%.example}"
done
echo "passed: ${#examples[@]} examples"
