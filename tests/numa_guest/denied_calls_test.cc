// A container's seccomp profile may deny mbind, move_pages, set_mempolicy, membarrier and rseq. The pool works, and
// says in its statistics what it had to do without. Runs on any machine: nothing in it needs nodes or a reservation.
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "hugepool/pool.h"
#include "numa_guest/child.h"
#include "numa_guest/filling.h"
#include "numa_guest/page_census.h"

namespace hugepool::guest {
namespace {

constexpr size_t kFillBytes = size_t{24} << 20;
// Set in the process that runs under the filter: the same test, started again, so that glibc too meets the denial.
constexpr char kDeniedMark[] = "HUGEPOOL_TEST_CALLS_DENIED";

struct DeniedCalls {
  const char* name;
  std::vector<int> numbers;
};

const std::vector<DeniedCalls>& Choices() {
  static const std::vector<DeniedCalls> choices = {
      {"mbind", {SYS_mbind}},
      {"move_pages", {SYS_move_pages}},
      {"set_mempolicy", {SYS_set_mempolicy}},
      {"membarrier", {SYS_membarrier}},
      {"rseq", {SYS_rseq}},
      {"all", {SYS_mbind, SYS_move_pages, SYS_set_mempolicy, SYS_get_mempolicy, SYS_membarrier, SYS_rseq}},
  };
  return choices;
}

bool Denies(const DeniedCalls& calls, int number) {
  for (const int denied : calls.numbers) {
    if (denied == number) return true;
  }
  return false;
}

// From now on and over exec, these calls fail with that errno.
void Deny(const std::vector<int>& numbers, int refused_errno) {
  std::vector<sock_filter> filter;
  filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const int number : numbers) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(refused_errno)));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program = {static_cast<unsigned short>(filter.size()), filter.data()};
  ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

class DeniedCallsTest : public testing::TestWithParam<std::tuple<size_t, int>> {
 protected:
  const DeniedCalls& calls() const { return Choices()[std::get<0>(GetParam())]; }
  int refused_errno() const { return std::get<1>(GetParam()); }
};

void ExpectPoolWorks(const DeniedCalls& calls, int refused_errno) {
  for (const int number : calls.numbers) {
    // The denial is real: otherwise this test would prove nothing.
    ASSERT_EQ(syscall(number, 0, 0, 0, 0, 0, 0), -1);
    ASSERT_EQ(errno, refused_errno) << "call " << number;
  }
  PoolOptions options;
  options.capacity_bytes = 8 * kFillBytes;
  const auto pool = CreateOrFail(options);
  ASSERT_NE(pool, nullptr);
  {
    Filling filling(pool);
    ASSERT_TRUE(filling.AddMixed(kFillBytes)) << pool->Stats().ToText();
    // Blocks of another thread, freed here: caches work without rseq and membarrier.
    Filling from_thread(pool);
    std::thread([&from_thread] { EXPECT_TRUE(from_thread.AddMixed(kFillBytes / 4)); }).join();
    EXPECT_TRUE(filling.Intact());
    EXPECT_TRUE(from_thread.Intact());
    EXPECT_GE(CountByNumaMaps(filling.blocks()).TotalBytes(), kFillBytes);

    const PoolStats stats = pool->Stats();
    EXPECT_EQ(stats.refused_bind_count != 0, Denies(calls, SYS_mbind)) << stats.ToText();
    EXPECT_EQ(stats.refused_locate_count != 0, Denies(calls, SYS_move_pages)) << stats.ToText();
    uint64_t unverified_bytes = 0;
    for (const NodeStats& node : stats.nodes) unverified_bytes += node.unverified_bytes;
    EXPECT_EQ(unverified_bytes, Denies(calls, SYS_move_pages) ? stats.committed_bytes : 0) << stats.ToText();
    EXPECT_FALSE(stats.cache_mode.empty());

    Error error;
    const auto report = pool->VerifyPlacement(&error);
    EXPECT_EQ(report.has_value(), !Denies(calls, SYS_move_pages));
    EXPECT_EQ(error.code, Denies(calls, SYS_move_pages) ? ErrorCode::kSystem : ErrorCode::kOk) << error.ToString();
  }
  pool->Trim(0);
  EXPECT_EQ(pool->Stats().allocated_count, 0u);
  std::string why;
  EXPECT_TRUE(pool->CheckInvariants(&why)) << why;
}

TEST_P(DeniedCallsTest, PoolWorksAndCounts) {
  if (std::getenv(kDeniedMark) != nullptr) {
    ExpectPoolWorks(calls(), refused_errno());
    return;
  }
  const testing::TestInfo* info = testing::UnitTest::GetInstance()->current_test_info();
  const std::string filter = std::string("--gtest_filter=") + info->test_suite_name() + "." + info->name();
  const int status = RunInChild([&] {
    Deny(calls().numbers, refused_errno());
    setenv(kDeniedMark, "1", 1);
    unsetenv("GTEST_OUTPUT");
    execl("/proc/self/exe", "denied_calls_test", filter.c_str(), static_cast<char*>(nullptr));
    ADD_FAILURE() << "exec was refused: errno " << errno;
  });
  ASSERT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

std::string NameOf(const testing::TestParamInfo<std::tuple<size_t, int>>& info) {
  return std::string(Choices()[std::get<0>(info.param)].name) +
         (std::get<1>(info.param) == EPERM ? "_EPERM" : "_ENOSYS");
}

INSTANTIATE_TEST_SUITE_P(Seccomp, DeniedCallsTest,
                         testing::Combine(testing::Range(size_t{0}, size_t{6}), testing::Values(EPERM, ENOSYS)),
                         NameOf);

}  // namespace
}  // namespace hugepool::guest
