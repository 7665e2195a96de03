/* HUGEPOOL_EXPORT marks what the shared library shows; everything else is built hidden. C and C++. */
#ifndef HUGEPOOL_EXPORT_H_
#define HUGEPOOL_EXPORT_H_

#define HUGEPOOL_EXPORT __attribute__((visibility("default")))

#endif /* HUGEPOOL_EXPORT_H_ */
