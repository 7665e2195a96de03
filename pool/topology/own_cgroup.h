// OwnCgroup: the cgroup (version 2) of this process, and the folder where it is seen. Version 1 is not read.
//
// Threads    a value; no sharing
// Errors     nothing where no cgroup v2 is mounted, or the kernel's files say nothing of it
// Cost       two file reads
#ifndef HUGEPOOL_TOPOLOGY_OWN_CGROUP_H_
#define HUGEPOOL_TOPOLOGY_OWN_CGROUP_H_

#include <optional>
#include <string>

#include "topology/system_files.h"

namespace hugepool::internal {

struct OwnCgroup {
  std::string mount;    // the folder where the hierarchy is seen
  std::string below;    // of this process's cgroup in it: "/db.slice/x"; empty: the folder itself
  bool visible = true;  // false: the cgroup lies outside of what is mounted, and `below` is empty

  std::string folder() const { return mount + below; }
};

std::optional<OwnCgroup> FindOwnCgroup(const SystemFiles& files);

}  // namespace hugepool::internal

#endif  // HUGEPOOL_TOPOLOGY_OWN_CGROUP_H_
