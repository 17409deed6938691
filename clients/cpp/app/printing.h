// Answers for people, or a JSON object a line.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "execution_strategy/v1/service.grpc.pb.h"

namespace ess {

class Printer {
 public:
  explicit Printer(bool json) : json_(json) {}

  void Decision(const execution_strategy::v1::ExecutionStrategyResponse& answer) const;
  void Standing(const execution_strategy::v1::StrategyExecutionStatus& answer) const;
  void Adaptation(const execution_strategy::v1::StrategyAdaptation& answer) const;
  void Refused(const std::string& order_id, const grpc::Status& status) const;
  // What happened to the stream itself.
  void Event(const std::string& name, const std::string& text) const;

 private:
  const bool json_;
};

}  // namespace ess
