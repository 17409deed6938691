// Sends updates of an order without waiting for one before the next, then prints what became of each number.
// Usage: many TARGET ORDER [KEPT]; ORDER is a serialized request, KEPT what "keep FILE" wrote, from which it goes on. A
// line of standard input is one update: "working 5000", "fill EXECUTION QUANTITY", "cancel QUANTITY", or "wait" for all
// before it, "wait MILLISECONDS" so long for each.
#include <chrono>
#include <fstream>
#include <iostream>
#include <sstream>
#include <vector>

#include "gateway/gateway.h"

int main(int count, char** argv) {
  using ess::OrderStream;
  std::ifstream file(argv[2], std::ios::binary);
  ess::Gateway::Request order;
  if (!order.ParseFromIstream(&file)) return 2;
  ess::GatewayOptions options;
  options.target = argv[1];
  ess::Gateway gateway(options);
  gateway.Connect(std::chrono::seconds(10));
  const auto stream = gateway.Adapt({});
  if (count > 3) {
    std::ifstream kept_file(argv[3], std::ios::binary);
    OrderStream::Checkpoint kept;
    if (!kept.ParseFromIstream(&kept_file)) return 2;
    stream->Follow(kept);
  } else {
    if (!gateway.Recommend(order).ok()) return 3;
    stream->Follow(order);
    stream->Follow(order);  // changes nothing
  }
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
      int limit_ms = 0;
      words >> limit_ms;
      const std::chrono::milliseconds limit(limit_ms > 0 ? limit_ms : 20'000);
      for (const auto number : sent) {
        const auto fate = stream->Await(order.order_id(), number, limit);
        std::cout << number << " " << kFates[static_cast<int>(fate)] << std::endl;
      }
      sent.clear();
      continue;
    }
    if (kind == "keep") {
      std::string path;
      words >> path;
      std::ofstream kept_file(path, std::ios::binary);
      stream->Keep(order.order_id()).SerializeToOstream(&kept_file);
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
