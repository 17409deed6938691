#include "gateway/ledger.h"

namespace ess {

Ledger::Ledger(const execution_strategy::v1::ResumeUpdate& resume)
    : quantity_(resume.filled_quantity()), notional_(resume.filled_quantity() * resume.average_price()) {
  progress_.set_filled_quantity(resume.filled_quantity());
  progress_.set_working_quantity(resume.working_quantity());
  progress_.set_cancelled_quantity(resume.cancelled_quantity());
}

void Ledger::Apply(const execution_strategy::v1::StrategyAdaptationRequest& update) {
  if (update.has_fill() && executions_.insert(update.fill().execution_id()).second) {
    quantity_ += update.fill().quantity();
    notional_ += update.fill().quantity() * update.fill().price();
  } else if (update.has_terminal()) {
    ended_ = true;
  }
}

void Ledger::Fill(execution_strategy::v1::ResumeUpdate* resume) const {
  resume->set_filled_quantity(progress_.filled_quantity());
  resume->set_average_price(progress_.filled_quantity() > 0.0 && quantity_ > 0.0 ? notional_ / quantity_ : 0.0);
  resume->set_working_quantity(progress_.working_quantity());
  resume->set_cancelled_quantity(progress_.cancelled_quantity());
}

}  // namespace ess
