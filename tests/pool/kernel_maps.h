// CountKernelMaps: how many mappings the kernel needs for some ranges of addresses.
//
// Cost       one read of /proc/self/maps
#ifndef HUGEPOOL_TESTS_POOL_KERNEL_MAPS_H_
#define HUGEPOOL_TESTS_POOL_KERNEL_MAPS_H_

#include <cstddef>
#include <cstdint>
#include <map>

namespace hugepool::testing {

// ranges: first address → bytes. The kernel merges neighbours, so a mapping counts where it touches a range at all.
size_t CountKernelMaps(const std::map<uintptr_t, size_t>& ranges);

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_KERNEL_MAPS_H_
