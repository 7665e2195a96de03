#include "preload/static_rocksdb.h"

#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

namespace hugepool::preload {

std::string LoadedRocksdb() {
  std::string found;
  const auto look = [](dl_phdr_info* info, size_t, void* result) {
    const char* const file = std::strrchr(info->dlpi_name, '/');
    if (std::strncmp(file == nullptr ? info->dlpi_name : file + 1, "librocksdb.so", 13) != 0) return 0;
    *static_cast<std::string*>(result) = info->dlpi_name;
    return 1;
  };
  (void)dl_iterate_phdr(look, &found);
  return found;
}

bool HoldsRocksdb(const std::string& program) {
  constexpr char kName[] = "rocksdb.block.cache.data.miss";
  const int file = open(program.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  struct stat status;
  bool holds = false;
  if (fstat(file, &status) == 0 && status.st_size > 0) {
    const size_t bytes = static_cast<size_t>(status.st_size);
    void* const text = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0);
    if (text != MAP_FAILED) {
      holds = memmem(text, bytes, kName, sizeof kName - 1) != nullptr;
      munmap(text, bytes);
    }
  }
  close(file);
  return holds;
}

std::string OwnProgram() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  return length < 0 ? std::string() : std::string(path, static_cast<size_t>(length));
}

}  // namespace hugepool::preload
