// PageCensus: on which nodes the pages behind some blocks lie, in the words of the kernel. It shares no code with the
// pool, so that the pool cannot agree with itself about a lie.
//
// Units      bytes; node ids are the kernel's
// Threads    one
// Errors     a refused call or an unreadable file ends the test (std::runtime_error)
// Cost       one look-up per 4 KiB page, or one walk over the mappings
#ifndef HUGEPOOL_TESTS_NUMA_GUEST_PAGE_CENSUS_H_
#define HUGEPOOL_TESTS_NUMA_GUEST_PAGE_CENSUS_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace hugepool::guest {

struct Block {
  void* address = nullptr;
  size_t bytes = 0;
};

struct PageCensus {
  std::map<int, uint64_t> bytes_by_node;
  uint64_t absent_count = 0;  // pages that are not present
  uint64_t huge_bytes = 0;    // in hugetlb mappings (numa_maps only)

  uint64_t TotalBytes() const;
  uint64_t BytesOn(int node_id) const;
  std::string ToString() const;
};

// Each 4 KiB page that a block touches, once.
PageCensus CountByMovePages(const std::vector<Block>& blocks);

// Everything present in the mappings that hold a block, by /proc/self/numa_maps and /proc/self/maps.
PageCensus CountByNumaMaps(const std::vector<Block>& blocks);

// By both ways: every page behind the blocks is present and lies on one of these nodes, and there are at least as many
// bytes as the blocks have.
testing::AssertionResult AllPagesOn(const std::vector<int>& node_ids, const std::vector<Block>& blocks);
testing::AssertionResult AllPagesOn(int node_id, const std::vector<Block>& blocks);

// By numa_maps: every mapping that holds a block is hugetlb.
testing::AssertionResult AllPagesHugetlb(const std::vector<Block>& blocks);

}  // namespace hugepool::guest

#endif  // HUGEPOOL_TESTS_NUMA_GUEST_PAGE_CENSUS_H_
