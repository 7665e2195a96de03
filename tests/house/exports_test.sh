#!/usr/bin/env bash
# exports_test.sh: a shared library has its SONAME and shows public names only.
#
# Usage      exports_test.sh LIBRARY SONAME
source "$(dirname "$0")/check.sh"
library=$1 soname=$2

expect_equal "$(readelf -d "$library" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')" "$soname" "SONAME"
[[ $soname =~ \.so\.[0-9]+$ ]] || fail "the SONAME '$soname' does not end in a number"

nm --dynamic --defined-only --demangle --format=posix "$library" | grep -vE '^(_init|_fini) ' >"$scratch/names"
[[ -s $scratch/names ]] || fail "the library shows no name at all"
grep -q '^hugepool::' "$scratch/names" || fail "no hugepool:: name is shown"
# The C names: what the assembly of the inlined fast path counts (hugepool/internal/percpu.h), and the C API.
grep -vE '^((vtable|typeinfo|typeinfo name) for )?hugepool::|^hugepool_(percpu_v[0-9]+_abort_count|rocksdb_[a-z_]+) ' "$scratch/names" >"$scratch/foreign"
[[ ! -s $scratch/foreign ]] || fail "names outside of hugepool:: are shown: $(head -n 5 "$scratch/foreign")"
# As the name itself; public functions may mention internal types among their parameters only where private.
# What the inlined fast path reads has its version in the name.
grep -E '^((vtable|typeinfo|typeinfo name) for )?hugepool::internal::' "$scratch/names" |
  grep -vE '^hugepool::internal::percpu_v[0-9]+::' >"$scratch/internal"
[[ ! -s $scratch/internal ]] || fail "internal names are shown: $(head -n 5 "$scratch/internal")"
echo "passed: $(wc -l <"$scratch/names") names"
