#include "preload/serving.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <rocksdb/version.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "preload/static_rocksdb.h"
#include "rocksdb_adapter/c_allocator.h"

namespace hugepool::preload {
namespace {

#define HUGEPOOL_QUOTED(x) #x
#define HUGEPOOL_TEXT_OF(x) HUGEPOOL_QUOTED(x)
constexpr int kNothingServed = 3;  // the exit code that HUGEPOOL_STRICT=1 asks for
constexpr const char* kBuiltFor =
    HUGEPOOL_TEXT_OF(ROCKSDB_MAJOR) "." HUGEPOOL_TEXT_OF(ROCKSDB_MINOR) "." HUGEPOOL_TEXT_OF(ROCKSDB_PATCH);

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

bool NamesCapacity(std::string_view options) {
  for (size_t begin = 0; begin < options.size();) {
    begin = std::min(options.find_first_not_of(" \t\n;", begin), options.size());
    if (options.substr(begin).starts_with("capacity")) return true;
    begin = std::min(options.find(';', begin), options.size());
  }
  return false;
}

std::string JsonText(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    json += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return json + '"';
}

// "" or what was refused.
std::string ReplaceFile(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  std::FILE* const file = std::fopen(fresh.c_str(), "we");
  if (file == nullptr) return path + ": " + std::strerror(errno);
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (std::fclose(file) == 0 && written && std::rename(fresh.c_str(), path.c_str()) == 0) return {};
  const std::string refused = path + ": " + std::strerror(errno);
  (void)unlink(fresh.c_str());
  return refused;
}

// SIGUSR1 wakes a thread, which may do what a handler may not. Set once, before the handler is.
std::atomic<int> report_bell{-1};
std::atomic<pid_t> report_process{0};

void RingForReport(int) {
  const int errno_before = errno;
  // A forked child shares the bell, and has no such thread.
  if (getpid() == report_process.load(std::memory_order_relaxed)) {
    (void)eventfd_write(report_bell.load(std::memory_order_relaxed), 1);
  }
  errno = errno_before;
}

void* WriteReports(void*) {
  eventfd_t count = 0;
  while (eventfd_read(report_bell.load(std::memory_order_relaxed), &count) == 0 || errno == EINTR) {
    if (count != 0) Serving::Get().WriteReport();
    count = 0;
  }
  return nullptr;
}

// Only where the program has left the signal alone.
void ReportAtSignal() {
  struct sigaction action {};
  if (sigaction(SIGUSR1, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) return;
  report_bell = eventfd(0, EFD_CLOEXEC);
  report_process = getpid();
  sigset_t all, before;
  sigfillset(&all);
  pthread_t thread;
  // A thread starts with the mask of the one that makes it.
  if (report_bell < 0 || pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return;
  const bool started = pthread_create(&thread, nullptr, WriteReports, nullptr) == 0;
  (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!started) return;
  (void)pthread_detach(thread);
  action.sa_handler = RingForReport;
  action.sa_flags = SA_RESTART;
  (void)sigaction(SIGUSR1, &action, nullptr);
}

void FinishServing() { Serving::Get().Finish(); }

// When the library is loaded.
__attribute__((constructor)) void StartServing() { (void)Serving::Get(); }

}  // namespace

Serving& Serving::Get() {
  static auto* const serving = new Serving;
  return *serving;
}

Serving::Serving()
    : process_(getpid()),
      options_(Variable("HUGEPOOL_OPTIONS")),
      report_file_(Variable("HUGEPOOL_REPORT_FILE")),
      strict_(Variable("HUGEPOOL_STRICT") == "1") {
  std::atexit(FinishServing);
}

void* Serving::FindReal(const char* symbol) {
  void* real = dlsym(RTLD_NEXT, symbol);
  // A RocksDB that was loaded for somebody alone comes in no search.
  if (real == nullptr) {
    if (void* const rocksdb = dlopen(LoadedRocksdb().c_str(), RTLD_LAZY | RTLD_NOLOAD)) real = dlsym(rocksdb, symbol);
  }
  if (real == nullptr) {
    std::fprintf(stderr, "hugepool: RocksDB's own %s is not to be found\n", symbol);
    std::abort();
  }
  return real;
}

bool Serving::LoadAdapter() {
  if (adapter_.create != nullptr) return true;
  using Version = std::string (*)(bool);
  const std::string version = RealCall<Version>("_ZN7rocksdb23GetRocksVersionAsStringB5cxx11Eb")(true);
  if (version != kBuiltFor) {
    Complain("built for RocksDB " + std::string(kBuiltFor) + ", and this program has " + version +
             ": build hugepool against its headers");
    return false;
  }
  // Beside this library, else wherever libraries are searched for.
  Dl_info own{};
  std::string folder;
  if (dladdr(reinterpret_cast<void*>(&FinishServing), &own) != 0) folder = own.dli_fname;
  folder.resize(folder.find_last_of('/') + 1);
  void* library = dlopen((folder + HUGEPOOL_ADAPTER_FILE).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) library = dlopen(HUGEPOOL_ADAPTER_FILE, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    Complain(dlerror());
    return false;
  }
  const auto find = [&](auto* function, const char* name) {
    *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(dlsym(library, name));
  };
  find(&adapter_.count, "hugepool_rocksdb_memory_allocator_allocation_count");
  find(&adapter_.stats, "hugepool_rocksdb_memory_allocator_stats");
  find(&adapter_.create, "hugepool_rocksdb_memory_allocator_create_for_cache");
  if (adapter_.create == nullptr || adapter_.count == nullptr || adapter_.stats == nullptr) {
    Complain(std::string(HUGEPOOL_ADAPTER_FILE) + " is of another version");
    adapter_ = {};
    return false;
  }
  // Before the destructors of what has just been loaded.
  std::atexit(FinishServing);
  if (!report_file_.empty()) ReportAtSignal();
  return true;
}

void Serving::Complain(const std::string& problem) {
  if (!problem_.empty()) return;
  problem_ = problem;
  std::fprintf(stderr, "hugepool: %s; this block cache stays on malloc\n", problem.c_str());
}

std::shared_ptr<::rocksdb::MemoryAllocator> Serving::AllocatorFor(size_t cache_bytes) {
  const std::lock_guard lock(mutex_);
  ++cache_count_;
  if (!LoadAdapter()) return nullptr;
  const bool shared = NamesCapacity(options_);
  for (const Served& one : served_) {
    if (shared || (one.cache_bytes == cache_bytes && one.allocator->rep.use_count() == 1)) return one.allocator->rep;
  }
  if (!shared && cache_bytes == 0) {
    Complain("an allocator is asked for and no cache says how large: name a capacity in HUGEPOOL_OPTIONS");
    return nullptr;
  }
  char* error = nullptr;
  rocksdb_memory_allocator_t* const allocator = adapter_.create(cache_bytes, options_.c_str(), &error);
  if (allocator == nullptr) {
    Complain("HUGEPOOL_OPTIONS='" + options_ + "': " + error);
    std::free(error);
    return nullptr;
  }
  served_.push_back({allocator, cache_bytes});
  return allocator->rep;
}

uint64_t Serving::AllocationCount() const {
  uint64_t count = 0;
  for (const Served& one : served_) count += adapter_.count(one.allocator);
  return count;
}

std::string Serving::Report() {
  std::string pools;
  for (const Served& one : served_) {
    char* error = nullptr;
    char* const stats = adapter_.stats(one.allocator, "json", &error);
    if (stats != nullptr) pools += (pools.empty() ? "" : ", ") + std::string(stats);
    std::free(stats);
    std::free(error);
  }
  return "{\"process\": " + std::to_string(process_) + ", \"program\": " + JsonText(OwnProgram()) +
         ", \"cache_count\": " + std::to_string(cache_count_) +
         ", \"allocation_count\": " + std::to_string(AllocationCount()) + ", \"problem\": " + JsonText(problem_) +
         ", \"pools\": [" + pools + "]}\n";
}

void Serving::WriteReport() {
  if (report_file_.empty()) return;
  const std::lock_guard lock(mutex_);
  const std::string refused = ReplaceFile(report_file_, Report());
  if (!refused.empty()) std::fprintf(stderr, "hugepool: HUGEPOOL_REPORT_FILE: %s\n", refused.c_str());
}

std::string Serving::WhyNothing() const {
  const std::string program = OwnProgram();
  if (!problem_.empty()) return problem_;
  if (cache_count_ != 0) return "block caches were made, and nothing was read into them";
  if (!LoadedRocksdb().empty()) return program + " made no block cache, or each with an allocator of its own";
  if (HoldsRocksdb(program)) {
    return program +
           " has RocksDB linked in statically, where no preloaded library reaches it: build the adapter into it";
  }
  return program + " does not use RocksDB: preload for the database itself, not for a script around it";
}

void Serving::Finish() {
  if (getpid() != process_ || finished_.exchange(true)) return;
  WriteReport();
  std::string why;
  {
    const std::lock_guard lock(mutex_);
    if (AllocationCount() != 0) return;
    why = WhyNothing();
  }
  std::fprintf(stderr, "hugepool: no block came from a pool: %s\n", why.c_str());
  if (!strict_) return;
  std::fflush(nullptr);
  _exit(kNothingServed);
}

}  // namespace hugepool::preload
