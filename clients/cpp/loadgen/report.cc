#include "loadgen/report.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace ess::load {
namespace {

void WriteCodes(std::ostream& out, const std::map<std::string, std::uint64_t>& codes) {
  out << "{";
  const char* separator = "";
  for (const auto& [code, count] : codes) {
    out << separator << '"' << code << "\":" << count;
    separator = ",";
  }
  out << "}";
}

void WriteQuantiles(std::ostream& out, const Histogram& histogram) {
  out << "{\"count\":" << histogram.count() << ",\"mean\":" << histogram.mean_ns() / 1e3;
  for (const double percent : {50.0, 90.0, 99.0, 99.9}) {
    out << ",\"p" << percent << "\":" << histogram.Quantile(percent / 100.0) / 1e3;
  }
  out << ",\"max\":" << static_cast<double>(histogram.max_ns()) / 1e3 << "}";
}

}  // namespace

void Block::Add(const Block& other) {
  ok.Add(other.ok);
  refused.Add(other.refused);
  for (const auto& [code, count] : other.codes) codes[code] += count;
  sent += other.sent;
  not_sent += other.not_sent;
  in_time += other.in_time;
  latest_send_ns = std::max(latest_send_ns, other.latest_send_ns);
}

std::string Report(const Options& options, const std::vector<Block>& blocks) {
  std::ostringstream out;
  out << std::setprecision(9) << "{\"generator\":\"ess-loadgen\",\"arrivals\":\""
      << (options.poisson ? "poisson" : "fixed") << "\",\"channels\":" << options.channels
      << ",\"deadline_ms\":" << options.deadline.count() << ",\"block_s\":" << options.block_s << ",\"blocks\":[";
  const char* separator = "";
  for (const Block& block : blocks) {
    const Part& part = options.parts[block.part];
    out << separator << "{\"part\":\"" << part.name << "\",\"sent\":" << block.sent
        << ",\"not_sent\":" << block.not_sent << ",\"in_time\":" << block.in_time
        << ",\"elapsed_s\":" << block.elapsed_s
        << ",\"ok_per_s\":" << static_cast<double>(block.in_time) / block.elapsed_s
        << ",\"latest_send_us\":" << static_cast<double>(block.latest_send_ns) / 1e3 << ",\"codes\":";
    WriteCodes(out, block.codes);
    out << ",\"latency_us\":";
    WriteQuantiles(out, block.ok);
    out << ",\"refused_us\":";
    WriteQuantiles(out, block.refused);
    out << ",\"histogram_ns\":" << block.ok.Json() << "}";
    separator = ",";
  }
  out << "]}";
  return out.str();
}

}  // namespace ess::load
