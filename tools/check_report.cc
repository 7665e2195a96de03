#include "tools/check_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "hugepool/types.h"
#include "hugepool/version.h"
#include "tools/quantity.h"

namespace hugepool::tools {
namespace {

using internal::HugePageCounts;
using internal::HugetlbLimit;
using internal::MemoryState;
using internal::NodeMemory;
using internal::TransparentHugePages;
using Json = nlohmann::ordered_json;

constexpr int kSchemaVersion = 1;

std::string OrUnknown(const std::string& word) { return word.empty() ? "unknown" : word; }

std::string DistancesText(const NodeMemory& node) {
  return node.distances.empty() ? "unknown" : fmt::format("{}", fmt::join(node.distances, " "));
}

void AppendMachine(const MemoryState& state, std::string* text) {
  const auto out = std::back_inserter(*text);
  size_t cpu_count = 0;
  for (const NodeMemory& node : state.nodes) cpu_count += node.cpus.size();
  const OsFloor floor = OsFloorOf(state.total_bytes);
  fmt::format_to(out, "Machine       {} of memory, {} available; {}, {}{}\n", SizeText(state.total_bytes),
                 SizeText(state.available_bytes), CountText(state.nodes.size(), "node"), CountText(cpu_count, "CPU"),
                 state.numa ? "" : " (a kernel without NUMA)");
  fmt::format_to(out, "System keeps  {}{}\n", SizeText(floor.bytes),
                 floor.scaled                           ? " (a quarter: the machine has less than 32 GiB)"
                 : floor.bytes > state.total_bytes / 10 ? ""
                                                        : " (a tenth)");
  fmt::format_to(out, "\n  {:>4}  {:>10}  {:>10}  {:<7}  {:<14}  {}\n", "node", "memory", "available", "allowed",
                 "CPUs", "distances");
  for (const NodeMemory& node : state.nodes) {
    fmt::format_to(out, "  {:>4}  {:>10}  {:>10}  {:<7}  {:<14}  {}\n", node.node_id,
                   node.total_bytes == 0 ? "none" : SizeText(node.total_bytes),
                   node.total_bytes == 0 ? "-" : SizeText(std::min(node.available_bytes(), node.total_bytes)),
                   node.total_bytes == 0 ? "-"
                   : state.Allows(node)  ? "yes"
                                         : "no",
                   IdListText(node.cpus), DistancesText(node));
  }
}

void AppendCounts(const std::string& place, const HugePageCounts& counts, bool whole, std::string* text) {
  const auto out = std::back_inserter(*text);
  fmt::format_to(out, "  {:>4}  {:>10}  {:>9}  {:>9}  {:>9}  {:>9}\n", place, SizeText(counts.page_bytes),
                 counts.total_count, counts.free_count, counts.surplus_count,
                 whole ? std::to_string(counts.reserved_count) : "-");
}

void AppendHugePages(const MemoryState& state, std::string* text) {
  const auto out = std::back_inserter(*text);
  if (state.huge_pages.empty()) {
    fmt::format_to(out, "\nHuge pages    none: this kernel has no hugetlb\n");
    return;
  }
  fmt::format_to(out, "\n  {:>4}  {:>10}  {:>9}  {:>9}  {:>9}  {:>9}\n", "node", "huge page", "total", "free",
                 "surplus", "promised");
  for (const NodeMemory& node : state.nodes) {
    for (const HugePageCounts& counts : node.huge_pages) {
      AppendCounts(std::to_string(node.node_id), counts, false, text);
    }
  }
  for (const HugePageCounts& counts : state.huge_pages) AppendCounts("all", counts, true, text);
}

void AppendProcess(const MemoryState& state, std::string* text) {
  const auto out = std::back_inserter(*text);
  const TransparentHugePages& transparent = state.transparent;
  fmt::format_to(out, "\nTransparent   enabled {}, defrag {}, shmem {}; of 2 MiB: {}\n", OrUnknown(transparent.enabled),
                 OrUnknown(transparent.defrag), OrUnknown(transparent.shmem_enabled),
                 OrUnknown(transparent.huge_size_enabled));
  if (state.vmemmap_optimized) {
    fmt::format_to(out, "HVO           {} (hugetlb_optimize_vmemmap)\n", *state.vmemmap_optimized ? "on" : "off");
  }
  const auto limit_text = [](const std::optional<uint64_t>& bytes) {
    return bytes ? SizeText(*bytes) : std::string("unlimited");
  };
  fmt::format_to(out, "This process  CPUs {}; memory of nodes {}; may lock {}; address space {}\n",
                 state.allowed_cpus ? IdListText(*state.allowed_cpus) : "all",
                 state.allowed_nodes ? IdListText(*state.allowed_nodes) : "all", limit_text(state.locked_limit_bytes),
                 limit_text(state.address_space_limit_bytes));
  if (state.hugetlb_limits.empty()) fmt::format_to(out, "              no cgroup limit on its huge pages\n");
  for (const HugetlbLimit& limit : state.hugetlb_limits) {
    fmt::format_to(out, "              {}: {} of {} left\n", limit.file, SizeText(limit.left_bytes()),
                   SizeText(limit.max_bytes));
  }
}

void AppendPlan(const Reservation& reservation, std::string* text) {
  const auto out = std::back_inserter(*text);
  for (const NodeShare& share : reservation.shares) {
    if (share.add_count == 0) continue;
    fmt::format_to(out, "              node {}: {} now, {} more, {} then\n", share.node_id,
                   CountText(share.total_count, "page"), share.add_count, share.target_count());
  }
}

// What a damaged tree or an odd cgroup name may have put into a line stays on that line.
void MakePrintable(std::string* text) {
  for (char& character : *text) {
    const auto byte = static_cast<unsigned char>(character);
    if ((byte < 0x20 && character != '\n') || byte == 0x7f) character = '?';
  }
}

std::string OneLine(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

template <typename Value>
Json OrNull(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json WordOrNull(const std::string& word) { return word.empty() ? Json(nullptr) : Json(word); }

Json CountsJson(const std::vector<HugePageCounts>& huge_pages, bool whole) {
  Json list = Json::array();
  for (const HugePageCounts& counts : huge_pages) {
    Json entry = {{"page_bytes", counts.page_bytes},
                  {"total_count", counts.total_count},
                  {"free_count", counts.free_count},
                  {"surplus_count", counts.surplus_count}};
    if (whole) {
      entry["reserved_count"] = counts.reserved_count;
      entry["overcommit_count"] = counts.overcommit_count;
    }
    list.push_back(std::move(entry));
  }
  return list;
}

Json NodesJson(const MemoryState& state) {
  Json list = Json::array();
  for (const NodeMemory& node : state.nodes) {
    list.push_back({{"node_id", node.node_id},
                    {"cpus", node.cpus.empty() ? "" : IdListText(node.cpus)},
                    {"memory_bytes", node.total_bytes},
                    {"free_bytes", node.free_bytes},
                    {"reclaimable_bytes", node.reclaimable_bytes},
                    {"allowed", state.Allows(node)},
                    {"distances", node.distances},
                    {"huge_pages", CountsJson(node.huge_pages, false)}});
  }
  return list;
}

Json ProcessJson(const MemoryState& state) {
  Json limits = Json::array();
  for (const HugetlbLimit& limit : state.hugetlb_limits) {
    limits.push_back({{"file", limit.file},
                      {"page_bytes", limit.page_bytes},
                      {"on_reservation", limit.on_reservation},
                      {"max_bytes", limit.max_bytes},
                      {"current_bytes", limit.current_bytes}});
  }
  return {{"allowed_cpus", state.allowed_cpus ? Json(IdListText(*state.allowed_cpus)) : Json(nullptr)},
          {"allowed_nodes", OrNull(state.allowed_nodes)},
          {"locked_limit_bytes", OrNull(state.locked_limit_bytes)},
          {"address_space_limit_bytes", OrNull(state.address_space_limit_bytes)},
          {"hugetlb_limits", std::move(limits)}};
}

Json NeedJson(const Need& need, const Reservation& reservation) {
  Json by_node = Json::array();
  for (const NodeNeed& share : need.by_node) {
    by_node.push_back({{"node_id", share.node_id}, {"page_count", share.page_count}});
  }
  Json plan = Json::array();
  for (const NodeShare& share : reservation.shares) {
    if (share.add_count == 0) continue;
    plan.push_back(
        {{"node_id", share.node_id}, {"add_count", share.add_count}, {"target_count", share.target_count()}});
  }
  return {{"bytes", need.bytes()},
          {"page_bytes", kHugePageBytes},
          {"page_count", need.page_count},
          {"by_node", std::move(by_node)},
          {"free_count", reservation.free_count},
          {"missing_count", reservation.missing_count},
          {"possible_count", reservation.ever_count},
          {"verdict", ToString(reservation.verdict)},
          {"plan", std::move(plan)}};
}

}  // namespace

std::string TextOf(const CheckResult& result) {
  std::string text;
  AppendMachine(result.state, &text);
  AppendHugePages(result.state, &text);
  AppendProcess(result.state, &text);
  if (result.need) text += fmt::format("\nNeed          {}\n", result.need->Text());
  text += fmt::format("{}Verdict       {}.\n", result.need ? "" : "\n", result.verdict);
  if (result.reservation) AppendPlan(*result.reservation, &text);
  for (const Finding& finding : result.findings) {
    text += fmt::format("\n{}: {}\n", ToString(finding.severity), OneLine(finding.message));
    if (!finding.mend.empty()) text += fmt::format("    {}\n", OneLine(finding.mend));
  }
  text += "\n" + OneLine(result.command) + "\n";
  MakePrintable(&text);
  return text;
}

std::string JsonOf(const CheckResult& result) {
  const MemoryState& state = result.state;
  const OsFloor floor = OsFloorOf(state.total_bytes);
  Json findings = Json::array();
  for (const Finding& finding : result.findings) {
    findings.push_back(
        {{"severity", ToString(finding.severity)}, {"message", finding.message}, {"mend", finding.mend}});
  }
  const TransparentHugePages& transparent = state.transparent;
  const Json json = {
      {"schema_version", kSchemaVersion},
      {"version", HUGEPOOL_VERSION_STRING},
      {"subcommand", "check"},
      {"machine",
       {{"memory_bytes", state.total_bytes},
        {"available_bytes", state.available_bytes},
        {"os_floor_bytes", floor.bytes},
        {"os_floor_scaled", floor.scaled},
        {"numa", state.numa},
        {"hugetlb_vmemmap_optimized", OrNull(state.vmemmap_optimized)}}},
      {"nodes", NodesJson(state)},
      {"huge_pages", CountsJson(state.huge_pages, true)},
      {"transparent_huge_pages",
       {{"enabled", WordOrNull(transparent.enabled)},
        {"defrag", WordOrNull(transparent.defrag)},
        {"shmem_enabled", WordOrNull(transparent.shmem_enabled)},
        {"huge_size_enabled", WordOrNull(transparent.huge_size_enabled)},
        {"page_bytes", transparent.page_bytes}}},
      {"process", ProcessJson(state)},
      {"need", result.need ? NeedJson(*result.need, *result.reservation) : Json(nullptr)},
      {"findings", std::move(findings)},
      {"verdict", result.verdict},
      {"command", result.command},
      {"exit_code", static_cast<int>(result.exit_code)},
  };
  // Bytes that are no UTF-8 (a cgroup may be named so) become U+FFFD instead of an exception.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace hugepool::tools
