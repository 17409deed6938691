#include "gateway/ledger.h"

#include <algorithm>

namespace ess {

double Ledger::unscheduled() const { return std::max(0.0, parent_ - filled_ - working_ - cancelled_); }

void Ledger::Amend(double quantity) {
  parent_ = quantity;
  // What is above the new quantity leaves the market, then what was cancelled; filled shares stay filled.
  working_ = std::clamp(parent_ - filled_ - cancelled_, 0.0, working_);
  cancelled_ = std::clamp(parent_ - filled_ - working_, 0.0, cancelled_);
}

void Ledger::Apply(const execution_strategy::v1::StrategyAdaptationRequest& update) {
  if (update.has_fill() && executions_.insert(update.fill().execution_id()).second) {
    const double quantity = update.fill().quantity();
    const double from_working = std::min(working_, quantity);
    const double from_unscheduled = std::min(unscheduled(), quantity - from_working);
    working_ -= from_working;
    cancelled_ -= std::min(cancelled_, quantity - from_working - from_unscheduled);
    filled_ += quantity;
    notional_ += quantity * update.fill().price();
  } else if (update.has_cancel()) {
    const double left = working_ + unscheduled();
    const double quantity = std::min(update.cancel().quantity(), update.cancel().final() ? left : working_);
    working_ -= std::min(working_, quantity);
    if (update.cancel().final()) cancelled_ += quantity;
  } else if (update.has_working()) {
    working_ = std::min(update.working().quantity(), working_ + unscheduled());
  } else if (update.has_amend() && update.amend().has_quantity()) {
    Amend(update.amend().quantity());
  } else if (update.has_market_context() && update.market_context().has_mid_price() && arrival_mid_ == 0.0) {
    arrival_mid_ = update.market_context().mid_price();
  } else if (update.has_terminal()) {
    ended_ = true;
  }
}

void Ledger::Fill(execution_strategy::v1::ResumeUpdate* resume) const {
  resume->set_filled_quantity(filled_);
  resume->set_average_price(filled_ > 0.0 ? notional_ / filled_ : 0.0);
  resume->set_working_quantity(working_);
  resume->set_cancelled_quantity(cancelled_);
  resume->set_arrival_mid_price(arrival_mid_);
}

}  // namespace ess
