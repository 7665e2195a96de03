// ScratchDir: a folder for one test, which goes with it; and FileText, what a file holds.
//
// Owner      the test
// Errors     without a folder the test program ends; a file that cannot be read is ""
#ifndef HUGEPOOL_TESTS_SCRATCH_DIR_H_
#define HUGEPOOL_TESTS_SCRATCH_DIR_H_

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace hugepool::testing {

class ScratchDir {
 public:
  ScratchDir() : path_((std::filesystem::temp_directory_path() / "hugepool_test_XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~ScratchDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string FileText(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_SCRATCH_DIR_H_
