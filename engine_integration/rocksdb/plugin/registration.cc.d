plugin/hugepool/registration.cc.d plugin/hugepool/registration.o \
 plugin/hugepool/registration.o: plugin/hugepool/registration.cc \
 plugin/hugepool/rocksdb_adapter/include/hugepool/rocksdb.h \
 include/rocksdb/cache.h include/rocksdb/compression_type.h \
 include/rocksdb/rocksdb_namespace.h include/rocksdb/memory_allocator.h \
 include/rocksdb/customizable.h include/rocksdb/configurable.h \
 include/rocksdb/status.h include/rocksdb/slice.h \
 include/rocksdb/cleanable.h include/rocksdb/statistics.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/error.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/export.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/pool.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/internal/percpu.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/pool_options.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/types.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/pool_stats.h
