plugin/hugepool/rocksdb_adapter/trace_writer.cc.d \
 plugin/hugepool/rocksdb_adapter/trace_writer.o \
 plugin/hugepool/rocksdb_adapter/trace_writer.o: \
 plugin/hugepool/rocksdb_adapter/trace_writer.cc \
 plugin/hugepool/rocksdb_adapter/trace_writer.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/error.h \
 /tmp/p/rs/rocksdb_source/installed/prefix/lib/pkgconfig/../../include/hugepool/export.h \
 plugin/hugepool/rocksdb_adapter/include/hugepool/allocation_trace.h
