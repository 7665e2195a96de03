#!/usr/bin/env bash
# fast_path_test.sh: a block is handed out and taken back in as few instructions as the headers say, without a call and
# without a locked instruction, by the compilers that are here; for AArch64 too where its cross compiler is.
#
# Usage      fast_path_test.sh INCLUDE_FOLDER
source "$(dirname "$0")/check.sh"
include=$1

[[ $(uname -m) == x86_64 ]] || skip "the compilers here are taken for those of x86-64"
cat >"$scratch/user.cc" <<'CODE'
#include <hugepool/pool.h>
#include <hugepool/slab_cache.h>
extern "C" void* SlabCacheAllocate(hugepool::SlabCache& cache) { return cache.Allocate(); }
extern "C" void SlabCacheDeallocate(hugepool::SlabCache& cache, void* block) { cache.Deallocate(block); }
extern "C" void* PoolAllocate(hugepool::Pool& pool, size_t bytes) { return pool.Allocate(bytes); }
extern "C" void PoolDeallocate(hugepool::Pool& pool, void* block) { pool.Deallocate(block); }
extern "C" void PoolDeallocateSized(hugepool::Pool& pool, void* block, size_t bytes) { pool.Deallocate(block, bytes); }
CODE

# count_hits COMPILER OBJDUMP FORBIDDEN NEEDED NAME=LIMIT...: the way of a hit goes straight down to the first return.
compiler_count=0
count_hits() {
  local compiler=$1 objdump=$2 forbidden=$3 needed=$4 limit name count
  shift 4
  command -v "${compiler%% *}" >/dev/null || { echo "  $compiler is not here"; return; }
  command -v "$objdump" >/dev/null || { echo "  $objdump is not here"; return; }
  compiler_count=$((compiler_count + 1))
  # shellcheck disable=SC2086  # a compiler and its flag
  $compiler -std=c++20 -O2 -I"$include" -c "$scratch/user.cc" -o "$scratch/user.o" || fail "$compiler does not compile it"
  "$objdump" --disassemble --no-show-raw-insn "$scratch/user.o" >"$scratch/code"
  for limit in "$@"; do
    name=${limit%=*}
    awk -v start="<$name>:" '$2 == start {on = 1; next} on && $2 == "ret" {exit} on && NF' "$scratch/code" >"$scratch/hit"
    count=$(wc -l <"$scratch/hit")
    ((count > 5)) || fail "$compiler: no code found for $name"
    ((count <= ${limit#*=})) || fail "$compiler: $name takes $count instructions, at most ${limit#*=} were promised"
    ! grep -qE "\<($forbidden)" "$scratch/hit" || fail "$compiler: $name calls or locks: $(<"$scratch/hit")"
    grep -q "$needed" "$scratch/hit" || fail "$compiler: $name has no restartable sequence"
    echo "  $compiler: $name $count"
  done
}

for compiler in g++ clang++; do
  count_hits "$compiler" objdump 'call|lock|xchg|cmpxchg' '%fs:' \
    SlabCacheAllocate=11 SlabCacheDeallocate=15 PoolAllocate=20 PoolDeallocate=24 PoolDeallocateSized=29
done
# An address takes two instructions there, and so does a thread's own memory.
if command -v aarch64-linux-gnu-g++ >/dev/null; then
  for compiler in aarch64-linux-gnu-g++ 'clang++ --target=aarch64-linux-gnu'; do
    count_hits "$compiler" aarch64-linux-gnu-objdump 'bl|blr|ld[a-z]*xr|st[a-z]*xr|cas|swp|ldadd|dmb' 'tpidr_el0' \
      SlabCacheAllocate=14 SlabCacheDeallocate=17 PoolAllocate=22 PoolDeallocate=29 PoolDeallocateSized=30
  done
else
  echo "  aarch64-linux-gnu-g++ is not here"
fi
((compiler_count > 0)) || fail "no compiler found"
echo "passed: $compiler_count compilers"
