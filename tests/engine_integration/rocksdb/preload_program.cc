// A program that uses RocksDB and knows nothing of hugepool; preload_test.cc runs it with the library preloaded.
//
// Usage      preload_program DIRECTORY MODE; modes: read, two_caches, fork, wait (until a signal ends it) and wait_with_handler
//            (until SIGUSR1, which it handles itself)
// Errors     exit code 1 and a line on standard error
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace {

constexpr int kRecordCount = 20000;
volatile sig_atomic_t was_signalled = 0;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "preload_program: %s\n", what.c_str());
  std::exit(1);
}

std::string KeyOf(int record) { return "key" + std::to_string(record); }
std::string ValueOf(int record) { return std::string(400, static_cast<char>('a' + record % 26)); }

std::unique_ptr<rocksdb::DB> Open(const std::string& directory, size_t cache_bytes) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(cache_bytes);
  rocksdb::Options options;
  options.create_if_missing = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options, directory, &db);
  if (!status.ok()) Fail(status.ToString());
  return std::unique_ptr<rocksdb::DB>(db);
}

void Use(rocksdb::DB& db) {
  for (int record = 0; record < kRecordCount; ++record) {
    if (!db.Put(rocksdb::WriteOptions(), KeyOf(record), ValueOf(record)).ok()) Fail("Put");
  }
  if (!db.Flush(rocksdb::FlushOptions()).ok()) Fail("Flush");
  std::string value;
  for (int record = 0; record < kRecordCount; ++record) {
    if (!db.Get(rocksdb::ReadOptions(), KeyOf(record), &value).ok() || value != ValueOf(record)) Fail(KeyOf(record));
  }
  std::puts("values are right");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::string directory = argv[1], mode = argv[2];
  if (mode == "wait_with_handler") signal(SIGUSR1, [](int) { was_signalled = 1; });
  if (mode == "fork") {
    // Before RocksDB has threads: its destructors would wait for them in the child.
    const pid_t child = fork();
    if (child == 0) std::exit(0);
    int status = -1;
    waitpid(child, &status, 0);
    std::printf("child ended with %d\n", status);
  }
  const auto db = Open(directory, size_t{4} << 20);
  Use(*db);
  if (mode == "two_caches") Use(*Open(directory + "_other", size_t{2} << 20));
  if (mode.starts_with("wait")) {
    std::puts("reading");
    while (was_signalled == 0) usleep(1000);
    std::puts("own handler");
  }
  return 0;
}
