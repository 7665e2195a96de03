// Quantities in the words of a report: sizes, lists of ids, counts of pages.
#ifndef HUGEPOOL_TOOLS_QUANTITY_H_
#define HUGEPOOL_TOOLS_QUANTITY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hugepool::tools {

// "2 MiB", "23.5 GiB", "100 B": the largest unit of which there is at least one, with one decimal where it is not
// whole.
std::string SizeText(uint64_t bytes);

// "0-3,8", as the kernel writes it; "none" for an empty list. The ids ascend.
std::string IdListText(const std::vector<int>& ids);

// "1 page", "2048 pages".
std::string CountText(uint64_t count, std::string_view noun);

}  // namespace hugepool::tools

#endif  // HUGEPOOL_TOOLS_QUANTITY_H_
