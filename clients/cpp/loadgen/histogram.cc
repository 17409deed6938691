#include "loadgen/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <sstream>

namespace ess::load {
namespace {

constexpr int kStepBits = 7;
constexpr std::int64_t kSteps = 1 << kStepBits;
constexpr std::int64_t kMost = (std::int64_t{1} << 40) - 1;

}  // namespace

std::size_t Histogram::IndexOf(std::int64_t value_ns) {
  if (value_ns < kSteps) return static_cast<std::size_t>(value_ns);
  const int octave = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(value_ns))) - 1 - kStepBits;
  return static_cast<std::size_t>((octave + 1) * kSteps + (value_ns >> octave) - kSteps);
}

double Histogram::MiddleOf(std::size_t index) {
  const auto number = static_cast<std::int64_t>(index);
  if (number < kSteps) return static_cast<double>(number);
  const auto octave = static_cast<int>(number / kSteps) - 1;
  const std::int64_t lower = (number % kSteps + kSteps) << octave;
  return static_cast<double>(lower) + 0.5 * static_cast<double>((std::int64_t{1} << octave) - 1);
}

void Histogram::Record(std::int64_t value_ns) {
  const std::int64_t value = std::clamp<std::int64_t>(value_ns, 0, kMost);
  const std::size_t index = IndexOf(value);
  if (index >= counts_.size()) counts_.resize(index + 1, 0);
  ++counts_[index];
  ++count_;
  max_ns_ = std::max(max_ns_, value);
  sum_ns_ += static_cast<double>(value);
}

void Histogram::Add(const Histogram& other) {
  if (other.counts_.size() > counts_.size()) counts_.resize(other.counts_.size(), 0);
  for (std::size_t index = 0; index < other.counts_.size(); ++index) counts_[index] += other.counts_[index];
  count_ += other.count_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
  sum_ns_ += other.sum_ns_;
}

double Histogram::Quantile(double share) const {
  const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
  std::uint64_t below = 0;
  for (std::size_t index = 0; index < counts_.size(); ++index) {
    below += counts_[index];
    if (counts_[index] > 0 && below >= wanted) return MiddleOf(index);
  }
  return 0.0;
}

std::string Histogram::Json() const {
  std::ostringstream text;
  text << "[";
  const char* separator = "";
  for (std::size_t index = 0; index < counts_.size(); ++index) {
    if (counts_[index] == 0) continue;
    text << separator << "[" << std::llround(MiddleOf(index)) << "," << counts_[index] << "]";
    separator = ",";
  }
  text << "]";
  return text.str();
}

}  // namespace ess::load
