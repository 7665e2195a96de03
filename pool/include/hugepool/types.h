// The words that the pool, its options and its statistics share.
//
// Part of the vocabulary: plain data that every floor and every user may include.
#ifndef HUGEPOOL_TYPES_H_
#define HUGEPOOL_TYPES_H_

#include <cstddef>
#include <cstdint>

namespace hugepool {

// A huge page of x86-64 and AArch64 (4 KiB granule), and the unit in which a pool grows unless told otherwise.
inline constexpr size_t kHugePageBytes = size_t{2} << 20;
// The largest object of a SlabCache or ObjectCache; larger blocks come from Pool alone.
inline constexpr size_t kMaxObjectBytes = size_t{256} << 10;
// A giant page: what a pool grows by where PoolOptions::page_bytes says so.
inline constexpr size_t kGiantPageBytes = size_t{1} << 30;
// The largest alignment that a pool serves.
inline constexpr size_t kMaxAlignmentBytes = 4096;
// Every block starts on at least this; blocks of kCacheLineFromBytes and more start on a cache line.
inline constexpr size_t kMinAlignmentBytes = 16;
inline constexpr size_t kCacheLineBytes = 64;
inline constexpr size_t kCacheLineFromBytes = 1024;

// What stands behind an address. A rung of the ladder; lower rungs have larger values.
enum class Backing : uint8_t {
  kHugetlb,          // reserved pages (nr_hugepages) of PoolOptions::page_bytes
  kTransparentHuge,  // one 2 MiB page that the kernel put together (THP)
  kSmall,            // 512 pages of 4 KiB
};
inline constexpr size_t kBackingCount = 3;

// How far down the ladder a pool may step. Every step down is counted.
enum class HugePages : uint8_t {
  kRequired,     // hugetlb only; no page is better than another page
  kPreferred,    // hugetlb, then transparent, then 4 KiB
  kTransparent,  // transparent, then 4 KiB; hugetlb is left to others
  kOff,          // 4 KiB only
};

// On which node's memory a block may lie.
struct Placement {
  enum class Policy : uint8_t {
    kLocal,        // the node of the CPU that allocates; when full the nearest other one, counted
    kLocalStrict,  // the node of the CPU that allocates (or the nearest with memory); when full nullptr
    kInterleave,   // round by batch over all usable nodes; a full node is skipped, counted
    kNode,         // node_id; when full nullptr
  };
  Policy policy = Policy::kLocal;
  int node_id = -1;  // kernel's id; read for kNode only

  static constexpr Placement Local() { return {Policy::kLocal, -1}; }
  static constexpr Placement LocalStrict() { return {Policy::kLocalStrict, -1}; }
  static constexpr Placement Interleave() { return {Policy::kInterleave, -1}; }
  static constexpr Placement Node(int node_id) { return {Policy::kNode, node_id}; }
  bool operator==(const Placement&) const = default;
};

enum class PopulateAtStart : uint8_t {
  kNone,  // pages are populated as the pool grows, one ahead of need (none ahead of 1 GiB)
  kAll,   // Create populates the whole capacity, shared out evenly over the nodes of the placement
};

// How the caches of the CPUs keep their magazines to themselves.
enum class CpuCacheMode : uint8_t {
  kAuto,    // rseq where kernel, glibc and build have it, else locked
  kRseq,    // restartable sequences: no lock, no atomic instruction; refused where there are none
  kLocked,  // a lock per CPU that nobody waits for
  kOff,     // no caches: every call goes to the slabs
};

constexpr const char* ToString(CpuCacheMode mode) {
  switch (mode) {
    case CpuCacheMode::kAuto: return "auto";
    case CpuCacheMode::kRseq: return "rseq";
    case CpuCacheMode::kLocked: return "locked";
    case CpuCacheMode::kOff: return "off";
  }
  return "?";
}

constexpr const char* ToString(Backing backing) {
  switch (backing) {
    case Backing::kHugetlb: return "hugetlb";
    case Backing::kTransparentHuge: return "transparent";
    case Backing::kSmall: return "small";
  }
  return "?";
}

constexpr const char* ToString(HugePages huge_pages) {
  switch (huge_pages) {
    case HugePages::kRequired: return "required";
    case HugePages::kPreferred: return "preferred";
    case HugePages::kTransparent: return "transparent";
    case HugePages::kOff: return "off";
  }
  return "?";
}

}  // namespace hugepool

#endif  // HUGEPOOL_TYPES_H_
