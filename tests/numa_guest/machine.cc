#include "numa_guest/machine.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace hugepool::guest {
namespace {

constexpr char kNodes[] = "/sys/devices/system/node/";

std::string NodeFile(int node_id, const std::string& name) {
  return kNodes + ("node" + std::to_string(node_id)) + "/" + name;
}

std::string HugePageFile(int node_id, const std::string& name) {
  return NodeFile(node_id, "hugepages/hugepages-2048kB/" + name);
}

Machine ReadMachine() {
  Machine machine;
  const std::vector<int> with_memory = ParseIds(ReadFile(std::string(kNodes) + "has_memory"));
  const std::vector<int> online = ParseIds(ReadFile(std::string(kNodes) + "online"));
  for (const int node_id : online) {
    MachineNode node;
    node.node_id = node_id;
    node.cpus = ParseIds(ReadFile(NodeFile(node_id, "cpulist")));
    node.has_memory = std::find(with_memory.begin(), with_memory.end(), node_id) != with_memory.end();
    std::istringstream row(ReadFile(NodeFile(node_id, "distance")));
    for (const int to : online) row >> node.distances[to];
    machine.nodes.push_back(std::move(node));
  }
  return machine;
}

}  // namespace

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

int WriteFile(const std::string& path, const std::string& text) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno;
  const ssize_t written = write(file, text.data(), text.size());
  const int result = written < 0 ? errno : 0;
  close(file);
  return result;
}

std::vector<int> ParseIds(const std::string& text) {
  std::vector<int> ids;
  std::istringstream stream(text);
  for (std::string range; std::getline(stream, range, ',');) {
    int first = 0;
    if (!(std::istringstream(range) >> first)) continue;  // an empty list is a line feed
    const size_t dash = range.find('-');
    const int last = dash == std::string::npos ? first : std::stoi(range.substr(dash + 1));
    for (int id = first; id <= last; ++id) ids.push_back(id);
  }
  return ids;
}

std::vector<int> Machine::MemoryNodes() const {
  std::vector<int> ids;
  for (const MachineNode& node : nodes) {
    if (node.has_memory) ids.push_back(node.node_id);
  }
  return ids;
}

std::vector<int> Machine::CpuNodes() const {
  std::vector<int> ids;
  for (const MachineNode& node : nodes) {
    if (!node.cpus.empty()) ids.push_back(node.node_id);
  }
  return ids;
}

std::vector<int> Machine::MemoryByDistance(int from) const {
  std::vector<int> ids = MemoryNodes();
  const std::map<int, uint32_t>& distances = Node(from).distances;
  std::stable_sort(ids.begin(), ids.end(),
                   [&distances](int left, int right) { return distances.at(left) < distances.at(right); });
  return ids;
}

const MachineNode& Machine::Node(int node_id) const {
  for (const MachineNode& node : nodes) {
    if (node.node_id == node_id) return node;
  }
  throw std::runtime_error("this machine has no node " + std::to_string(node_id));
}

const Machine& ThisMachine() {
  static const Machine machine = ReadMachine();
  return machine;
}

void PinToNode(int node_id) {
  const MachineNode& node = ThisMachine().Node(node_id);
  if (node.cpus.empty()) throw std::runtime_error("node " + std::to_string(node_id) + " has no CPU to pin to");
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<size_t>(node.cpus.front()), &cpus);
  if (sched_setaffinity(0, sizeof cpus, &cpus) != 0) throw std::runtime_error("sched_setaffinity was refused");
}

uint64_t FreeHugePages(int node_id) { return std::stoull(ReadFile(HugePageFile(node_id, "free_hugepages"))); }

uint64_t TotalHugePages(int node_id) { return std::stoull(ReadFile(HugePageFile(node_id, "nr_hugepages"))); }

void SetHugePages(int node_id, uint64_t count) {
  constexpr int kMostTries = 10;
  for (int tries = 0; tries < kMostTries; ++tries) {
    const int refused = WriteFile(HugePageFile(node_id, "nr_hugepages"), std::to_string(count));
    if (refused != 0)
      throw std::runtime_error("nr_hugepages of node " + std::to_string(node_id) + " cannot be written");
    if (TotalHugePages(node_id) == count) return;
  }
  throw std::runtime_error("node " + std::to_string(node_id) + " gave " + std::to_string(TotalHugePages(node_id)) +
                           " huge pages instead of " + std::to_string(count));
}

void SetHugePagesEverywhere(uint64_t count) {
  for (const int node_id : ThisMachine().MemoryNodes()) SetHugePages(node_id, count);
}

}  // namespace hugepool::guest
