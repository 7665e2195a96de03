#include "engine_integration/rocksdb/c_user.h"

#include <hugepool_rocksdb.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <string.h>

#define EXPECT(condition)              \
  do {                                 \
    if (!(condition)) return __LINE__; \
  } while (0)

enum { kRecordCount = 20000, kValueBytes = 400 };

static void MakeRecord(int number, char key[16], char value[kValueBytes]) {
  snprintf(key, 16, "key%08d", number);
  for (int i = 0; i < kValueBytes; ++i) value[i] = (char)(number * 31 + i);
}

static int ReadAll(rocksdb_t* db, char** error) {
  rocksdb_readoptions_t* const options = rocksdb_readoptions_create();
  for (int number = 0; number < kRecordCount; ++number) {
    char key[16], value[kValueBytes];
    size_t bytes = 0;
    MakeRecord(number, key, value);
    char* const found = rocksdb_get(db, options, key, strlen(key), &bytes, error);
    EXPECT(*error == NULL && found != NULL && bytes == kValueBytes && memcmp(found, value, bytes) == 0);
    rocksdb_free(found);
  }
  rocksdb_readoptions_destroy(options);
  return 0;
}

int UseAllocatorFromC(const char* directory) {
  char* error = NULL;
  rocksdb_memory_allocator_t* const allocator =
      hugepool_rocksdb_memory_allocator_create("capacity=32M; huge_pages=off; name=from_c; block_bytes=4160", &error);
  EXPECT(allocator != NULL && error == NULL);
  rocksdb_lru_cache_options_t* const lru = rocksdb_lru_cache_options_create();
  rocksdb_lru_cache_options_set_capacity(lru, (size_t)4 << 20);
  rocksdb_lru_cache_options_set_memory_allocator(lru, allocator);
  rocksdb_cache_t* const cache = rocksdb_cache_create_lru_opts(lru);
  rocksdb_lru_cache_options_destroy(lru);
  rocksdb_block_based_table_options_t* const table = rocksdb_block_based_options_create();
  rocksdb_block_based_options_set_block_cache(table, cache);
  rocksdb_options_t* const options = rocksdb_options_create();
  rocksdb_options_set_create_if_missing(options, 1);
  rocksdb_options_set_block_based_table_factory(options, table);

  rocksdb_t* const db = rocksdb_open(options, directory, &error);
  EXPECT(db != NULL && error == NULL);
  rocksdb_writeoptions_t* const write = rocksdb_writeoptions_create();
  for (int number = 0; number < kRecordCount; ++number) {
    char key[16], value[kValueBytes];
    MakeRecord(number, key, value);
    rocksdb_put(db, write, key, strlen(key), value, kValueBytes, &error);
    EXPECT(error == NULL);
  }
  rocksdb_writeoptions_destroy(write);
  rocksdb_flushoptions_t* const flush = rocksdb_flushoptions_create();
  rocksdb_flush(db, flush, &error);
  rocksdb_flushoptions_destroy(flush);
  EXPECT(error == NULL);
  const int problem = ReadAll(db, &error);
  if (problem != 0) return problem;

  /* The cache has evicted most of what was read, and holds the rest on the pool. */
  EXPECT(rocksdb_cache_get_usage(cache) > (size_t)2 << 20);
  char* stats = hugepool_rocksdb_memory_allocator_stats(allocator, "json", &error);
  EXPECT(stats != NULL && error == NULL);
  EXPECT(strstr(stats, "\"name\":\"from_c\"") != NULL);
  EXPECT(strstr(stats, "\"allocated_bytes\":0,") == NULL);
  rocksdb_free(stats);
  stats = hugepool_rocksdb_memory_allocator_stats(allocator, "prometheus", &error);
  EXPECT(stats != NULL && strstr(stats, "hugepool_allocated_bytes{pool=\"from_c\"}") != NULL);
  rocksdb_free(stats);
  stats = hugepool_rocksdb_memory_allocator_stats(allocator, "text", &error);
  EXPECT(stats != NULL && strstr(stats, "from_c") != NULL);
  rocksdb_free(stats);

  /* The cache keeps the allocator alive. */
  rocksdb_memory_allocator_destroy(allocator);
  const int later_problem = ReadAll(db, &error);
  if (later_problem != 0) return later_problem;
  rocksdb_close(db);
  rocksdb_options_destroy(options);
  rocksdb_block_based_options_destroy(table);
  rocksdb_cache_destroy(cache);
  return 0;
}

int SeeRefusalsFromC(void) {
  char* error = NULL;
  EXPECT(hugepool_rocksdb_memory_allocator_create("capacity=lots", &error) == NULL);
  EXPECT(error != NULL && strstr(error, "'lots'") != NULL && strstr(error, "K, M, G, T") != NULL);
  EXPECT(hugepool_rocksdb_memory_allocator_create("capcity=1G", &error) == NULL);
  EXPECT(strstr(error, "capcity") != NULL && strstr(error, "capacity, huge_pages") != NULL);
  EXPECT(hugepool_rocksdb_memory_allocator_create("9G", &error) == NULL);
  EXPECT(strstr(error, "'9G' has no '='") != NULL);
  EXPECT(hugepool_rocksdb_memory_allocator_create("", &error) == NULL);
  EXPECT(strstr(error, "capacity_bytes = 0") != NULL);

  rocksdb_memory_allocator_t* const allocator =
      hugepool_rocksdb_memory_allocator_create("capacity=8M; huge_pages=off", &error);
  EXPECT(allocator != NULL);
  EXPECT(hugepool_rocksdb_memory_allocator_stats(allocator, "xml", &error) == NULL);
  EXPECT(strstr(error, "'xml'") != NULL && strstr(error, "text, json, prometheus") != NULL);
  rocksdb_memory_allocator_destroy(allocator);
  rocksdb_free(error);
  return 0;
}
