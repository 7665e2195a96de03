#!/usr/bin/env bash
# readme_examples_test.sh: every C++ example of the README compiles as it stands there, its #include lines first and the
# rest as the body of a function.
#
# Usage      readme_examples_test.sh SOURCE_DIR COMPILER INCLUDE_DIRS (directories by ;)
source "$(dirname "$0")/check.sh"
source_dir=$1 compiler=$2 directories=$3

flags=(-std=c++20 -fsyntax-only -Wall -Wextra -Werror)
while read -r directory; do [[ -z $directory ]] || flags+=("-I$directory"); done <<<"${directories//;/$'\n'}"
awk -v folder="$scratch" '
  /^```cpp$/ { file = folder "/" ++count ".example"; next }
  /^```$/ { file = "" }
  file != "" { print >file }' "$source_dir/README.md"
shopt -s nullglob
examples=("$scratch"/*.example)
((${#examples[@]} > 0)) || fail "the README has no C++ example"
for example in "${examples[@]}"; do
  # An example that goes on from the one before uses its error; the braces let another declare its own.
  {
    grep '^#include' "$example"
    echo 'void Example([[maybe_unused]] hugepool::Error& error);'
    echo 'void Example([[maybe_unused]] hugepool::Error& error) {{'
    grep -v '^#include' "$example"
    echo '}}'
  } >"$example.cc"
  must "this example of the README: $(<"$example")" "$compiler" "${flags[@]}" "$example.cc"
done
echo "passed: ${#examples[@]} examples"
