#!/usr/bin/env bash
# refused_types_test.sh: what a typed face cannot hold does not compile, and the compiler's message says why.
#
# Usage      refused_types_test.sh COMPILERS INCLUDE_DIRS (compilers by comma, directories by ;)
source "$(dirname "$0")/check.sh"
compilers=$1 directories=$2

flags=(-std=c++20 -fsyntax-only)
while read -r directory; do [[ -z $directory ]] || flags+=("-I$directory"); done <<<"${directories//;/$'\n'}"

source_of() {  # a declaration of T
  printf '#include "hugepool/local_pool.h"\n#include "hugepool/object_cache.h"\n%s\n' "$1"
  printf 'template class hugepool::%s<T>;\n' "$2"
}
# refused FACE MESSAGE DECLARATION
refused() {
  local compiler
  source_of "$3" "$1" >"$scratch/refused.cc"
  for compiler in ${compilers//,/ }; do
    ! "$compiler" "${flags[@]}" "$scratch/refused.cc" 2>"$scratch/messages" || fail "$compiler compiles $1 of: $3"
    grep -q "$1<T>: $2" "$scratch/messages" || {
      cat "$scratch/messages"
      fail "$compiler does not say '$2' for $1 of: $3"
    }
  done
}
# allowed FACE DECLARATION
allowed() {
  local compiler
  source_of "$2" "$1" >"$scratch/allowed.cc"
  for compiler in ${compilers//,/ }; do
    must "$1 of: $2" "$compiler" "${flags[@]}" "$scratch/allowed.cc"
  done
}

refused ObjectCache 'T is larger than 256 KiB' 'struct T { char bytes[262145]; };'
allowed ObjectCache 'struct T { char bytes[262144]; };'
allowed LocalPool 'struct T { char bytes[262145]; };'
for face in ObjectCache LocalPool; do
  refused $face 'T is aligned to more than 4 KiB' 'struct alignas(8192) T { char bytes; };'
  allowed $face 'struct alignas(4096) T { char bytes; };'
  refused $face 'T is .*not const' 'using T = const int;'
  refused $face 'T is .*for an array wrap it' 'using T = int[4];'
  refused $face 'T needs a destructor' 'class T { ~T(); };'
done
echo "passed under $compilers"
