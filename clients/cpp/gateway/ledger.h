// Where an order's quantity is and what its fills cost: what a resume tells the service.
#pragma once

#include <set>
#include <string>

#include "execution_strategy/v1/service.grpc.pb.h"

namespace ess {

// Quantities are the service's own, of its newest answer: they are of exactly the number that is acknowledged there.
// Sums of our own would differ from them by what a double cannot hold. The price is of the fills acknowledged here.
class Ledger {
 public:
  Ledger() = default;

  // Goes on from what `Fill` wrote.
  explicit Ledger(const execution_strategy::v1::ResumeUpdate& resume);

  // An update that the service acknowledged.
  void Apply(const execution_strategy::v1::StrategyAdaptationRequest& update);

  // The order after it.
  void Take(const execution_strategy::v1::OrderProgress& progress) { progress_ = progress; }

  // Writes quantities and price into a resume.
  void Fill(execution_strategy::v1::ResumeUpdate* resume) const;

  bool ended() const { return ended_; }
  double working() const { return progress_.working_quantity(); }

 private:
  execution_strategy::v1::OrderProgress progress_;
  double quantity_ = 0.0;
  double notional_ = 0.0;
  bool ended_ = false;
  std::set<std::string> executions_;
};

}  // namespace ess
