#include "numa_guest/page_census.h"

#include <numaif.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <sstream>
#include <stdexcept>

#include "numa_guest/machine.h"

namespace hugepool::guest {
namespace {

constexpr uint64_t kPageBytes = 4096;

uint64_t ToNumber(const void* address) { return reinterpret_cast<uint64_t>(address); }

std::vector<void*> PagesOf(const std::vector<Block>& blocks) {
  std::set<uint64_t> pages;
  for (const Block& block : blocks) {
    const uint64_t end = ToNumber(block.address) + block.bytes;
    for (uint64_t page = ToNumber(block.address) / kPageBytes * kPageBytes; page < end; page += kPageBytes) {
      pages.insert(page);
    }
  }
  std::vector<void*> addresses;
  for (const uint64_t page : pages) addresses.push_back(reinterpret_cast<void*>(page));
  return addresses;
}

// Start and end of each mapping that holds the start of a block.
std::map<uint64_t, uint64_t> MappingsOf(const std::vector<Block>& blocks) {
  std::map<uint64_t, uint64_t> all;
  std::istringstream maps(ReadFile("/proc/self/maps"));
  for (std::string line; std::getline(maps, line);) {
    const size_t dash = line.find('-');
    all[std::stoull(line, nullptr, 16)] = std::stoull(line.substr(dash + 1), nullptr, 16);
  }
  std::map<uint64_t, uint64_t> holding;
  for (const Block& block : blocks) {
    const uint64_t address = ToNumber(block.address);
    auto place = all.upper_bound(address);
    if (place == all.begin() || (--place)->second <= address) throw std::runtime_error("a block lies in no mapping");
    holding.insert(*place);
  }
  return holding;
}

// One line of numa_maps: "7f00 bind:1 anon=3 dirty=3 N1=3 kernelpagesize_kB=2048" (and "huge" for hugetlb).
void AddMapping(const std::string& line, PageCensus* census) {
  std::istringstream words(line);
  std::map<int, uint64_t> pages_by_node;
  uint64_t page_bytes = 0;
  bool huge = false;
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (word == "huge") huge = true;
    if (equals == std::string::npos) continue;
    const std::string value = word.substr(equals + 1);
    if (word.starts_with("kernelpagesize_kB")) page_bytes = std::stoull(value) * 1024;
    if (word[0] == 'N' && equals > 1) pages_by_node[std::stoi(word.substr(1))] = std::stoull(value);
  }
  for (const auto& [node_id, pages] : pages_by_node) {
    census->bytes_by_node[node_id] += pages * page_bytes;
    if (huge) census->huge_bytes += pages * page_bytes;
  }
}

uint64_t BytesOutside(const PageCensus& census, const std::vector<int>& node_ids) {
  uint64_t outside = census.TotalBytes();
  for (const int node_id : node_ids) outside -= census.BytesOn(node_id);
  return outside;
}

}  // namespace

uint64_t PageCensus::TotalBytes() const {
  uint64_t sum = 0;
  for (const auto& [node_id, bytes] : bytes_by_node) sum += bytes;
  return sum;
}

uint64_t PageCensus::BytesOn(int node_id) const {
  const auto place = bytes_by_node.find(node_id);
  return place == bytes_by_node.end() ? 0 : place->second;
}

std::string PageCensus::ToString() const {
  std::string text;
  for (const auto& [node_id, bytes] : bytes_by_node) {
    text += "node " + std::to_string(node_id) + ": " + std::to_string(bytes) + " B; ";
  }
  return text + "hugetlb: " + std::to_string(huge_bytes) + " B; absent: " + std::to_string(absent_count) + " pages";
}

PageCensus CountByMovePages(const std::vector<Block>& blocks) {
  std::vector<void*> pages = PagesOf(blocks);
  std::vector<int> node_ids(pages.size(), -1);
  if (!pages.empty() && move_pages(0, pages.size(), pages.data(), nullptr, node_ids.data(), 0) != 0) {
    throw std::runtime_error("move_pages was refused with errno " + std::to_string(errno));
  }
  PageCensus census;
  for (const int node_id : node_ids) {
    if (node_id < 0) {
      ++census.absent_count;
    } else {
      census.bytes_by_node[node_id] += kPageBytes;
    }
  }
  return census;
}

PageCensus CountByNumaMaps(const std::vector<Block>& blocks) {
  const std::map<uint64_t, uint64_t> mappings = MappingsOf(blocks);
  PageCensus census;
  std::istringstream numa_maps(ReadFile("/proc/self/numa_maps"));
  for (std::string line; std::getline(numa_maps, line);) {
    if (mappings.contains(std::stoull(line, nullptr, 16))) AddMapping(line, &census);
  }
  return census;
}

testing::AssertionResult AllPagesOn(const std::vector<int>& node_ids, const std::vector<Block>& blocks) {
  uint64_t block_bytes = 0;
  for (const Block& block : blocks) block_bytes += block.bytes;
  const PageCensus moved = CountByMovePages(blocks);
  const PageCensus mapped = CountByNumaMaps(blocks);
  const bool complete = moved.TotalBytes() >= block_bytes && mapped.TotalBytes() >= block_bytes;
  const uint64_t outside = BytesOutside(moved, node_ids) + BytesOutside(mapped, node_ids);
  testing::AssertionResult result(complete && moved.absent_count == 0 && outside == 0);
  return result << block_bytes << " B of blocks; move_pages: " << moved.ToString()
                << "; numa_maps: " << mapped.ToString();
}

testing::AssertionResult AllPagesOn(int node_id, const std::vector<Block>& blocks) {
  return AllPagesOn(std::vector<int>{node_id}, blocks);
}

testing::AssertionResult AllPagesHugetlb(const std::vector<Block>& blocks) {
  const PageCensus mapped = CountByNumaMaps(blocks);
  testing::AssertionResult result(mapped.TotalBytes() != 0 && mapped.huge_bytes == mapped.TotalBytes());
  return result << mapped.ToString();
}

}  // namespace hugepool::guest
