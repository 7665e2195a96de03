plugin/hugepool/rocksdb_adapter/pool_allocator.cc.d \
 plugin/hugepool/rocksdb_adapter/pool_allocator.o \
 plugin/hugepool/rocksdb_adapter/pool_allocator.o: \
 plugin/hugepool/rocksdb_adapter/pool_allocator.cc \
 plugin/hugepool/rocksdb_adapter/pool_allocator.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/pool_watch.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/error.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/export.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/pool.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/internal/percpu.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/pool_options.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/types.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/pool_stats.h \
 plugin/hugepool/rocksdb_adapter/include/hugepool/rocksdb.h \
 include/rocksdb/cache.h include/rocksdb/compression_type.h \
 include/rocksdb/rocksdb_namespace.h include/rocksdb/memory_allocator.h \
 include/rocksdb/customizable.h include/rocksdb/configurable.h \
 include/rocksdb/status.h include/rocksdb/slice.h \
 include/rocksdb/cleanable.h include/rocksdb/statistics.h \
 plugin/hugepool/rocksdb_adapter/trace_writer.h include/rocksdb/env.h \
 include/rocksdb/functor_wrapper.h include/rocksdb/thread_status.h \
 include/rocksdb/utilities/object_registry.h \
 plugin/hugepool/rocksdb_adapter/allocator_options.h \
 include/rocksdb/utilities/options_type.h include/rocksdb/convenience.h \
 include/rocksdb/db.h include/rocksdb/block_cache_trace_writer.h \
 include/rocksdb/options.h include/rocksdb/advanced_options.h \
 include/rocksdb/memtablerep.h include/rocksdb/universal_compaction.h \
 include/rocksdb/comparator.h include/rocksdb/data_structure.h \
 include/rocksdb/file_checksum.h include/rocksdb/listener.h \
 include/rocksdb/compaction_job_stats.h include/rocksdb/io_status.h \
 include/rocksdb/table_properties.h include/rocksdb/types.h \
 include/rocksdb/sst_partitioner.h include/rocksdb/version.h \
 include/rocksdb/write_buffer_manager.h include/rocksdb/system_clock.h \
 include/rocksdb/table_reader_caller.h \
 include/rocksdb/trace_reader_writer.h include/rocksdb/trace_record.h \
 include/rocksdb/iterator.h include/rocksdb/wide_columns.h \
 include/rocksdb/metadata.h include/rocksdb/snapshot.h \
 include/rocksdb/sst_file_writer.h include/rocksdb/transaction_log.h \
 include/rocksdb/write_batch.h include/rocksdb/write_batch_base.h \
 include/rocksdb/table.h
