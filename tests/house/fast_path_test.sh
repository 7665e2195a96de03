#!/usr/bin/env bash
# fast_path_test.sh: a block is handed out and taken back in as few instructions as the headers say, without a call and
# without a locked instruction, by the compilers that are here.
#
# Usage      fast_path_test.sh INCLUDE_FOLDER
source "$(dirname "$0")/check.sh"
include=$1

[[ $(uname -m) == x86_64 ]] || skip "the counts are those of x86-64"
cat >"$scratch/user.cc" <<'CODE'
#include <hugepool/pool.h>
#include <hugepool/slab_cache.h>
extern "C" void* SlabCacheAllocate(hugepool::SlabCache& cache) { return cache.Allocate(); }
extern "C" void SlabCacheDeallocate(hugepool::SlabCache& cache, void* block) { cache.Deallocate(block); }
extern "C" void* PoolAllocate(hugepool::Pool& pool, size_t bytes) { return pool.Allocate(bytes); }
extern "C" void PoolDeallocate(hugepool::Pool& pool, void* block) { pool.Deallocate(block); }
extern "C" void PoolDeallocateSized(hugepool::Pool& pool, void* block, size_t bytes) { pool.Deallocate(block, bytes); }
CODE

compiler_count=0
for compiler in g++ clang++; do
  command -v "$compiler" >/dev/null || { echo "  $compiler is not here"; continue; }
  compiler_count=$((compiler_count + 1))
  "$compiler" -std=c++20 -O2 -I"$include" -c "$scratch/user.cc" -o "$scratch/user.o"
  objdump --disassemble --no-show-raw-insn "$scratch/user.o" >"$scratch/code"
  for limit in SlabCacheAllocate=11 SlabCacheDeallocate=15 PoolAllocate=20 PoolDeallocate=29 PoolDeallocateSized=38; do
    name=${limit%=*}
    # The way of a hit goes straight down to the first return.
    awk -v start="<$name>:" '$2 == start {on = 1; next} on && $2 == "ret" {exit} on && NF' "$scratch/code" >"$scratch/hit"
    count=$(wc -l <"$scratch/hit")
    ((count > 5)) || fail "$compiler: no code found for $name"
    ((count <= ${limit#*=})) || fail "$compiler: $name takes $count instructions, at most ${limit#*=} were promised"
    ! grep -qE '\<(call|lock|xchg|cmpxchg)' "$scratch/hit" || fail "$compiler: $name calls or locks: $(<"$scratch/hit")"
    grep -q '%fs:' "$scratch/hit" || fail "$compiler: $name has no restartable sequence"
    echo "  $compiler: $name $count"
  done
done
((compiler_count > 0)) || fail "no compiler found"
echo "passed: $compiler_count compilers"
