// Latencies by value: 128 steps to an octave, so that a value is off by less than 0.8 % of itself, whatever its size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ess::load {

// As HdrHistogram counts: below 128 ns exact, then every power of two in 128 linear steps, up to 2^40 ns (18 min).
class Histogram {
 public:
  void Record(std::int64_t value_ns);
  void Add(const Histogram& other);

  std::uint64_t count() const { return count_; }
  std::int64_t max_ns() const { return max_ns_; }
  double mean_ns() const { return count_ == 0 ? 0.0 : sum_ns_ / static_cast<double>(count_); }

  // Middle of the step that holds the quantile; 0 without values.
  double Quantile(double share) const;

  // [[value_ns, count], ...] of the steps that have any; the value is the step's middle.
  std::string Json() const;

 private:
  static std::size_t IndexOf(std::int64_t value_ns);
  static double MiddleOf(std::size_t index);

  std::vector<std::uint32_t> counts_;
  std::uint64_t count_ = 0;
  std::int64_t max_ns_ = 0;
  double sum_ns_ = 0.0;
};

}  // namespace ess::load
