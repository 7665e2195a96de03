/* CUser: what a program in C does with the allocator, through RocksDB's C API and nothing else.
 *
 * Errors     0, or the line at which something else was found than what was promised
 */
#ifndef HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_C_USER_H_
#define HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_C_USER_H_

#ifdef __cplusplus
extern "C" {
#endif

/* A database in a new directory, written and read back through a cache on a pool; the pool's statistics show its blocks. */
int UseAllocatorFromC(const char* directory);
/* Bad options, a bad format and another library's allocator are refused with a text, which replaces the one before. */
int SeeRefusalsFromC(void);

#ifdef __cplusplus
}
#endif

#endif /* HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_C_USER_H_ */
