#include "bench/process_memory.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>

namespace hugepool::bench {
namespace {

// Calls handle(line) for each line of the text.
template <typename Handle>
void ForEachLine(std::string_view text, Handle handle) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    handle(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// "Rss:    12 kB" → 12288 when the line is of that name.
std::optional<uint64_t> KilobyteLine(std::string_view line, std::string_view name) {
  if (line.size() <= name.size() || !line.starts_with(name) || line[name.size()] != ':') return std::nullopt;
  const size_t start = line.find_first_not_of(" \t", name.size() + 1);
  if (start == std::string_view::npos) return std::nullopt;
  uint64_t kilobytes = 0;
  std::from_chars(line.data() + start, line.data() + line.size(), kilobytes);
  return kilobytes * 1024;
}

// "7f00-7f01 rw-p …" → the range, when the line opens a mapping.
std::optional<Mapping> MappingLine(std::string_view line) {
  Mapping mapping;
  const char* const end = line.data() + line.size();
  const auto [dash, begin_error] = std::from_chars(line.data(), end, mapping.begin, 16);
  if (begin_error != std::errc() || dash == end || *dash != '-') return std::nullopt;
  const auto [space, end_error] = std::from_chars(dash + 1, end, mapping.end, 16);
  if (end_error != std::errc() || space == end || *space != ' ') return std::nullopt;
  return mapping;
}

void AddField(std::string_view line, PageKinds* pages) {
  // Rss counts transparent pages as well: take them off again where they are named.
  if (const auto bytes = KilobyteLine(line, "Rss")) pages->small_bytes += *bytes;
  if (const auto bytes = KilobyteLine(line, "AnonHugePages")) {
    pages->transparent_bytes += *bytes;
    pages->small_bytes -= std::min(pages->small_bytes, *bytes);
  }
  if (const auto bytes = KilobyteLine(line, "Private_Hugetlb")) pages->hugetlb_bytes += *bytes;
  if (const auto bytes = KilobyteLine(line, "Shared_Hugetlb")) pages->hugetlb_bytes += *bytes;
}

}  // namespace

std::string ReadTextFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

uint64_t FieldBytes(std::string_view text, std::string_view name) {
  uint64_t found = 0;
  ForEachLine(text, [&](std::string_view line) {
    if (const auto bytes = KilobyteLine(line, name)) found = *bytes;
  });
  return found;
}

uint64_t ReadFootprintBytes() {
  const std::string status = ReadTextFile("/proc/self/status");
  return FieldBytes(status, "VmRSS") + FieldBytes(status, "HugetlbPages");
}

PageKinds ReadPages() {
  PageKinds pages;
  const std::string rollup = ReadTextFile("/proc/self/smaps_rollup");
  ForEachLine(rollup, [&](std::string_view line) { AddField(line, &pages); });
  return pages;
}

std::vector<Mapping> ReadMappings() {
  std::vector<Mapping> mappings;
  const std::string smaps = ReadTextFile("/proc/self/smaps");
  ForEachLine(smaps, [&](std::string_view line) {
    if (const auto mapping = MappingLine(line)) {
      mappings.push_back(*mapping);
    } else if (!mappings.empty()) {
      AddField(line, &mappings.back().pages);
    }
  });
  return mappings;
}

Mapping* Find(std::vector<Mapping>* mappings, uintptr_t address) {
  const auto after = std::upper_bound(mappings->begin(), mappings->end(), address,
                                      [](uintptr_t value, const Mapping& mapping) { return value < mapping.end; });
  return after != mappings->end() && after->begin <= address ? &*after : nullptr;
}

std::string LoadedMalloc() {
  constexpr std::array<std::string_view, 4> kPeers = {"/libjemalloc", "/libtcmalloc", "/libmimalloc",
                                                      "/libtbbmalloc_proxy"};
  std::string peer;
  std::string c_library;
  const std::string maps = ReadTextFile("/proc/self/maps");
  ForEachLine(maps, [&](std::string_view line) {
    const size_t path_start = line.find('/');
    if (path_start == std::string_view::npos) return;
    const std::string_view path = line.substr(path_start);
    const std::string_view file = path.substr(path.rfind('/'));
    for (const std::string_view name : kPeers) {
      if (file.starts_with(name)) peer = path;
    }
    if (file.starts_with("/libc.so") || file.starts_with("/libc-")) c_library = path;
  });
  return peer.empty() ? c_library : peer;
}

}  // namespace hugepool::bench
