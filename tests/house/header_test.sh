#!/usr/bin/env bash
# header_test.sh: one header compiles alone, twice included, without a warning, in debug and in release builds.
#
# Usage      header_test.sh COMPILERS INCLUDE_DIRS HEADER (compilers by comma, directories by ;)
source "$(dirname "$0")/check.sh"
compilers=$1 directories=$2 header=$3

flags=(-std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Werror)
while read -r directory; do [[ -z $directory ]] || flags+=("-I$directory"); done <<<"${directories//;/$'\n'}"
printf '#include "%s"\n#include "%s"\n' "$header" "$header" >"$scratch/alone.cc"
for compiler in ${compilers//,/ }; do
  must "$header alone" "$compiler" "${flags[@]}" "$scratch/alone.cc"
  must "$header alone, with NDEBUG" "$compiler" "${flags[@]}" -DNDEBUG "$scratch/alone.cc"
done
echo "passed under $compilers"
