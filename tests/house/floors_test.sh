#!/usr/bin/env bash
# floors_test.sh: what a target may include builds, and what lies above it does not.
#
# Usage      floors_test.sh CXX INCLUDE_DIRS ALLOWED_HEADERS REFUSED_HEADERS (directories by ; and headers by comma)
source "$(dirname "$0")/check.sh"
cxx=$1 directories=$2 allowed=$3 refused=$4

flags=()
while read -r directory; do [[ -z $directory ]] || flags+=("-I$directory"); done <<<"${directories//;/$'\n'}"
look() {  # header
  printf '#include "%s"\n' "$1" >"$scratch/include.cc"
  # Whether an include is in sight shows when it is preprocessed; that headers compile is another test's matter.
  "$cxx" -std=c++20 -E -o /dev/null "${flags[@]}" "$scratch/include.cc" >"$scratch/compile.log" 2>&1
}
# The control: without it a broken compiler would pass this test.
for header in ${allowed//,/ }; do
  look "$header" || fail "$header may be included and does not build: $(head -n 5 "$scratch/compile.log")"
done
for header in ${refused//,/ }; do
  ! look "$header" || fail "$header lies above and could be included"
  grep -qE "fatal error: ('|)$header('|:)" "$scratch/compile.log" ||
    fail "$header was refused for another reason than that it is out of sight: $(head -n 5 "$scratch/compile.log")"
done
echo "passed: $(tr ',' '\n' <<<"$allowed" | wc -l) allowed, $(tr ',' '\n' <<<"$refused" | wc -l) refused"
