// PlainUser: what a program built with -fno-exceptions and -fno-rtti does with the adapter.
#ifndef HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_PLAIN_USER_H_
#define HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_PLAIN_USER_H_

namespace hugepool::testing {

// Makes a cache on a pool, puts a block into it and takes it out again. True when the pool served.
bool PlainUserIsServed();

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_PLAIN_USER_H_
