# hugepool.mk: hugepool's block-cache allocator as a plugin of RocksDB's own build, by make. By CMake: CMakeLists.txt, beside this.
#
# Set up     libhugepool is installed, and pkg-config finds it; cp -r PREFIX/share/hugepool/rocksdb_plugin ROCKSDB/plugin/hugepool
# Build      make ROCKSDB_PLUGINS=hugepool ...
# Result     the adapter is a part of librocksdb, and CreateFromString("id=HugepoolAllocator; ...") knows it without a call
#
# The sources are assigned by := because RocksDB's CMake files look here for the other form, and would take the sources a second time.
# rocksdb_adapter, laid beside this by the installation, is the folder of the adapter's sources, by whose name they include each other.
hugepool_SOURCES := registration.cc rocksdb_adapter/allocator_options.cc rocksdb_adapter/c_api.cc rocksdb_adapter/caches.cc rocksdb_adapter/pool_allocator.cc rocksdb_adapter/trace_writer.cc
hugepool_HEADERS := rocksdb_adapter/include/hugepool/rocksdb.h rocksdb_adapter/include/hugepool/allocation_trace.h rocksdb_adapter/include/hugepool_rocksdb.h
hugepool_FUNC = hugepool_register
hugepool_PKGCONFIG_REQUIRES := hugepool
hugepool_CXXFLAGS := -Iplugin/hugepool -Iplugin/hugepool/rocksdb_adapter/include

# RocksDB is C++17 up to 10, hugepool's headers are C++20.
$(OBJ_DIR)/plugin/hugepool/%.o: CXXFLAGS += -std=c++20
$(OBJ_DIR)/plugin/hugepool/%.cc.d: CXXFLAGS += -std=c++20
