// SystemFiles: the small text files in which the kernel describes itself (/proc, /sys), under a root that tests and
// `--root` may move. Nothing in it knows what the files mean.
//
// Units      as the files state them
// Threads    constant after construction; any thread
// Errors     a file that is not there is an empty optional; a file that is there and says something else than asked
//            for fills *error with its path, its content and what is allowed
// Cost       one open, read and close per call; at most kMaxFileBytes are read
#ifndef HUGEPOOL_TOPOLOGY_SYSTEM_FILES_H_
#define HUGEPOOL_TOPOLOGY_SYSTEM_FILES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hugepool/error.h"

namespace hugepool::internal {

// The kernel's own upper limits (MAX_NUMNODES of the widest configuration, and CPU ids with room to spare): a larger
// id in a file is damage, not a machine.
inline constexpr int kMaxNodeId = 1023;
inline constexpr int kMaxCpuId = 65535;

class SystemFiles {
 public:
  static constexpr size_t kMaxFileBytes = size_t{1} << 20;

  // root: a folder that holds proc/ and sys/; "/" is this machine.
  explicit SystemFiles(std::string root = "/");

  const std::string& root() const { return root_; }

  // The content without the white space around it; nothing when there is no such readable regular file.
  std::optional<std::string> Text(const std::string& path) const;
  bool IsFolder(const std::string& path) const;
  // Numbers N of the folders `prefix`N`suffix` inside `path`, ascending. Names that are no such number are left out.
  std::vector<uint64_t> NumberedFolders(const std::string& path, std::string_view prefix,
                                        std::string_view suffix) const;

  // A whole number from 0 to limit. Missing: nothing, and *error stays as it is. Damaged: nothing, and *error says so.
  std::optional<uint64_t> Count(const std::string& path, uint64_t limit, Error* error) const;
  // "0-3,8": ascending ids from 0 to max_id. An empty file is an empty list. Missing and damaged as above.
  std::optional<std::vector<int>> IdList(const std::string& path, int max_id, Error* error) const;
  // Whole numbers between white space, each from 0 to limit.
  std::optional<std::vector<uint64_t>> Counts(const std::string& path, uint64_t limit, Error* error) const;
  // "name: value" lines, as in /proc/self/status: the value of the first line with that name, without white space
  // around.
  std::optional<std::string> Field(const std::string& path, std::string_view name) const;
  // "name:   123 kB", as in meminfo, in bytes. Missing line as missing file.
  std::optional<uint64_t> KilobyteField(const std::string& path, std::string_view name, Error* error) const;
  // The same from a text that was read from `path` before, so that several fields are of one moment.
  static std::optional<uint64_t> KilobyteFieldOf(std::string_view text, const std::string& path, std::string_view name,
                                                 Error* error);

  // Fills *error: the file's path and what it says, and what would be allowed there.
  static void Damaged(const std::string& path, std::string_view content, const std::string& allowed, Error* error);

 private:
  std::string root_;  // without a slash at its end
};

// The same readings from a text. Nothing when it is no such number or list.
std::optional<uint64_t> ParseCount(std::string_view text, uint64_t limit);
std::optional<std::vector<int>> ParseIdList(std::string_view text, int max_id);
std::optional<std::string_view> FindField(std::string_view text, std::string_view name);
std::string_view TrimSpace(std::string_view text);
// At most 40 characters of text in quotes; bytes that do not print are written as \xNN.
std::string Quoted(std::string_view text);

}  // namespace hugepool::internal

#endif  // HUGEPOOL_TOPOLOGY_SYSTEM_FILES_H_
