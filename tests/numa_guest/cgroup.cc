#include "numa_guest/cgroup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>

#include "numa_guest/machine.h"

namespace hugepool::guest {

Cgroup::Cgroup(const std::string& name, const std::string& mount) : folder_(mount + "/" + name) {
  if (mkdir(folder_.c_str(), 0755) != 0) throw std::runtime_error("cannot make " + folder_);
}

Cgroup::~Cgroup() { rmdir(folder_.c_str()); }

void Cgroup::Set(const std::string& file, const std::string& value) const {
  const int refused = WriteFile(folder_ + "/" + file, value);
  if (refused != 0) throw std::runtime_error("cannot write " + value + " to " + folder_ + "/" + file);
}

std::string Cgroup::Get(const std::string& file) const { return ReadFile(folder_ + "/" + file); }

void Cgroup::Enter() const { Set("cgroup.procs", std::to_string(getpid())); }

}  // namespace hugepool::guest
