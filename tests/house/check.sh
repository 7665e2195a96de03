# check.sh: what the shell tests of this folder share. To be sourced by bash.
# shellcheck shell=bash
#
# Errors     exit 0 passed, 1 failed, 77 skipped; the last line printed says why
set -u
export LC_ALL=C

scratch=$(mktemp -d)
clean_up() { rm -rf "$scratch"; }
trap clean_up EXIT

skip() {
  echo "$*"
  exit 77
}
fail() {
  echo "FAILED: $*"
  exit 1
}
expect_equal() { [[ $1 == "$2" ]] || fail "$3: '$1', expected '$2'"; }
# must TEXT COMMAND...: the command succeeds, or its output and TEXT are shown.
must() {
  local text=$1
  shift
  "$@" >"$scratch/must.log" 2>&1 || {
    cat "$scratch/must.log"
    fail "$text: $*"
  }
}
