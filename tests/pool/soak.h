// What soaks and random walks share: the seed, how the binary was built, and figures for people to read.
//
// Threads    one
#ifndef HUGEPOOL_TESTS_POOL_SOAK_H_
#define HUGEPOOL_TESTS_POOL_SOAK_H_

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <string>

namespace hugepool::testing {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
#else
inline constexpr bool kThreadSanitizer = false;
#endif

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#else
inline constexpr bool kAddressSanitizer = false;
#endif

inline constexpr bool kSanitized = kThreadSanitizer || kAddressSanitizer;

// HUGEPOOL_SEED, or a new one each time; printed, so that a failure can be repeated.
inline uint64_t Seed() {
  const char* given = std::getenv("HUGEPOOL_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "HUGEPOOL_SEED=" << seed << std::endl;
  return seed;
}

// HUGEPOOL_STRESS_SECONDS: how long a stress goes on, instead of for its count of operations; 0 where it is not set. For
// emulated machines.
inline double StressSeconds() {
  const char* given = std::getenv("HUGEPOOL_STRESS_SECONDS");
  return given != nullptr ? std::strtod(given, nullptr) : 0;
}

class Stopwatch {
 public:
  double Seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Prints the figures; where HUGEPOOL_FIGURES_DIR is set, leaves them there as <name>.json too.
inline void WriteFigures(const std::string& name, const std::map<std::string, double>& figures) {
  std::string json = "{\n  \"name\": \"" + name + "\"";
  for (const auto& [key, value] : figures) {
    char number[64];
    std::snprintf(number, sizeof number, "%.10g", value);
    json += ",\n  \"" + key + "\": " + number;
  }
  json += "\n}\n";
  std::cout << json << std::flush;
  if (const char* folder = std::getenv("HUGEPOOL_FIGURES_DIR"))
    std::ofstream(std::string(folder) + "/" + name + ".json") << json;
}

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_SOAK_H_
