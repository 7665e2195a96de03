// A user's program that loads a plugin, has threads run in it, unloads it while they live, and has them run on.
//
// Usage      plugin_host PLUGIN.so
// Errors     exit 1 with the reason; exit 3 where the plugin was unloaded, before the threads could die of it
#include <dlfcn.h>
#include <link.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

namespace {

constexpr int kThreadCount = 4;
constexpr int kRoundCount = 20'000;

// Whether any object of the process has this path.
bool IsLoaded(const char* path) {
  return dl_iterate_phdr(
             [](dl_phdr_info* object, size_t, void* wanted) {
               return std::strcmp(object->dlpi_name, static_cast<const char*>(wanted)) == 0 ? 1 : 0;
             },
             const_cast<char*>(path)) != 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: plugin_host PLUGIN.so\n"), 1;
  void* const plugin = dlopen(argv[1], RTLD_NOW);
  if (plugin == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 1;
  const auto open = reinterpret_cast<bool (*)()>(dlsym(plugin, "OpenPlugin"));
  const auto run = reinterpret_cast<int (*)(int)>(dlsym(plugin, "RunPlugin"));
  if (open == nullptr || run == nullptr || !open()) return 1;

  std::atomic<int> ran_count{0};
  std::atomic<int> wrong_count{0};
  std::atomic<bool> is_closed{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreadCount; ++i) {
    threads.emplace_back([&] {
      wrong_count += run(kRoundCount);
      ++ran_count;
      // The kernel still has the address of this thread's last sequence, and looks there when it next goes on.
      while (!is_closed) std::this_thread::yield();
      for (int j = 0; j < 1000; ++j) std::this_thread::yield();
    });
  }
  while (ran_count != kThreadCount) std::this_thread::yield();
  const int refused = dlclose(plugin);
  const bool is_loaded = IsLoaded(argv[1]);
  if (!is_loaded) {
    std::printf("plugin: unloaded\n");
    std::fflush(stdout);
    std::_Exit(3);
  }
  is_closed = true;
  for (std::thread& thread : threads) thread.join();
  if (refused != 0 || wrong_count != 0) return std::printf("plugin: %d blocks wrong\n", wrong_count.load()), 1;
  std::printf("plugin: still loaded after dlclose\n");
  return 0;
}
