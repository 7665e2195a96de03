#include "tools/check.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <filesystem>
#include <memory>
#include <utility>

#include "hugepool/pool_options.h"
#include "hugepool/types.h"
#include "tools/check_report.h"
#include "tools/quantity.h"
#include "topology/system_files.h"

namespace hugepool::tools {
namespace {

using internal::FindPageSize;
using internal::HugePageCounts;
using internal::HugetlbLimit;
using internal::MemoryState;
using internal::NodeMemory;

constexpr char kShowMemoryUsers[] = "ps -eo rss,pid,comm --sort=-rss | head -n 15";
constexpr char kShowKernelSupport[] = "grep -E 'HUGETLBFS|TRANSPARENT_HUGEPAGE' /boot/config-$(uname -r)";
constexpr char kThpEnabled[] = "/sys/kernel/mm/transparent_hugepage/enabled";

std::string ShellWord(const std::string& word) {
  constexpr char kPlain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@-";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char character : word) {
    if (character == '\'') {
      quoted += "'\\''";
    } else {
      quoted += character;
    }
  }
  return quoted + "'";
}

std::string WriteCommand(const std::string& value, const std::string& path, const PasteStyle& style) {
  return fmt::format("echo {} | {} {}", value, style.superuser ? "tee" : "sudo tee", ShellWord(path));
}

std::string CountFile(const MemoryState& state, int node_id) {
  const std::string folder = state.numa ? fmt::format("/sys/devices/system/node/node{}", node_id) : "/sys/kernel/mm";
  return fmt::format("{}/hugepages/hugepages-{}kB/nr_hugepages", folder, kHugePageBytes / 1024);
}

std::string CheckCommand(const PasteStyle& style, const Need* need) {
  const std::string command = ShellWord(style.program) + " check";
  return need == nullptr ? command : command + " --need " + need->Text();
}

std::string CheckCommand(const PasteStyle& style, uint64_t page_count) {
  Need need;
  need.page_count = page_count;
  return CheckCommand(style, &need);
}

// A cgroup's limit that leaves room for the need beside what is used already.
uint64_t RaisedBytes(const HugetlbLimit& limit, const Need& need) {
  return limit.current_bytes > UINT64_MAX - need.bytes() ? UINT64_MAX : limit.current_bytes + need.bytes();
}

std::string MendCommand(const CheckResult& result, const PasteStyle& style) {
  std::string command;
  const auto then = [&command](const std::string& step) { command += (command.empty() ? "" : " && ") + step; };
  for (const HugetlbLimit& limit : result.reservation->tight_limits) {
    then(WriteCommand(std::to_string(RaisedBytes(limit, *result.need)), limit.file, style));
  }
  for (const NodeShare& share : result.reservation->shares) {
    if (share.add_count == 0) continue;
    then(WriteCommand(std::to_string(share.target_count()), CountFile(result.state, share.node_id), style));
  }
  // The write succeeds even where the kernel found fewer pages: only reading back tells.
  then(CheckCommand(style, &*result.need));
  return command;
}

// The largest need of the same form that could be had now.
std::string SmallerNeedCommand(const CheckResult& result, const PasteStyle& style) {
  const Reservation& reservation = *result.reservation;
  Need smaller;
  if (result.need->by_node.empty()) {
    smaller.page_count = reservation.LargestNowCount();
  } else {
    uint64_t room_left = reservation.room_count;
    for (NodeNeed share : result.need->by_node) {
      for (const NodeShare& place : reservation.shares) {
        if (place.node_id != share.node_id) continue;
        const uint64_t missing = share.page_count > place.free_count ? share.page_count - place.free_count : 0;
        const uint64_t add = std::min({missing, place.room_count, room_left});
        room_left -= add;
        share.page_count = std::min(share.page_count, place.free_count + add);
      }
      if (share.page_count == 0) continue;
      smaller.by_node.push_back(share);
      smaller.page_count += share.page_count;
    }
  }
  if (smaller.page_count == 0 || smaller.page_count >= result.need->page_count) return kShowMemoryUsers;
  return CheckCommand(style, &smaller);
}

std::string Keeps(const CheckResult& result) {
  const OsFloor& floor = result.reservation->floor;
  return fmt::format("{} of {} stay with the system", SizeText(floor.bytes), SizeText(result.state.total_bytes));
}

// "12 GiB on the machine (8 GiB of 64 GiB stay with the system)"; before it the nodes that the need names.
std::string RoomText(const CheckResult& result) {
  const Reservation& reservation = *result.reservation;
  std::string text;
  for (const NodeNeed& node_need : result.need->by_node) {
    for (const NodeShare& share : reservation.shares) {
      if (share.node_id != node_need.node_id) continue;
      text += fmt::format("{} on node {}, ", SizeText(share.room_count * kHugePageBytes), share.node_id);
    }
  }
  return text + fmt::format("{} on the machine ({})", SizeText(reservation.room_count * kHugePageBytes), Keeps(result));
}

void Add(CheckResult* result, Severity severity, std::string message, std::string mend = {}) {
  result->findings.push_back({severity, std::move(message), std::move(mend)});
}

void JudgeNeed(CheckResult* result, const PasteStyle& style) {
  const Need& need = *result->need;
  result->reservation = Judge(result->state, need);
  const Reservation& reservation = *result->reservation;
  const std::string wanted = fmt::format("{} ({} of {})", SizeText(need.bytes()), CountText(need.page_count, "page"),
                                         SizeText(kHugePageBytes));
  const std::string missing =
      fmt::format("{} of {} missing", reservation.missing_count, CountText(need.page_count, "page"));
  switch (reservation.verdict) {
    case Verdict::kFits:
      result->verdict = fmt::format("{} fits: that many pages are free", wanted);
      result->command = CheckCommand(style, &need);
      return;
    case Verdict::kReserve:
    case Verdict::kRaise:
    case Verdict::kReserveAndRaise:
      result->exit_code = ExitCode::kMendable;
      result->verdict =
          reservation.missing_count == 0
              ? fmt::format("{} is free, but a cgroup's limit is in the way; the last line raises it", wanted)
              : fmt::format("{} does not fit: {}; the last line reserves them", wanted, missing);
      result->command = MendCommand(*result, style);
      break;
    case Verdict::kNotNow:
      result->exit_code = ExitCode::kCannot;
      result->verdict =
          fmt::format("{} does not fit now: {}, and the memory for them is in use; room for more pages: {}", wanted,
                      missing, RoomText(*result));
      result->command = kShowMemoryUsers;
      Add(result, Severity::kProblem, "The machine is large enough, but too much of its memory is taken.",
          fmt::format("Stop what the last line shows and you can spare, or be content with less: `{}`.",
                      SmallerNeedCommand(*result, style)));
      return;
    case Verdict::kNever:
      result->exit_code = ExitCode::kCannot;
      result->verdict = fmt::format("{} never fits {}: at most {} can be huge pages there ({})", wanted,
                                    need.by_node.empty() ? "on this machine" : "on the nodes asked for",
                                    SizeText(reservation.ever_count * kHugePageBytes), Keeps(*result));
      result->command = SmallerNeedCommand(*result, style);
      return;
    case Verdict::kUnsupported:
      result->exit_code = ExitCode::kCannot;
      result->verdict = fmt::format("{} does not fit: this kernel has no huge pages of {} to reserve", wanted,
                                    SizeText(kHugePageBytes));
      result->command = kShowKernelSupport;
      return;
  }
  if (reservation.missing_count > 0) {
    Add(result, Severity::kNote,
        "A reservation made now lasts until the next boot, and the kernel may find fewer pages.",
        "If the command's own check at its end still says that pages are missing, memory is fragmented: reserve at "
        "boot.");
  }
  for (const HugetlbLimit& limit : reservation.tight_limits) {
    Add(result, Severity::kProblem,
        fmt::format("{} allows {}, of which {} are left; {}", limit.file, SizeText(limit.max_bytes),
                    SizeText(limit.left_bytes()),
                    limit.on_reservation ? "mmap fails beyond that"
                                         : "a touch beyond that fails (SIGBUS for who does not populate first)"),
        "In a container raise its own limit (Kubernetes: hugepages-2Mi) from outside.");
  }
}

// Without a need: can a pool have huge pages of any kind?
void JudgeMachine(CheckResult* result, const PasteStyle& style) {
  const MemoryState& state = result->state;
  uint64_t free_count = 0;
  for (const NodeMemory& node : state.nodes) {
    const HugePageCounts* const counts = FindPageSize(node.huge_pages, kHugePageBytes);
    if (counts != nullptr && state.Allows(node)) free_count += counts->free_count;
  }
  const HugePageCounts* const machine = FindPageSize(state.huge_pages, kHugePageBytes);
  if (machine != nullptr) {
    const uint64_t unpromised =
        machine->free_count > machine->reserved_count ? machine->free_count - machine->reserved_count : 0;
    free_count = std::min(free_count, unpromised);
  }
  const std::string& enabled = state.transparent.enabled;
  if (machine != nullptr && free_count > 0) {
    result->verdict = fmt::format("{} ({} of {}) are free for this process", SizeText(free_count * kHugePageBytes),
                                  CountText(free_count, "page"), SizeText(kHugePageBytes));
    result->command = CheckCommand(style, free_count);
  } else if (enabled == "always" || enabled == "madvise") {
    result->verdict = fmt::format("no reserved page of {} is free; a pool would run on transparent huge pages",
                                  SizeText(kHugePageBytes));
    const OsFloor floor = OsFloorOf(state.total_bytes);
    const uint64_t spare = state.available_bytes > floor.bytes ? state.available_bytes - floor.bytes : 0;
    const uint64_t try_count = std::min<uint64_t>(spare, uint64_t{4} << 30) / kHugePageBytes;
    result->command =
        machine == nullptr || try_count == 0 ? CheckCommand(style, nullptr) : CheckCommand(style, try_count);
  } else if (enabled == "never") {
    result->exit_code = ExitCode::kMendable;
    result->verdict = "no huge page is free and transparent ones are off: a pool would run on 4 KiB pages";
    result->command = WriteCommand("madvise", kThpEnabled, style) + " && " + CheckCommand(style, nullptr);
  } else {
    result->exit_code = ExitCode::kCannot;
    result->verdict = "this kernel offers neither free reserved pages nor transparent huge pages";
    result->command = machine == nullptr ? kShowKernelSupport : CheckCommand(style, 1);
  }
}

void FindPageTroubles(CheckResult* result) {
  const MemoryState& state = result->state;
  const HugePageCounts* const machine = FindPageSize(state.huge_pages, kHugePageBytes);
  if (machine == nullptr) return;
  if (machine->reserved_count > 0) {
    Add(result, Severity::kNote,
        fmt::format("{} of the {} free {} promised to running processes and may be taken on any node: the free counts "
                    "overstate what a node has.",
                    machine->reserved_count, machine->free_count, machine->reserved_count == 1 ? "is" : "are"));
  }
  if (machine->surplus_count > 0) {
    Add(result, Severity::kWarning,
        fmt::format("{} of {} surplus: gone as soon as their users end.", CountText(machine->surplus_count, "page"),
                    SizeText(kHugePageBytes)),
        "A new reservation takes them over; read the counts back afterwards (Linux 6.1 miscounts).");
  }
  uint64_t elsewhere_count = 0;
  std::vector<int> without;
  uint64_t usable_free_count = 0;
  for (const NodeMemory& node : state.nodes) {
    const HugePageCounts* const counts = FindPageSize(node.huge_pages, kHugePageBytes);
    const uint64_t free_count = counts == nullptr ? 0 : counts->free_count;
    if (!state.Allows(node)) {
      elsewhere_count += free_count;
      continue;
    }
    usable_free_count += free_count;
    if (free_count == 0 && node.total_bytes != 0 && !node.cpus.empty()) without.push_back(node.node_id);
  }
  if (elsewhere_count > 0) {
    Add(result, Severity::kWarning,
        fmt::format("{} free on nodes that this process may not use.",
                    elsewhere_count == 1 ? "1 page is" : fmt::format("{} pages are", elsewhere_count)),
        "Widen its cpuset, or reserve on its nodes.");
  }
  const bool reserves = result->reservation && result->reservation->missing_count > 0;
  if (usable_free_count > 0 && !without.empty() && !reserves) {
    Add(result, Severity::kWarning,
        fmt::format("Node{} {} no free page: threads there would be served from other nodes.",
                    without.size() == 1 ? "" : "s", IdListText(without) + (without.size() == 1 ? " has" : " have")),
        "Ask node by node: --need node0=SIZE,node1=SIZE.");
  }
}

void FindProcessTroubles(CheckResult* result) {
  const MemoryState& state = result->state;
  if (state.allowed_nodes) {
    std::vector<int> barred;
    for (const NodeMemory& node : state.nodes) {
      if (node.total_bytes != 0 && !state.Allows(node)) barred.push_back(node.node_id);
    }
    if (!barred.empty()) {
      Add(result, Severity::kNote,
          fmt::format("The memory of node{} {} is outside of this process's cpuset.", barred.size() == 1 ? "" : "s",
                      IdListText(barred)),
          "An engine in another cpuset sees other nodes: run this there.");
    }
  }
  if (state.address_space_limit_bytes && result->need) {
    // A pool reserves a window of twice the next power of two per node.
    uint64_t window_count = 0;
    for (const NodeMemory& node : state.nodes) window_count += node.total_bytes != 0 && state.Allows(node) ? 1 : 0;
    const uint64_t wanted = 2 * window_count * std::bit_ceil(result->need->page_count);
    if (*state.address_space_limit_bytes / kHugePageBytes < wanted) {
      Add(result, Severity::kWarning,
          fmt::format("The address space of this process is limited to {}; a pool of this size asks for {}.",
                      SizeText(*state.address_space_limit_bytes),
                      wanted > UINT64_MAX / kHugePageBytes ? std::string("more than there is")
                                                           : SizeText(wanted * kHugePageBytes)),
          "Start the engine under `ulimit -v unlimited`.");
    }
  }
}

void FindTransparentTroubles(CheckResult* result, const PasteStyle& style) {
  if (result->state.transparent.enabled != "never" || result->exit_code == ExitCode::kMendable) return;
  Add(result, Severity::kWarning,
      "Transparent huge pages are off: what goes beyond the reserved pages would lie on 4 KiB pages.",
      WriteCommand("madvise", kThpEnabled, style));
}

}  // namespace

