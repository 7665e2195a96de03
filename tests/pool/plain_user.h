// PlainUser: what a program built with -fno-exceptions and -fno-rtti does with the typed faces.
#ifndef HUGEPOOL_TESTS_POOL_PLAIN_USER_H_
#define HUGEPOOL_TESTS_POOL_PLAIN_USER_H_

#include <memory>
#include <string>

#include "hugepool/pool.h"

namespace hugepool::testing {

// Makes and deletes objects of `pool`; "" when all went well, else what did not.
std::string PlainUserComplaint(const std::shared_ptr<Pool>& pool);

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_PLAIN_USER_H_
