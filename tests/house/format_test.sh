#!/usr/bin/env bash
# format_test.sh: every source is as .clang-format has it.
#
# Usage      format_test.sh SOURCE_DIR
source "$(dirname "$0")/check.sh"
cd "$1" || fail "no folder $1"

command -v clang-format >/dev/null || skip "clang-format is missing (Debian package clang-format)"
mapfile -t sources < <(find pool engine_integration tools bench tests -name '*.cc' -o -name '*.h' | sort)
((${#sources[@]} > 0)) || fail "no sources found in $1"
clang-format --dry-run -Werror "${sources[@]}" 2>"$scratch/messages" || {
  grep -oE '^[^:]+' "$scratch/messages" | grep -E '\.(cc|h)$' | sort | uniq -c
  fail "not formatted: run clang-format -i on the files above"
}
echo "passed: ${#sources[@]} files"
