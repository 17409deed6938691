// What to load, how, and for how long.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace ess::load {

enum class Kind { kEcho, kRecommend, kBuffered, kJournaled, kCommitted, kEchoStream, kAdapt };

// One part of a round: `rate` calls a second from outside (open loop), or `in_flight` calls kept under way (closed).
struct Part {
  std::string name;  // as it was given: the key of the result
  Kind kind = Kind::kEcho;
  double rate_per_s = 0.0;
  int in_flight = 0;

  bool open() const { return in_flight == 0; }
  bool streams() const { return kind == Kind::kEchoStream || kind == Kind::kAdapt; }
};

struct Options {
  std::string target = "127.0.0.1:50051";
  std::string templates;  // file of length-delimited ExecutionStrategyRequests without order_id
  std::string prefix = "load";
  std::vector<Part> parts;
  int rounds = 1;
  double block_s = 1.0;
  int channels = 2;
  int streams = 1;
  int adapt_orders = 32;
  bool open_all = false;
  int warm_calls = 200;
  bool poisson = true;
  std::uint64_t seed = 1;
  int most_in_flight = 5000;
  std::chrono::milliseconds deadline{1000};
};

extern const char* const kUsage;

// Throws std::invalid_argument with what is wrong.
Options ReadOptions(int argc, char** argv);

}  // namespace ess::load
