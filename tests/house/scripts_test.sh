#!/usr/bin/env bash
# scripts_test.sh: what the scripts that people start say to bad input, and where they may not install anything.
#
# Usage      scripts_test.sh SOURCE_DIR CASE
source "$(dirname "$0")/check.sh"
source_dir=$1 case_name=$2
cd "$source_dir" || fail "no folder $source_dir"

refused() {  # expected exit code, what the message must hold, command...
  local expected=$1 pattern=$2 status=0
  shift 2
  "$@" >"$scratch/out" 2>&1 || status=$?
  expect_equal "$status" "$expected" "exit code of: $* ($(tail -n 2 "$scratch/out"))"
  grep -qE -- "$pattern" "$scratch/out" || fail "$* does not say '$pattern': $(<"$scratch/out")"
}

case $case_name in
  bad_input)
    refused 2 "--records is '0'.*10000 to 1000000000" tools/quickstart.sh --records 0
    refused 2 "--records is 'many'" tools/quickstart.sh --records many
    refused 2 "--records needs a value" tools/quickstart.sh --records
    refused 2 "--seconds is '-1'.*1 to 600" tools/quickstart.sh --seconds -1
    refused 2 "--rounds is '101'.*1 to 100" tools/quickstart.sh --rounds 101
    refused 2 "unknown.*--frobnicate" tools/quickstart.sh --frobnicate
    refused 2 "unknown.*--frobnicate" tests/run.sh --frobnicate
    refused 2 "--stage is 'nothing'.*release" tests/run.sh --stage nothing
    refused 2 "--stage needs a value" tests/run.sh --stage
    refused 2 "usage: sysroot.sh FOLDER" tests/aarch64/sysroot.sh --frobnicate
    refused 2 "unknown.*everything" tools/packages.sh everything
    refused 2 "unknown.*--frobnicate" bench/compare --frobnicate
    refused 2 "--rounds is '0'.*1 to 1000" bench/compare --rounds 0
    refused 2 "--rounds is '1.5'.*a whole number" bench/compare --rounds=1.5
    refused 2 "--min_time is 'long'.*0.001 to 3600" bench/compare --min_time long
    refused 2 "--huge_pages is '-1'.*0 to 16777216" bench/compare --huge_pages -1
    refused 2 "--rows needs a value" bench/compare --rows
    ;;
  help)
    for script in tools/quickstart.sh tests/run.sh tools/packages.sh tools/huge_pages.sh bench/compare; do
      refused 0 "^usage: (\./)?$script" "$script" --help
    done
    ;;
  no_root_no_packages)
    # A machine on which nothing is installed and nobody may install anything: the one line that does is printed.
    mkdir "$scratch/bin"
    printf '#!/bin/sh\nexit 1\n' >"$scratch/bin/sudo"
    printf '#!/bin/sh\necho not-installed\n' >"$scratch/bin/dpkg-query"
    printf '#!/bin/sh\necho 1000\n' >"$scratch/bin/id"
    chmod +x "$scratch"/bin/*
    PATH=$scratch/bin:$PATH refused 2 "sudo sh -c 'apt-get update && apt-get install .*librocksdb-dev" \
      tools/packages.sh build
    ;;
  *) fail "unknown case '$case_name'" ;;
esac
echo "passed"
