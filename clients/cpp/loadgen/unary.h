// Echo and Recommend over a few channels: one thread sends, one takes what comes back.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "loadgen/options.h"
#include "loadgen/report.h"
#include "loadgen/requests.h"

namespace ess::load {

// Nanoseconds of the monotonic clock.
std::int64_t NowNs();
void SleepUntil(std::int64_t moment_ns);

// The gaps between calls of an open loop.
class Arrivals {
 public:
  Arrivals(double rate_per_s, bool poisson, std::mt19937_64* random);
  std::int64_t NextGapNs();

 private:
  const double gap_ns_;
  const bool poisson_;
  std::mt19937_64* random_;
  std::exponential_distribution<double> exponential_{1.0};
};

class UnaryLoad {
 public:
  UnaryLoad(const Options& options, Requests* requests, const std::vector<std::shared_ptr<grpc::Channel>>& channels);
  ~UnaryLoad();

  // Calls one after the other, so that both ends are warm and sizes of answers known.
  void Warm();
  // Ends when every call of the block has ended.
  Block Run(std::size_t part, std::mt19937_64* random);

 private:
  struct Call;

  void Send(Kind kind, std::int64_t intended_ns, std::chrono::milliseconds deadline);
  void SendOne(Kind kind, std::chrono::milliseconds deadline);
  // A service that was overloaded still works on calls whose clients have gone: the next block waits until it answers.
  void Settle();
  void Take();
  void Count(const Call& call, std::int64_t ended_ns);
  void SendAll(const Part& part, std::int64_t end_ns, std::mt19937_64* random);
  void WaitForAll();

  const Options& options_;
  Requests* requests_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  grpc::CompletionQueue queue_;
  std::atomic<std::uint64_t> turn_{0};

  std::mutex mutex_;
  std::condition_variable all_ended_;
  Block block_;
  std::int64_t in_flight_ = 0;
  // While the clock is before it, a call that ends is followed by another (closed loop); 0 in an open one.
  std::int64_t refill_until_ns_ = 0;
  std::int64_t block_end_ns_ = 0;
  std::thread taker_;
};

}  // namespace ess::load