const char* ToString(Severity severity) {
  switch (severity) {
    case Severity::kNote: return "note";
    case Severity::kWarning: return "warning";
    case Severity::kProblem: return "problem";
  }
  return "?";
}

CheckResult Examine(MemoryState state, std::optional<Need> need, const PasteStyle& style) {
  CheckResult result;
  result.state = std::move(state);
  result.need = std::move(need);
  if (result.need) {
    JudgeNeed(&result, style);
    if (result.need->rounded) {
      Add(&result, Severity::kNote,
          fmt::format("Sizes are rounded up to whole pages of {}.", SizeText(kHugePageBytes)));
    }
  } else {
    JudgeMachine(&result, style);
  }
  FindPageTroubles(&result);
  FindProcessTroubles(&result);
  FindTransparentTroubles(&result, style);
  for (const std::string& remark : result.state.remarks) Add(&result, Severity::kWarning, remark);
  return result;
}

ExitCode RunCheck(const CheckRequest& request, std::ostream& out, std::ostream& err) {
  const auto refuse = [&err](const Error& error, ExitCode exit_code) {
    err << "hugepool check: " << error.ToString() << '\n';
    return exit_code;
  };
  Error error;
  std::optional<Need> need;
  if (!request.need.empty()) {
    need = ParseNeed(request.need, &error);
    if (!need) return refuse(error, ExitCode::kBadInput);
  }
  std::error_code status;
  if (!std::filesystem::is_directory(request.root, status)) {
    error.code = ErrorCode::kInvalidArgument;
    error.operation = "--root";
    error.message =
        fmt::format("{} is no folder; allowed is a folder that holds proc/ and sys/", internal::Quoted(request.root));
    error.mend = "Leave --root out to check this machine.";
    return refuse(error, ExitCode::kBadInput);
  }
  auto state = internal::ReadMemoryState(request.root, &error);
  if (!state) return refuse(error, ExitCode::kCannot);
  if (need && !CheckNeed(*need, *state, &error)) return refuse(error, ExitCode::kBadInput);
  const CheckResult result = Examine(std::move(*state), std::move(need), request.style);
  out << (request.json ? JsonOf(result) : TextOf(result));
  return result.exit_code;
}

