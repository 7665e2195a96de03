// Error: one sentence with the figures, and the mend behind it.
#include "hugepool/error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace hugepool {
namespace {

TEST(Error, NothingWrongReadsOk) {
  const Error error;
  EXPECT_FALSE(error);
  EXPECT_EQ(error.ToString(), "ok");
}

TEST(Error, CarriesOperationErrnoNodeBytesAndMend) {
  const Error error{.code = ErrorCode::kSystem,
                    .operation = "mbind",
                    .errno_value = EPERM,
                    .node_id = 3,
                    .bytes = 4096,
                    .message = "it was refused",
                    .mend = "Allow it."};
  EXPECT_TRUE(error);
  EXPECT_EQ(error.ToString(), "mbind: it was refused (Operation not permitted, EPERM; node 3; 4096 bytes). Allow it.");
}

TEST(Error, LeavesOutWhatDoesNotApply) {
  const Error error{.code = ErrorCode::kNoMemory, .operation = "Pool::Create", .message = "it is full", .mend = ""};
  EXPECT_EQ(error.ToString(), "Pool::Create: it is full.");
}

}  // namespace
}  // namespace hugepool
