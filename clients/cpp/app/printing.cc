#include "app/printing.h"

#include <cstdio>
#include <iostream>

#include "app/contract_json.h"
#include "gateway/refusal.h"

namespace ess {
namespace {

namespace v1 = execution_strategy::v1;

std::string Short(const std::string& name, const std::string& prefix) {
  return name.rfind(prefix, 0) == 0 ? name.substr(prefix.size()) : name;
}

void Line(const std::string& text) { std::cout << text << std::endl; }

template <typename... Values>
std::string Formatted(const char* format, Values... values) {
  char text[512];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

}  // namespace

void Printer::Decision(const v1::ExecutionStrategyResponse& answer) const {
  if (json_) return Line(R"({"decision": )" + WriteMessage(answer) + "}");
  const auto& strategy = answer.recommended_strategy();
  const auto& expected = answer.expected_outcomes();
  Line(answer.order_id() + ": " + strategy.strategy_name() + " (" + strategy.algorithm() + ")");
  Line(Formatted("  expected %.2f bps over %d min, completion %.0f%%, confidence %.2f",
                 expected.estimated_cost() * 1e4, static_cast<int>(expected.estimated_time_minutes()),
                 expected.completion_probability() * 100, answer.confidence()));
  std::string venues = "  venues";
  for (const auto& [venue, share] : strategy.venue_allocation()) {
    venues += Formatted(" %s %.0f%%", venue.c_str(), share * 100);
  }
  Line(venues);
  Line("  " + answer.strategy_rationale());
  for (const auto& other : answer.alternative_strategies()) Line("  also: " + other.strategy_name());
  for (const auto& warning : answer.warnings()) Line("  warning: " + warning);
}

void Printer::Standing(const v1::StrategyExecutionStatus& answer) const {
  if (json_) return Line(R"({"status": )" + WriteMessage(answer) + "}");
  const auto& progress = answer.progress();
  Line(answer.order_id() + ": " + Short(v1::ExecutionState_Name(answer.state()), "EXECUTION_STATE_") +
       Formatted(", filled %g of %g, working %g, cancelled %g; cost so far %.2f bps", progress.filled_quantity(),
                 progress.parent_quantity(), progress.working_quantity(), progress.cancelled_quantity(),
                 answer.cost_so_far().total_bps()));
}

void Printer::Adaptation(const v1::StrategyAdaptation& answer) const {
  if (json_) return Line(R"({"adaptation": )" + WriteMessage(answer) + "}");
  const auto& progress = answer.progress();
  Line(answer.order_id() +
       Formatted(": acknowledged %llu (epoch %llu), filled %g, working %g, unscheduled %g",
                 static_cast<unsigned long long>(answer.acknowledged_sequence()),
                 static_cast<unsigned long long>(answer.epoch()), progress.filled_quantity(),
                 progress.working_quantity(), progress.unscheduled_quantity()));
  for (const auto& refusal : answer.refusals()) {
    Line("  refused update " + std::to_string(refusal.sequence()) + ": " + refusal.error());
  }
  if (answer.advice_number() > 0) {
    Line("  advice " + std::to_string(answer.advice_number()) + ": " +
         Short(v1::AdaptationAction_Name(answer.action()), "ADAPTATION_ACTION_") + " after " +
         Short(v1::AdaptationTrigger_Name(answer.trigger()), "ADAPTATION_TRIGGER_") + "; " + answer.rationale());
  }
}

void Printer::Refused(const std::string& order_id, const grpc::Status& status) const {
  const Refusal refusal = ReadRefusal(status);
  if (json_) {
    std::string text = R"({"refused": {"order_id": )" + Quoted(order_id) + R"(, "code": ")" + refusal.code +
                       R"(", "text": )" + Quoted(refusal.text) + R"(, "violations": [)";
    const char* separator = "";
    for (const auto& [field, words] : refusal.violations) {
      text += separator + (R"({"field": )" + Quoted(field)) + R"(, "description": )" + Quoted(words) + "}";
      separator = ", ";
    }
    return Line(text + "]}}");
  }
  Line(order_id + ": " + refusal.code + ": " + refusal.text);
  for (const auto& [field, words] : refusal.violations) Line("  " + field + ": " + words);
}

void Printer::Event(const std::string& name, const std::string& text) const {
  if (json_) return Line("{" + Quoted(name) + ": " + Quoted(text) + "}");
  Line(name + ": " + text);
}

}  // namespace ess
