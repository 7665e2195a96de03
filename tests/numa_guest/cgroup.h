// Cgroup: a control group of a cgroup v2 tree (the guest's), for one test.
//
// Owner      the test; the folder is removed at destruction, when no process is in it any more
// Errors     a refused step ends the test (std::runtime_error)
#ifndef HUGEPOOL_TESTS_NUMA_GUEST_CGROUP_H_
#define HUGEPOOL_TESTS_NUMA_GUEST_CGROUP_H_

#include <string>

namespace hugepool::guest {

class Cgroup {
 public:
  explicit Cgroup(const std::string& name, const std::string& mount = "/sys/fs/cgroup");
  ~Cgroup();
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;

  void Set(const std::string& file, const std::string& value) const;
  std::string Get(const std::string& file) const;
  const std::string& folder() const { return folder_; }
  // The calling process.
  void Enter() const;

 private:
  std::string folder_;
};

}  // namespace hugepool::guest

#endif  // HUGEPOOL_TESTS_NUMA_GUEST_CGROUP_H_
