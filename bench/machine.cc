#include "bench/machine.h"

#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <hugepool/version.h>
#include <rocksdb/version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "bench/process_memory.h"

namespace hugepool::bench {
namespace {

// "model name\t: X\n" → "X".
std::string CpuModel() {
  const std::string text = ReadTextFile("/proc/cpuinfo");
  for (const char* name : {"model name", "Processor", "CPU part"}) {
    const size_t at = text.find(name);
    if (at == std::string::npos) continue;
    const size_t begin = text.find(": ", at);
    if (begin == std::string::npos) continue;
    return text.substr(begin + 2, text.find('\n', begin) - begin - 2);
  }
  return "";
}

// "always [madvise] never" → "madvise".
std::string ThpMode() {
  const std::string text = ReadTextFile("/sys/kernel/mm/transparent_hugepage/enabled");
  const size_t begin = text.find('[');
  const size_t end = text.find(']');
  return begin == std::string::npos || end == std::string::npos ? "" : text.substr(begin + 1, end - begin - 1);
}

unsigned NodeCount() {
  unsigned count = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/devices/system/node", error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("node") && name.size() > 4 && name[4] >= '0' && name[4] <= '9') ++count;
  }
  return count;
}

uint64_t NumberFile(const std::string& path) { return std::strtoull(ReadTextFile(path).c_str(), nullptr, 10); }

constexpr const char* kCompactFile = "/proc/sys/vm/compact_memory";

}  // namespace

bool CompactMemory() {
  std::ofstream file(kCompactFile);
  file << "1\n" << std::flush;
  return file.good();
}

Machine ReadMachine() {
  Machine machine;
  machine.cpu = CpuModel();
  machine.cpu_count = std::thread::hardware_concurrency();
  utsname name{};
  if (uname(&name) == 0) machine.kernel = fmt::format("{} {}", name.sysname, name.release);
  machine.node_count = NodeCount();
  const std::string memory = ReadTextFile("/proc/meminfo");
  machine.memory_bytes = FieldBytes(memory, "MemTotal");
  machine.available_bytes = FieldBytes(memory, "MemAvailable");
  machine.thp = ThpMode();
  const std::string folder = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
  machine.huge_pages = NumberFile(folder + "nr_hugepages");
  machine.free_huge_pages = NumberFile(folder + "free_hugepages");
  machine.versions = fmt::format("hugepool {}, RocksDB {}.{}.{}, glibc {}, {}", HUGEPOOL_VERSION_STRING, ROCKSDB_MAJOR,
                                 ROCKSDB_MINOR, ROCKSDB_PATCH, gnu_get_libc_version(), HUGEPOOL_COMPILER);
  machine.can_compact = access(kCompactFile, W_OK) == 0;
  return machine;
}

std::string Machine::ToText() const {
  return fmt::format(
      "{} × {}, {} node{}, {:.1f} GiB, {}, THP {}, {} huge pages ({} free), memory {} before each fill, {}", cpu_count,
      cpu, node_count, node_count == 1 ? "" : "s", static_cast<double>(memory_bytes) / 0x1p30, kernel,
      thp.empty() ? "absent" : thp, huge_pages, free_huge_pages,
      can_compact ? "compacted" : "not compacted (needs root)", versions);
}

nlohmann::ordered_json Machine::ToJson() const {
  return {{"text", ToText()},
          {"cpu", cpu},
          {"cpu_count", cpu_count},
          {"kernel", kernel},
          {"node_count", node_count},
          {"memory_bytes", memory_bytes},
          {"available_bytes", available_bytes},
          {"thp", thp},
          {"huge_pages", huge_pages},
          {"free_huge_pages", free_huge_pages},
          {"compacted_before_fill", can_compact},
          {"versions", versions}};
}

}  // namespace hugepool::bench
