// Pool, fork, the parent leaves, the child goes on with RocksDB; and RocksDB where NUMA's system calls are denied.
#include <gtest/gtest.h>
#include <hugepool/types.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "engine_integration/rocksdb/real_database.h"

namespace hugepool::testing {
namespace {

// Runs the program; waits for it and for what it leaves behind. The exit codes, in the order in which they came; a
// signal counts as 128 + its number.
std::vector<int> RunProcess(const std::string& mode, const std::string& backing) {
  // The child of a parent that left becomes ours.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  std::vector<char> mode_text(mode.c_str(), mode.c_str() + mode.size() + 1);
  std::vector<char> backing_text(backing.c_str(), backing.c_str() + backing.size() + 1);
  char name[] = "rocksdb_process";
  char* const argv[] = {name, mode_text.data(), backing_text.data(), nullptr};
  const pid_t pid = fork();
  if (pid == 0) {
    execv(ROCKSDB_PROCESS, argv);
    _exit(126);
  }
  std::vector<int> exit_codes;
  int status = 0;
  while (wait(&status) > 0) {
    exit_codes.push_back(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
  return exit_codes;
}

class ProcessOnBacking : public ::testing::TestWithParam<HugePages> {
 protected:
  void SetUp() override {
    const std::string why_not = WhyNot(GetParam(), 16);  // the parent's pool and the child's
    if (!why_not.empty()) GTEST_SKIP() << why_not;
  }
  std::string backing() const { return ToString(GetParam()); }
};

const std::vector<int> kParentAndChildLeftWell = {0, 0};

TEST_P(ProcessOnBacking, ForkedChildFillsACacheOnANewPool) {
  EXPECT_EQ(RunProcess("new_pool", backing()), kParentAndChildLeftWell);
}

TEST_P(ProcessOnBacking, ForkedChildFillsACacheOnTheInheritedAllocator) {
  EXPECT_EQ(RunProcess("inherited", backing()), kParentAndChildLeftWell);
}

TEST_P(ProcessOnBacking, ForkedChildThatOnlyExitsDoesSo) {
  EXPECT_EQ(RunProcess("exit_only", backing()), kParentAndChildLeftWell);
}

TEST_P(ProcessOnBacking, DeniedSystemCallsAreWorkedAround) {
  const std::vector<int> exit_codes = RunProcess("denied", backing());
  if (exit_codes == std::vector<int>{77}) GTEST_SKIP() << "this system does not allow a seccomp filter";
  EXPECT_EQ(exit_codes, std::vector<int>{0});
}

// The exit codes above mean something only if a failure in the child shows.
TEST(ProcessControl, FailureInTheChildShows) {
  const std::vector<int> exit_codes = RunProcess("no such mode", "off");
  ASSERT_EQ(exit_codes.size(), 2u);
  EXPECT_EQ(exit_codes[0] + exit_codes[1], 1);
}

INSTANTIATE_TEST_SUITE_P(Backings, ProcessOnBacking,
                         ::testing::Values(HugePages::kRequired, HugePages::kTransparent, HugePages::kOff),
                         [](const auto& parameter) { return std::string(ToString(parameter.param)); });

}  // namespace
}  // namespace hugepool::testing
