// Sends updates of an order without waiting for one before the next, then prints what became of each number.
// Usage: many TARGET ORDER; ORDER is a serialized request. A line of standard input is one update: "working 5000",
// "fill EXECUTION QUANTITY", "cancel QUANTITY", or "wait" for all before it.
#include <chrono>
#include <fstream>
#include <iostream>
#include <sstream>
#include <vector>

#include "gateway/gateway.h"

int main(int, char** argv) {
  using ess::OrderStream;
  std::ifstream file(argv[2], std::ios::binary);
  ess::Gateway::Request order;
  if (!order.ParseFromIstream(&file)) return 2;
  ess::GatewayOptions options;
  options.target = argv[1];
  ess::Gateway gateway(options);
  gateway.Connect(std::chrono::seconds(10));
  if (!gateway.Recommend(order).ok()) return 3;
  const auto stream = gateway.Adapt({});
  stream->Follow(order);
  std::vector<std::uint64_t> sent;
  const char* const kFates[] = {"ACKNOWLEDGED", "REFUSED", "TIMED_OUT", "LOST"};
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string kind, execution;
    double quantity = 0;
    OrderStream::Update update;
    update.set_order_id(order.order_id());
    words >> kind;
    if (kind == "wait") {
      for (const auto number : sent) {
        const auto fate = stream->Await(order.order_id(), number, std::chrono::seconds(20));
        std::cout << number << " " << kFates[static_cast<int>(fate)] << std::endl;
      }
      sent.clear();
      continue;
    }
    if (kind == "fill") {
      words >> execution >> quantity;
      update.mutable_fill()->set_execution_id(execution);
      update.mutable_fill()->set_quantity(quantity);
      update.mutable_fill()->set_price(78);
    } else if (kind == "cancel") {
      words >> quantity;
      update.mutable_cancel()->set_quantity(quantity);
    } else {
      words >> quantity;
      update.mutable_working()->set_quantity(quantity);
    }
    sent.push_back(stream->Send(update));
  }
  return stream->Finish().ok() ? 0 : 1;
}
