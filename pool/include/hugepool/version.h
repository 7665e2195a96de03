// Version of hugepool. CMake reads the three numbers from here; nothing else states them.
#ifndef HUGEPOOL_VERSION_H_
#define HUGEPOOL_VERSION_H_

#define HUGEPOOL_VERSION_MAJOR 0
#define HUGEPOOL_VERSION_MINOR 1
#define HUGEPOOL_VERSION_PATCH 0
#define HUGEPOOL_VERSION_STRING "0.1.0"

#endif  // HUGEPOOL_VERSION_H_
