// What `check` concludes: verdicts, findings, and a last line that a shell takes as it stands.
#include "tools/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "pool/topology/made_up_machine.h"
#include "tools/check_report.h"

namespace hugepool::tools {
namespace {

using ::hugepool::testing::MadeUpMachine;
using ::hugepool::testing::MadeUpNode;
using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr uint64_t kGiB = uint64_t{1} << 30;

MadeUpNode Node(int node_id, uint64_t total_count, uint64_t free_count) {
  return {.node_id = node_id,
          .cpus = std::to_string(node_id),
          .memory_bytes = 64 * kGiB,
          .free_bytes = 50 * kGiB,
          .total_count = total_count,
          .free_count = free_count};
}

CheckResult Check(const MadeUpMachine& machine, const char* need, const PasteStyle& style = {}) {
  Error error;
  auto state = internal::ReadMemoryState(machine.root(), &error);
  EXPECT_TRUE(state) << error.ToString();
  std::optional<Need> parsed;
  if (need != nullptr) parsed = ParseNeed(need, nullptr);
  return Examine(std::move(*state), std::move(parsed), style);
}

std::string LastLine(const std::string& text) {
  const size_t end = text.find_last_not_of('\n');
  return text.substr(text.rfind('\n', end) + 1, end - text.rfind('\n', end));
}

auto HasFinding(const std::string& part) { return Contains(Field(&Finding::message, HasSubstr(part))); }

TEST(Check, TheMendWritesEachNodesCountAndThenLooksAgain) {
  const MadeUpMachine machine;
  machine.Build({Node(0, 100, 100), Node(1, 50, 0)}, 100 * kGiB);
  const CheckResult result = Check(machine, "node0=1G,node1=1G");
  EXPECT_EQ(result.exit_code, ExitCode::kMendable);
  EXPECT_EQ(result.command,
            "echo 512 | sudo tee /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages && "
            "echo 562 | sudo tee /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages && "
            "hugepool check --need node0=1G,node1=1G");
  EXPECT_EQ(LastLine(TextOf(result)), result.command);
}

// The last line, run by a shell against a copy of the tree, makes the need fit.
TEST(Check, PastingTheLastLineMendsIt) {
  const MadeUpMachine machine;
  machine.Build({Node(0, 100, 60), Node(1, 50, 0)}, 100 * kGiB, 10);
  machine.PutIntoCgroup("/it's a slice");
  const std::string limit = "/sys/fs/cgroup/it's a slice/hugetlb.2MB.max";
  machine.Write(limit, "1048576\n");
  machine.Write("/sys/fs/cgroup/it's a slice/hugetlb.2MB.current", "0\n");
  const CheckResult result = Check(machine, "3G", {.program = "true", .superuser = true});
  ASSERT_EQ(result.exit_code, ExitCode::kMendable);
  // The made-up tree stands where the command writes.
  std::string command = result.command;
  for (size_t at = 0; (at = command.find("/sys/", at)) != std::string::npos; at += machine.root().size() + 5) {
    command.insert(at, machine.root());
  }
  ASSERT_EQ(std::system((command + " >/dev/null").c_str()), 0) << command;
  // As the kernel would: what was added is free.
  uint64_t added_count = 0;
  for (const NodeShare& share : result.reservation->shares) {
    const std::string folder = MadeUpMachine::CountsPath(MadeUpMachine::NodePath(share.node_id));
    machine.Write(folder + "free_hugepages", std::to_string(share.free_count + share.add_count));
    added_count += share.add_count;
  }
  const std::string whole = MadeUpMachine::CountsPath("/sys/kernel/mm");
  machine.Write(whole + "nr_hugepages", std::to_string(150 + added_count));
  machine.Write(whole + "free_hugepages", std::to_string(60 + added_count));
  const CheckResult after = Check(machine, "3G");
  EXPECT_EQ(after.exit_code, ExitCode::kHealthy) << TextOf(after);
  EXPECT_EQ(after.state.nodes[1].huge_pages[0].total_count, result.reservation->shares[1].target_count());
}

TEST(Check, ASuperuserNeedsNoSudo) {
  const MadeUpMachine machine;
  machine.Build({Node(0, 0, 0)}, 50 * kGiB);
  EXPECT_THAT(Check(machine, "1G", {.program = "hugepool", .superuser = true}).command, StartsWith("echo 512 | tee /"));
}

TEST(Check, WithoutNumaTheMachinesFileIsWritten) {
  const MadeUpMachine machine;
  machine.BuildMachineFiles(64 * kGiB, 50 * kGiB, 0, 0, 0);
  EXPECT_THAT(Check(machine, "1G").command,
              StartsWith("echo 512 | sudo tee /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages && "));
}

TEST(Check, TooLittleMemoryNowIsToldApartFromNever) {
  const MadeUpMachine machine;
  machine.Build({Node(0, 0, 0)}, 10 * kGiB);
  const CheckResult not_now = Check(machine, "4G");
  EXPECT_EQ(not_now.exit_code, ExitCode::kCannot);
  EXPECT_THAT(not_now.verdict, HasSubstr("does not fit now"));
  EXPECT_THAT(not_now.command, StartsWith("ps "));
  EXPECT_THAT(not_now.findings, Contains(Field(&Finding::mend, HasSubstr("hugepool check --need 2G"))));
  const CheckResult never = Check(machine, "100T");
  EXPECT_EQ(never.exit_code, ExitCode::kCannot);
  EXPECT_THAT(never.verdict, HasSubstr("never fits on this machine: at most 56 GiB"));
  EXPECT_EQ(never.command, "hugepool check --need 2G");
}

TEST(Check, ASmallerNeedNodeByNode) {
  const MadeUpMachine machine;
  machine.Build({Node(0, 0, 0), Node(1, 10, 10)}, 100 * kGiB);
  machine.Write("/sys/devices/system/node/node1/meminfo", "Node 1 MemTotal: 67108864 kB\nNode 1 MemFree: 0 kB\n");
  EXPECT_EQ(Check(machine, "node0=1G,node1=100G").command, "hugepool check --need node0=1G,node1=20M");
}

TEST(Check, WithoutNeedAnyHugePageWillDo) {
  const MadeUpMachine machine;
  machine.Build({Node(0, 0, 0)}, 50 * kGiB);
  const CheckResult transparent = Check(machine, nullptr);
  EXPECT_EQ(transparent.exit_code, ExitCode::kHealthy);
  EXPECT_EQ(transparent.command, "hugepool check --need 4G");

  const std::string enabled = "/sys/kernel/mm/transparent_hugepage/enabled";
  machine.Write(enabled, "always madvise [never]\n");
  const CheckResult off = Check(machine, nullptr);
  EXPECT_EQ(off.exit_code, ExitCode::kMendable);
  EXPECT_EQ(off.command, "echo madvise | sudo tee " + enabled + " && hugepool check");

  machine.Remove("/sys/kernel/mm/transparent_hugepage");
  EXPECT_EQ(Check(machine, nullptr).exit_code, ExitCode::kCannot);

  machine.Build({Node(0, 30, 20)}, 50 * kGiB, 5);
  const CheckResult reserved = Check(machine, nullptr);
  EXPECT_EQ(reserved.exit_code, ExitCode::kHealthy);
  EXPECT_EQ(reserved.command, "hugepool check --need 30M");
  EXPECT_THAT(reserved.findings, HasFinding("5 of the 20 free are promised"));
}

TEST(Check, AKernelWithoutHugePages) {
  const MadeUpMachine machine;
  machine.Build({Node(0, 0, 0)}, 50 * kGiB);
  machine.Remove("/sys/kernel/mm/hugepages");
  machine.Remove("/sys/devices/system/node/node0/hugepages");
  const CheckResult result = Check(machine, "1G");
  EXPECT_EQ(result.exit_code, ExitCode::kCannot);
  EXPECT_THAT(result.command, HasSubstr("/boot/config-$(uname -r)"));
  EXPECT_THAT(TextOf(result), HasSubstr("no hugetlb"));
}

TEST(Check, FindingsNameWhatAnOperatorWouldMiss) {
  const MadeUpMachine machine;
  machine.Build({Node(0, 600, 600), Node(1, 0, 0), Node(2, 9, 9)}, 100 * kGiB);
  machine.Allow("0-1", "0-1");
  machine.Write(MadeUpMachine::CountsPath("/sys/kernel/mm") + "surplus_hugepages", "3\n");
  machine.Write("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
  machine.Write("/proc/self/limits", "Max address space 1073741824 1073741824 bytes\n");
  const CheckResult result = Check(machine, "1025M");
  EXPECT_EQ(result.exit_code, ExitCode::kHealthy);
  EXPECT_THAT(result.findings, HasFinding("rounded up"));
  EXPECT_THAT(result.findings, HasFinding("3 pages of 2 MiB surplus"));
  EXPECT_THAT(result.findings, HasFinding("9 pages are free on nodes that this process may not use"));
  EXPECT_THAT(result.findings, HasFinding("Node 1 has no free page"));
  EXPECT_THAT(result.findings, HasFinding("memory of node 2 is outside"));
  EXPECT_THAT(result.findings, HasFinding("address space of this process is limited to 1 GiB"));
  EXPECT_THAT(result.findings, HasFinding("Transparent huge pages are off"));
}

TEST(Check, ASoundMachineHasNoFindings) {
  const MadeUpMachine machine;
  machine.Build({Node(0, 600, 600), Node(1, 600, 600)}, 100 * kGiB);
  machine.Allow("0-1", "0-1");
  EXPECT_THAT(Check(machine, "1G").findings, IsEmpty());
}

TEST(Check, NothingThatATreeSaysBreaksALineOrTheJson) {
  const MadeUpMachine machine;
  machine.Build({Node(0, 600, 600)}, 50 * kGiB);
  machine.PutIntoCgroup("/a\x01\xff$(reboot)");
  machine.Write("/sys/fs/cgroup/a\x01\xff$(reboot)/hugetlb.2MB.max", "4096\n");
  const CheckResult result = Check(machine, "1G");
  EXPECT_EQ(result.exit_code, ExitCode::kMendable);
  EXPECT_THAT(result.command, HasSubstr("$(reboot)/hugetlb.2MB.max' && "));
  EXPECT_THAT(TextOf(result), Not(HasSubstr("\x01")));
  EXPECT_THAT(JsonOf(result), HasSubstr("\\u0001\xef\xbf\xbd$(reboot)"));
}

}  // namespace
}  // namespace hugepool::tools
