// Damaged trees: `check` never crashes on one, and where it cannot answer it says which file is at fault, exit code 3.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "pool/topology/made_up_machine.h"
#include "tools/command_line.h"

namespace hugepool::tools {
namespace {

using ::hugepool::testing::MadeUpMachine;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kGiB = uint64_t{1} << 30;

void BuildMachine(const MadeUpMachine& machine) {
  machine.Build({{.node_id = 0,
                  .cpus = "0-3",
                  .memory_bytes = 64 * kGiB,
                  .free_bytes = 50 * kGiB,
                  .total_count = 100,
                  .free_count = 100,
                  .distances = "10 21"},
                 {.node_id = 3,
                  .memory_bytes = 64 * kGiB,
                  .free_bytes = 50 * kGiB,
                  .total_count = 7,
                  .free_count = 3,
                  .distances = "21 10"}},
                100 * kGiB, 2);
  machine.Allow("0-3", "0,3");
  machine.PutIntoCgroup("/db.slice");
  machine.Write("/sys/fs/cgroup/db.slice/hugetlb.2MB.max", "8589934592\n");
  machine.Write("/sys/fs/cgroup/db.slice/hugetlb.2MB.current", "0\n");
}

std::vector<std::string> FilesOf(const MadeUpMachine& machine) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(machine.root())) {
    if (entry.is_regular_file()) paths.push_back(entry.path().string().substr(machine.root().size()));
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string Content(const MadeUpMachine& machine, const std::string& path) {
  std::ifstream file(machine.root() + path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Runs `check` in both forms; a verdict, or exit code 3 with the reason.
void ExpectSoundAnswer(const MadeUpMachine& machine, const std::string& what) {
  for (const std::vector<std::string>& options :
       {std::vector<std::string>{}, {"--need", "4G"}, {"--need", "node0=1G,node3=1G", "--json"}}) {
    std::vector<std::string> arguments = {"check", "--root", machine.root()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    std::ostringstream out;
    std::ostringstream err;
    const ExitCode exit_code = RunCommandLine("hugepool", arguments, out, err);
    if (out.str().empty()) {
      // A node that the tree no longer shows is bad input for the need that names it.
      ASSERT_TRUE(exit_code == ExitCode::kCannot || exit_code == ExitCode::kBadInput) << what << err.str();
      ASSERT_THAT(err.str(), HasSubstr("hugepool check: ")) << what;
    } else {
      ASSERT_THAT(err.str(), IsEmpty()) << what;
    }
  }
}

TEST(DamagedMachine, EveryFileInEveryKindOfDamage) {
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {"empty", ""},
      {"newline", "\n"},
      {"negative", "-1\n"},
      {"huge", "99999999999999999999999999\n"},
      {"largest", "18446744073709551615\n"},
      {"float", "1.5e300\n"},
      {"hexadecimal", "0xffff\n"},
      {"text", "not a number\n"},
      {"binary", std::string("\x00\xff\x7f\x45\x4c\x46\x00\x01", 8)},
      {"zeros", std::string(5000, '\0')},
      {"endless", std::string(2 << 20, '7')},
      {"range", "0-4294967295\n"},
      {"brackets", "][ [] [[[\n"},
      {"colons", ":::::\n::\n0::\n"},
      {"percent", "%s%n%x{}{0}\n"},
  };
  const MadeUpMachine pattern;
  BuildMachine(pattern);
  const std::vector<std::string> paths = FilesOf(pattern);
  ASSERT_GT(paths.size(), 20u);
  for (const std::string& path : paths) {
    const std::string sound = Content(pattern, path);
    for (const auto& [name, content] : kinds) {
      pattern.Write(path, content);
      ASSERT_NO_FATAL_FAILURE(ExpectSoundAnswer(pattern, path + ": " + name + "\n"));
    }
    for (size_t length = 0; length < sound.size(); length += 1 + sound.size() / 8) {
      pattern.Write(path, sound.substr(0, length));
      ASSERT_NO_FATAL_FAILURE(ExpectSoundAnswer(pattern, path + ": cut\n"));
    }
    pattern.Remove(path);
    ASSERT_NO_FATAL_FAILURE(ExpectSoundAnswer(pattern, path + ": missing\n"));
    std::filesystem::create_directory(pattern.root() + path);
    ASSERT_NO_FATAL_FAILURE(ExpectSoundAnswer(pattern, path + ": a folder\n"));
    pattern.Remove(path);
    ASSERT_EQ(mkfifo((pattern.root() + path).c_str(), 0600), 0);
    ASSERT_NO_FATAL_FAILURE(ExpectSoundAnswer(pattern, path + ": a pipe\n"));
    pattern.Remove(path);
    std::filesystem::create_symlink(pattern.root() + path, pattern.root() + path);
    ASSERT_NO_FATAL_FAILURE(ExpectSoundAnswer(pattern, path + ": a link to itself\n"));
    pattern.Remove(path);
    pattern.Write(path, sound);
  }
}

TEST(DamagedMachine, RandomDamageToSeveralFilesAtOnce) {
  std::mt19937 random(20240612);
  const MadeUpMachine machine;
  BuildMachine(machine);
  const std::vector<std::string> paths = FilesOf(machine);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::pair<std::string, std::string>> sound;
    for (int count = 0; count < 3; ++count) {
      const std::string& path = paths[random() % paths.size()];
      std::string content = Content(machine, path);
      sound.emplace_back(path, content);
      for (int change = 0; change < 4 && !content.empty(); ++change) {
        const size_t at = random() % content.size();
        switch (random() % 4) {
          case 0: content[at] = static_cast<char>(random()); break;
          case 1: content.erase(at, 1 + random() % 3); break;
          case 2: content.insert(at, std::string(1 + random() % 25, static_cast<char>('0' + random() % 10))); break;
          default: content.resize(at); break;
        }
      }
      machine.Write(path, content);
    }
    ASSERT_NO_FATAL_FAILURE(ExpectSoundAnswer(machine, "round " + std::to_string(round) + "\n"));
    for (auto entry = sound.rbegin(); entry != sound.rend(); ++entry) machine.Write(entry->first, entry->second);
  }
}

// A damaged count must not pass for zero pages.
TEST(DamagedMachine, ADamagedCountIsExitCode3AndNamed) {
  for (const char* file : {"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
                           "/sys/devices/system/node/node3/hugepages/hugepages-2048kB/nr_hugepages",
                           "/sys/devices/system/node/node3/meminfo", "/proc/meminfo"}) {
    const MadeUpMachine machine;
    BuildMachine(machine);
    machine.Write(file, "\x01garbage");
    std::ostringstream out;
    std::ostringstream err;
    EXPECT_EQ(RunCommandLine("hugepool", {"check", "--root", machine.root()}, out, err), ExitCode::kCannot);
    EXPECT_THAT(err.str(), HasSubstr(file));
    EXPECT_THAT(err.str(), HasSubstr("\\x01garbage"));
  }
}

}  // namespace
}  // namespace hugepool::tools
