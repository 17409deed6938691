// A small gateway: asks for decisions, follows orders, prints what it got.
#include <fstream>
#include <iostream>
#include <map>
#include <stdexcept>

#include "app/arguments.h"
#include "app/contract_json.h"
#include "app/corpus.h"
#include "app/printing.h"
#include "gateway/gateway.h"

namespace {

using ess::Arguments;
using ess::Gateway;
using ess::OrderStream;
using ess::Printer;

constexpr int kRefused = 1;
constexpr int kMisused = 2;
constexpr std::chrono::seconds kConnectLimit{5};
constexpr std::chrono::seconds kUpdateLimit{60};

int Recommend(Gateway& gateway, const Printer& printer, const Arguments& arguments) {
  int code = 0;
  for (const auto& json : ess::OneOrMany(ess::ReadJson(ess::ReadText(arguments.rest.at(0))))) {
    Gateway::Request order;
    ess::ReadMessage(json, &order);
    const auto outcome = gateway.Recommend(order);
    if (outcome.ok()) {
      printer.Decision(outcome.answer);
    } else {
      printer.Refused(order.order_id(), outcome.status);
      code = kRefused;
    }
  }
  return code;
}

int Status(Gateway& gateway, const Printer& printer, const Arguments& arguments) {
  const auto outcome = gateway.Status(arguments.rest.at(0));
  if (!outcome.ok()) {
    printer.Refused(arguments.rest.at(0), outcome.status);
    return kRefused;
  }
  printer.Standing(outcome.answer);
  return 0;
}

// Sends the updates one after the other, each when the one before it is safe.
int SendUpdates(OrderStream& stream, const Printer& printer, const std::string& order_id, std::istream& lines) {
  int code = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    OrderStream::Update update;
    ess::ReadMessage(ess::ReadJson(line), &update);
    update.set_order_id(order_id);
    const std::uint64_t sequence = stream.Send(update);
    switch (stream.Await(order_id, sequence, kUpdateLimit)) {
      case OrderStream::Fate::kAcknowledged:
        break;
      case OrderStream::Fate::kRefused:
        code = kRefused;
        break;
      case OrderStream::Fate::kTimedOut:
      case OrderStream::Fate::kLost:
        printer.Event("lost", "update " + std::to_string(sequence) + " was not acknowledged");
        return kRefused;
    }
  }
  return code;
}

int Adapt(Gateway& gateway, const Printer& printer, const Arguments& arguments) {
  Gateway::Request order;
  ess::ReadMessage(ess::ReadJson(ess::ReadText(arguments.rest.at(0))), &order);
  std::ifstream file;
  if (arguments.rest.at(1) != "-") {
    file.open(arguments.rest.at(1));
    if (!file) throw std::invalid_argument("cannot read " + arguments.rest.at(1));
  }
  const auto outcome = gateway.Recommend(order);
  if (!outcome.ok()) {
    printer.Refused(order.order_id(), outcome.status);
    return kRefused;
  }
  printer.Decision(outcome.answer);
  OrderStream::Listener listener;
  listener.answered = [&printer](const OrderStream::Answer& answer) { printer.Adaptation(answer); };
  listener.cut = [&printer](const grpc::Status& status) { printer.Event("cut", status.error_message()); };
  listener.resumed = [&printer](int orders) { printer.Event("resumed", std::to_string(orders)); };
  const auto stream = gateway.Adapt(listener);
  stream->Follow(order);
  const int code = SendUpdates(*stream, printer, order.order_id(), file.is_open() ? file : std::cin);
  const grpc::Status status = stream->Finish();
  if (!status.ok()) {
    printer.Refused(order.order_id(), status);
    return kRefused;
  }
  return code;
}

int Violations(Gateway& gateway, const Printer&, const Arguments& arguments) {
  return ess::PrintVerdicts(&gateway, ess::ReadText(arguments.rest.at(0)));
}

struct Command {
  std::size_t takes;
  int (*run)(Gateway&, const Printer&, const Arguments&);
};

const std::map<std::string, Command> kCommands = {
    {"recommend", {1, Recommend}}, {"status", {1, Status}}, {"adapt", {2, Adapt}}, {"violations", {1, Violations}}};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--help") {
    std::cout << ess::kUsage;
    return 0;
  }
  try {
    const Arguments arguments = ess::ReadArguments(argc, argv);
    const auto command = kCommands.find(arguments.command);
    if (command == kCommands.end() || arguments.rest.size() != command->second.takes) {
      std::cerr << ess::kUsage;
      return kMisused;
    }
    Gateway gateway(arguments.gateway);
    // A channel that cannot connect is told by the call that needs it.
    gateway.Connect(kConnectLimit);
    return command->second.run(gateway, Printer(arguments.json), arguments);
  } catch (const std::exception& error) {
    std::cerr << "ess-gateway: " << error.what() << std::endl;
    return kMisused;
  }
}
