// The library: a few channels to the service, its calls, and streams that outlive their connections.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "execution_strategy/v1/service.grpc.pb.h"
#include "gateway/channels.h"
#include "gateway/order_stream.h"

namespace ess {

template <typename Message>
struct Outcome {
  grpc::Status status;
  Message answer;  // empty unless status.ok()

  bool ok() const { return status.ok(); }
};

// Thread-safe. Calls go over the channels in turn.
class Gateway {
 public:
  using Request = execution_strategy::v1::ExecutionStrategyRequest;
  using Response = execution_strategy::v1::ExecutionStrategyResponse;
  using StatusAnswer = execution_strategy::v1::StrategyExecutionStatus;

  explicit Gateway(GatewayOptions options);

  // Connects every channel ahead of the first call, whose deadline would pay for it otherwise. False where one could
  // not connect within the limit; calls may be made all the same.
  bool Connect(std::chrono::milliseconds limit);

  Outcome<Response> Recommend(const Request& order);
  Outcome<StatusAnswer> Status(const std::string& order_id);

  // Any unary call of the service by its name, bytes to bytes.
  Outcome<std::string> Call(const std::string& method, const std::string& request);

  // The gateway must outlive it.
  std::unique_ptr<OrderStream> Adapt(OrderStream::Listener listener);

  const GatewayOptions& options() const { return options_; }

 private:
  struct Line {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<execution_strategy::v1::ExecutionStrategyService::Stub> stub;
  };

  Line& next();
  void SetDeadline(grpc::ClientContext* context) const;

  const GatewayOptions options_;
  std::vector<Line> lines_;
  std::atomic<unsigned> turn_{0};
};

}  // namespace ess
