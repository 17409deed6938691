// What the blocks measured, as JSON.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "loadgen/histogram.h"
#include "loadgen/options.h"

namespace ess::load {

// One block of one part.
struct Block {
  std::size_t part = 0;
  Histogram ok;       // latencies of calls that ended well
  Histogram refused;  // of the others
  std::map<std::string, std::uint64_t> codes;
  std::uint64_t sent = 0;
  std::uint64_t not_sent = 0;
  std::uint64_t in_time = 0;  // ended well before the block's end
  double elapsed_s = 0.0;     // from the first intended moment to the block's end
  std::int64_t latest_send_ns = 0;  // how far behind its moment the generator sent at worst

  // Another stream's share of the same block.
  void Add(const Block& other);
};

std::string Report(const Options& options, const std::vector<Block>& blocks);

}  // namespace ess::load
