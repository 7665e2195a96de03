// The command from its arguments to its exit code: usage, bad input, and the binary itself.
#include "tools/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "hugepool/version.h"
#include "pool/topology/made_up_machine.h"

namespace hugepool::tools {
namespace {

using ::hugepool::testing::MadeUpMachine;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr uint64_t kGiB = uint64_t{1} << 30;

struct Report {
  ExitCode exit_code;
  std::string out;
  std::string err;
};

Report RunTool(const std::vector<std::string>& arguments) {
  std::ostringstream out;
  std::ostringstream err;
  const ExitCode exit_code = RunCommandLine("hugepool", arguments, out, err);
  return {exit_code, out.str(), err.str()};
}

void BuildMachine(const MadeUpMachine& machine) {
  machine.Build({{.node_id = 0,
                  .cpus = "0-3",
                  .memory_bytes = 64 * kGiB,
                  .free_bytes = 50 * kGiB,
                  .total_count = 1024,
                  .free_count = 1024,
                  .distances = "10"}},
                50 * kGiB);
}

struct BadUsage {
  std::vector<std::string> arguments;
  const char* value;    // that the message names
  const char* allowed;  // likewise
};

class CommandLineRefuses : public ::testing::TestWithParam<BadUsage> {};

TEST_P(CommandLineRefuses, WithExitCode2AndTheValueWhatIsAllowedAndTheMend) {
  const MadeUpMachine machine;
  BuildMachine(machine);
  std::vector<std::string> arguments = GetParam().arguments;
  for (std::string& argument : arguments) {
    if (argument == "ROOT") argument = machine.root();
  }
  const Report report = RunTool(arguments);
  EXPECT_EQ(report.exit_code, ExitCode::kBadInput);
  EXPECT_THAT(report.out, IsEmpty());
  EXPECT_THAT(report.err, AllOf(StartsWith("hugepool"), HasSubstr(GetParam().value), HasSubstr(GetParam().allowed),
                                EndsWith(".\n")));
}

INSTANTIATE_TEST_SUITE_P(
    BadUsages, CommandLineRefuses,
    ::testing::Values(BadUsage{{}, "no subcommand", "Allowed: check"}, BadUsage{{"chek"}, "'chek'", "Allowed: check"},
                      BadUsage{{"--verbose"}, "'--verbose'", "Allowed: check"},
                      BadUsage{{"check", "--ned", "4G"}, "'--ned'", "Allowed: --help, --need, --root, --json"},
                      BadUsage{{"check", "extra\x01"}, "'extra\\x01'", "--need"},
                      BadUsage{{"check", "--need"}, "--need", "--root"},
                      BadUsage{{"check", "--need", "4G", "--need", "5G"}, "--need", "See `hugepool check --help`"},
                      BadUsage{{"check", "--json=maybe"}, "maybe", "--json"},
                      BadUsage{{"check", "--need", ""}, "is no size", "64M"},
                      BadUsage{{"check", "--need", "lots"}, "'lots'", "node0=1G,node1=2G"},
                      BadUsage{{"check", "--need", "-4G"}, "-4G", "--need"},
                      BadUsage{{"check", "--need", "0", "--root", "ROOT"}, "'0'", "1 byte to 4 EiB"},
                      BadUsage{{"check", "--need", "node99=1G", "--root", "ROOT"}, "node99", "allowed: node0"},
                      BadUsage{{"check", "--root", "/no/such/folder"}, "'/no/such/folder'", "proc/ and sys/"},
                      BadUsage{{"check", "--root", ""}, "''", "proc/ and sys/"},
                      BadUsage{{"check", "--root", "/dev/null"}, "'/dev/null'", "proc/ and sys/"}));

TEST(CommandLine, VersionIsTheHeaders) {
  const Report report = RunTool({"--version"});
  EXPECT_EQ(report.exit_code, ExitCode::kHealthy);
  EXPECT_EQ(report.out, std::string("hugepool ") + HUGEPOOL_VERSION_STRING + "\n");
}

TEST(CommandLine, HelpStatesTheExitCodes) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--help"}, {"check", "--help"}}) {
    const Report report = RunTool(arguments);
    EXPECT_EQ(report.exit_code, ExitCode::kHealthy);
    EXPECT_THAT(report.out, AllOf(HasSubstr("xit codes"), HasSubstr("Usage: hugepool"), EndsWith("\n")));
    EXPECT_THAT(report.err, IsEmpty());
  }
}

TEST(CommandLine, AFolderWithoutAMachineIsExitCode3) {
  const MadeUpMachine machine;
  const Report report = RunTool({"check", "--root", machine.root()});
  EXPECT_EQ(report.exit_code, ExitCode::kCannot);
  EXPECT_THAT(report.err, HasSubstr("/proc/meminfo"));
  EXPECT_THAT(report.out, IsEmpty());
}

// The binary itself, on this machine.

struct Output {
  int exit_code = -1;
  std::string text;
};

Output RunBinary(const std::string& arguments) {
  Output output;
  FILE* const pipe = popen((std::string("'") + HUGEPOOL_COMMAND + "' " + arguments).c_str(), "r");
  if (pipe == nullptr) return output;
  char part[4096];
  for (size_t length = 0; (length = fread(part, 1, sizeof(part), pipe)) > 0;) output.text.append(part, length);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) output.exit_code = WEXITSTATUS(status);
  return output;
}

std::string LastLine(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

TEST(HugepoolBinary, ChecksThisMachine) {
  const Output output = RunBinary("check --json");
  ASSERT_THAT(output.exit_code, ::testing::AnyOf(0, 1, 3)) << output.text;
  const auto json = nlohmann::json::parse(output.text);
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["exit_code"], output.exit_code);
  EXPECT_GE(json["nodes"].size(), 1u);
}

TEST(HugepoolBinary, MoreThanAnyMachineHasIsExitCode3) {
  const Output output = RunBinary("check --need 1000000T");
  EXPECT_EQ(output.exit_code, 3);
  EXPECT_THAT(output.text, HasSubstr("never fits"));
}

TEST(HugepoolBinary, BadUsageIsExitCode2) { EXPECT_EQ(RunBinary("check --need nonsense 2>&1").exit_code, 2); }

TEST(HugepoolBinary, AFullDiskIsNotAGoodReport) {
  const Output output = RunBinary("check 2>&1 >/dev/full");
  EXPECT_EQ(output.exit_code, 3);
  EXPECT_THAT(output.text, HasSubstr("could not be written"));
}

TEST(HugepoolBinary, TheCommandToPasteCallsItAsItWasCalled) {
  const MadeUpMachine machine;
  BuildMachine(machine);
  const Output output = RunBinary("check --need 1G --root " + machine.root());
  EXPECT_EQ(output.exit_code, 0);
  EXPECT_THAT(LastLine(output.text), EndsWith("/hugepool check --need 1G"));
}

}  // namespace
}  // namespace hugepool::tools
