// Messages on bidirectional streams: Adapt, and EchoStream of the same sizes beside it.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "loadgen/options.h"
#include "loadgen/report.h"
#include "loadgen/requests.h"

namespace ess::load {

class MessageStream;

// Orders that were recommended, and how many updates each has had.
struct FollowedOrder {
  std::string id;
  double mid_price = 1.0;
  std::uint64_t sequence = 0;
};

class StreamLoad {
 public:
  // Recommends the orders that adapt needs. Throws std::runtime_error where that fails.
  StreamLoad(const Options& options, Requests* requests, const std::vector<std::shared_ptr<grpc::Channel>>& channels);
  ~StreamLoad();

  Block Run(std::size_t part, std::mt19937_64* random);

 private:
  void RecommendOrders(const std::shared_ptr<grpc::Channel>& channel, Requests* requests);
  // Every order gets its first update, and counts as open from then on.
  void OpenAll();
  std::string NextUpdate(std::string* order_id, std::uint64_t* sequence);
  std::string NextEcho();

  const Options& options_;
  std::vector<FollowedOrder> orders_;
  std::size_t turn_ = 0;
  std::size_t update_bytes_ = 64;
  std::vector<std::unique_ptr<MessageStream>> echo_;
  std::vector<std::unique_ptr<MessageStream>> adapt_;
};

}  // namespace ess::load
