#include "topology/system_files.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace hugepool::internal {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
// 2^52 bytes is the physical address space of x86-64; four times that in kB.
constexpr uint64_t kMaxKilobytes = uint64_t{1} << 44;

}  // namespace

std::string_view TrimSpace(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string Quoted(std::string_view text) {
  constexpr size_t kShownBytes = 40;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string quoted = "'";
  for (const char character : text.substr(0, kShownBytes)) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte >= 0x20 && byte < 0x7f) {
      quoted += character;
    } else {
      quoted += "\\x";
      quoted += kDigits[byte >> 4];
      quoted += kDigits[byte & 15];
    }
  }
  if (text.size() > kShownBytes) quoted += "…";
  return quoted + "'";
}

std::optional<uint64_t> ParseCount(std::string_view text, uint64_t limit) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, value);
  if (status != std::errc() || stop != end || value > limit) return std::nullopt;
  return value;
}

std::optional<std::vector<int>> ParseIdList(std::string_view text, int max_id) {
  std::vector<int> ids;
  text = TrimSpace(text);
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view range = text.substr(0, comma);
    const size_t dash = range.find('-');
    const auto first = ParseCount(range.substr(0, dash), static_cast<uint64_t>(max_id));
    const auto last =
        dash == std::string_view::npos ? first : ParseCount(range.substr(dash + 1), static_cast<uint64_t>(max_id));
    if (!first || !last || *last < *first) return std::nullopt;
    // Ascending and without repetition, as the kernel prints: bounds the work by max_id.
    if (!ids.empty() && static_cast<int>(*first) <= ids.back()) return std::nullopt;
    for (uint64_t id = *first; id <= *last; ++id) ids.push_back(static_cast<int>(id));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
    if (text.empty()) return std::nullopt;
  }
  return ids;
}

std::optional<std::string_view> FindField(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = TrimSpace(text.substr(0, end));
    if (line.starts_with(name) && line.size() > name.size() && line[name.size()] == ':') {
      return TrimSpace(line.substr(name.size() + 1));
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return std::nullopt;
}

SystemFiles::SystemFiles(std::string root) : root_(std::move(root)) {
  while (!root_.empty() && root_.back() == '/') root_.pop_back();
}

std::optional<std::string> SystemFiles::Text(const std::string& path) const {
  const std::string full = root_ + path;
  // A pipe or a device in a made-up tree would block or never end.
  std::error_code status;
  if (!std::filesystem::is_regular_file(full, status)) return std::nullopt;
  std::ifstream file(full, std::ios::binary);
  if (!file) return std::nullopt;
  std::string text(4096, '\0');
  size_t length = 0;
  while (length < kMaxFileBytes) {
    if (length == text.size()) text.resize(std::min(kMaxFileBytes, text.size() * 2));
    file.read(text.data() + length, static_cast<std::streamsize>(text.size() - length));
    length += static_cast<size_t>(file.gcount());
    if (!file) break;
  }
  if (file.bad()) return std::nullopt;
  return std::string(TrimSpace(std::string_view(text).substr(0, length)));
}

bool SystemFiles::IsFolder(const std::string& path) const {
  std::error_code status;
  return std::filesystem::is_directory(root_ + path, status);
}

std::vector<uint64_t> SystemFiles::NumberedFolders(const std::string& path, std::string_view prefix,
                                                   std::string_view suffix) const {
  std::vector<uint64_t> numbers;
  std::error_code status;
  std::filesystem::directory_iterator entry(root_ + path, status);
  for (; !status && entry != std::filesystem::directory_iterator(); entry.increment(status)) {
    const std::string name = entry->path().filename().string();
    std::string_view middle = name;
    if (!middle.starts_with(prefix)) continue;
    middle.remove_prefix(prefix.size());
    if (!middle.ends_with(suffix)) continue;
    middle.remove_suffix(suffix.size());
    const auto number = ParseCount(middle, UINT64_MAX);
    std::error_code entry_status;
    if (number && entry->is_directory(entry_status)) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  // "node1" and "node01" would be one number twice.
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

std::optional<uint64_t> SystemFiles::Count(const std::string& path, uint64_t limit, Error* error) const {
  const auto text = Text(path);
  if (!text) return std::nullopt;
  const auto count = ParseCount(*text, limit);
  if (!count) Damaged(path, *text, "a whole number from 0 to " + std::to_string(limit), error);
  return count;
}

std::optional<std::vector<int>> SystemFiles::IdList(const std::string& path, int max_id, Error* error) const {
  const auto text = Text(path);
  if (!text) return std::nullopt;
  auto ids = ParseIdList(*text, max_id);
  if (!ids) Damaged(path, *text, "ascending ids such as 0-3,8, each at most " + std::to_string(max_id), error);
  return ids;
}

std::optional<std::vector<uint64_t>> SystemFiles::Counts(const std::string& path, uint64_t limit, Error* error) const {
  const auto text = Text(path);
  if (!text) return std::nullopt;
  std::vector<uint64_t> counts;
  for (std::string_view rest = *text; !rest.empty();) {
    const size_t space = rest.find_first_of(kSpace);
    const auto count = ParseCount(rest.substr(0, space), limit);
    if (!count) {
      Damaged(path, *text, "whole numbers from 0 to " + std::to_string(limit), error);
      return std::nullopt;
    }
    counts.push_back(*count);
    rest = space == std::string_view::npos ? std::string_view() : TrimSpace(rest.substr(space));
  }
  return counts;
}

std::optional<std::string> SystemFiles::Field(const std::string& path, std::string_view name) const {
  const auto text = Text(path);
  const auto value = text ? FindField(*text, name) : std::nullopt;
  if (!value) return std::nullopt;
  return std::string(*value);
}

std::optional<uint64_t> SystemFiles::KilobyteField(const std::string& path, std::string_view name, Error* error) const {
  const auto text = Text(path);
  if (!text) return std::nullopt;
  return KilobyteFieldOf(*text, path, name, error);
}

std::optional<uint64_t> SystemFiles::KilobyteFieldOf(std::string_view text, const std::string& path,
                                                     std::string_view name, Error* error) {
  const auto value = FindField(text, name);
  if (!value) return std::nullopt;
  std::string_view number = *value;
  if (number.ends_with("kB")) number = TrimSpace(number.substr(0, number.size() - 2));
  const auto kilobytes = ParseCount(number, kMaxKilobytes);
  if (!kilobytes) {
    Damaged(path, std::string(name) + ": " + std::string(*value),
            "a whole number of kB, at most " + std::to_string(kMaxKilobytes), error);
    return std::nullopt;
  }
  return *kilobytes * 1024;
}

void SystemFiles::Damaged(const std::string& path, std::string_view content, const std::string& allowed, Error* error) {
  if (error == nullptr) return;
  *error = Error{};
  error->code = ErrorCode::kInvalidArgument;
  error->operation = "read " + path;
  error->message = "the file says " + Quoted(content) + "; allowed is " + allowed;
  error->mend = "Compare the file with a sound machine's, or report what wrote it.";
}

}  // namespace hugepool::internal