Subcommand AddCheck(CLI::App& app, const std::string& program) {
  const auto request = std::make_shared<CheckRequest>();
  request->style.program = program;
  CLI::App* const check = app.add_subcommand(
      "check", "What there is: nodes, CPUs, memory, huge pages, limits; and whether a need fits. Changes nothing.");
  CLI::Option* const need = check->add_option(
      "--need", request->need, "Size that an engine will take: 4G on any node, or node0=1G,node1=2G (K, M, G, T)");
  check->add_option("--root", request->root, "Check the recorded or made-up machine in this folder (proc/ and sys/)")
      ->capture_default_str();
  check->add_flag("--json", request->json, "One JSON object instead of text");
  check->footer(
      "The last line is one command to paste: what mends it, or what to ask next.\n"
      "A reservation that it proposes leaves 8 GiB or a tenth of the memory to the system, whichever is\n"
      "more (on machines under 32 GiB: a quarter), and lowers nobody's reservation.\n"
      "\n"
      "Exit codes: 0 it fits, or all is well; 1 it does not, the last line mends it; 2 bad usage;\n"
      "3 this machine cannot, now or ever, or it cannot be read.");
  return {check, [request, need](std::ostream& out, std::ostream& err) {
            // An empty value is a slip (an unset variable), not "no need".
            if (need->count() > 0 && request->need.empty()) request->need = " ";
            request->style.superuser = request->root == "/" && geteuid() == 0;
            return RunCheck(*request, out, err);
          }};
}

}  // namespace hugepool::tools
