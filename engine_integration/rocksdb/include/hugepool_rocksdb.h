/* hugepool_rocksdb.h: RocksDB's block cache on a pool, for RocksDB's C API.
 *
 *   char* error = NULL;
 *   rocksdb_memory_allocator_t* allocator = hugepool_rocksdb_memory_allocator_create("capacity=9G", &error);
 *   if (allocator == NULL) { puts(error); rocksdb_free(error); return; }
 *   rocksdb_lru_cache_options_set_memory_allocator(lru, allocator);
 *
 * Units      bytes; sizes in options take K, M, G, T (powers of 1,024)
 * Owner      the caller; rocksdb_memory_allocator_destroy gives it up. Caches made with it keep it alive.
 * Threads    every call from any thread
 * Errors     *errptr as everywhere in RocksDB's C API: NULL, or a text of malloc's that the next error replaces
 */
#ifndef HUGEPOOL_ROCKSDB_C_H_
#define HUGEPOOL_ROCKSDB_C_H_

#include <rocksdb/c.h>
#include <stddef.h>
#include <stdint.h>

#include "hugepool/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* options: "capacity=9G; huge_pages=preferred; block_bytes=4160:16448", as for MemoryAllocator::CreateFromString without
 * the id; see hugepool/pool_options.h and hugepool/rocksdb.h. NULL, with *errptr set, when they are refused. */
HUGEPOOL_EXPORT rocksdb_memory_allocator_t* hugepool_rocksdb_memory_allocator_create(const char* options,
                                                                                     char** errptr);

/* The same for a cache of so many bytes: where the options name no capacity, it follows from those. */
HUGEPOOL_EXPORT rocksdb_memory_allocator_t* hugepool_rocksdb_memory_allocator_create_for_cache(size_t cache_bytes,
                                                                                               const char* options,
                                                                                               char** errptr);

/* Blocks that RocksDB asked for since the allocator was made; 0 for an allocator that is none of hugepool's. */
HUGEPOOL_EXPORT uint64_t
hugepool_rocksdb_memory_allocator_allocation_count(const rocksdb_memory_allocator_t* allocator);

/* The pool's statistics now; format: "text", "json" or "prometheus". rocksdb_free gives the text up. NULL, with *errptr set,
 * for another format and for an allocator that is none of hugepool's. */
HUGEPOOL_EXPORT char* hugepool_rocksdb_memory_allocator_stats(const rocksdb_memory_allocator_t* allocator,
                                                              const char* format, char** errptr);

#ifdef __cplusplus
}
#endif

#endif /* HUGEPOOL_ROCKSDB_C_H_ */
