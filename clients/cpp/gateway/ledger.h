// Where an order's quantity is, as the gateway counts it: what a resume tells the service.
#pragma once

#include <set>
#include <string>

#include "execution_strategy/v1/service.grpc.pb.h"

namespace ess {

// The same rules as the service's (docs/order-life.md): a fill takes from what works, then from what is unscheduled,
// then from what was thought cancelled. Quantities in shares.
class Ledger {
 public:
  explicit Ledger(double parent_quantity = 0.0) : parent_(parent_quantity) {}

  // An update that the service acknowledged.
  void Apply(const execution_strategy::v1::StrategyAdaptationRequest& update);

  // Writes the quantities into a resume.
  void Fill(execution_strategy::v1::ResumeUpdate* resume) const;

  bool ended() const { return ended_; }
  double working() const { return working_; }

 private:
  double unscheduled() const;
  void Amend(double quantity);

  double parent_;
  double filled_ = 0.0;
  double notional_ = 0.0;
  double working_ = 0.0;
  double cancelled_ = 0.0;
  double arrival_mid_ = 0.0;
  bool ended_ = false;
  std::set<std::string> executions_;
};

}  // namespace ess
