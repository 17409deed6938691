#include "gateway/gateway.h"


#include <algorithm>
#include <chrono>
#include <utility>

namespace ess {

namespace v1 = execution_strategy::v1;

Gateway::Gateway(GatewayOptions options) : options_(std::move(options)) {
  const auto credentials = MakeCredentials(options_.tls);
  for (int index = 0; index < std::max(1, options_.channels); ++index) {
    Line line;
    line.channel = MakeChannel(options_, credentials);
    line.stub = v1::ExecutionStrategyService::NewStub(line.channel);
    lines_.push_back(std::move(line));
  }
}

Gateway::Line& Gateway::next() { return lines_[turn_.fetch_add(1, std::memory_order_relaxed) % lines_.size()]; }

void Gateway::SetDeadline(grpc::ClientContext* context) const {
  context->set_deadline(std::chrono::system_clock::now() + options_.deadline);
}

bool Gateway::Connect(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::system_clock::now() + limit;
  for (const Line& line : lines_) line.channel->GetState(true);
  return std::all_of(lines_.begin(), lines_.end(),
                     [&](const Line& line) { return line.channel->WaitForConnected(deadline); });
}

Outcome<Gateway::Response> Gateway::Recommend(const Request& order) {
  Outcome<Response> outcome;
  grpc::ClientContext context;
  SetDeadline(&context);
  outcome.status = next().stub->Recommend(&context, order, &outcome.answer);
  return outcome;
}

Outcome<Gateway::StatusAnswer> Gateway::Status(const std::string& order_id) {
  Outcome<StatusAnswer> outcome;
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::StatusRequest request;
  request.set_order_id(order_id);
  outcome.status = next().stub->Status(&context, request, &outcome.answer);
  return outcome;
}

Outcome<std::string> Gateway::Call(const std::string& method, const std::string& request) {
  Outcome<std::string> outcome;
  grpc::ClientContext context;
  SetDeadline(&context);
  const grpc::Slice sent(request);
  grpc::ByteBuffer data(&sent, 1);
  grpc::GenericStub stub(next().channel);
  grpc::CompletionQueue queue;
  const auto call =
      stub.PrepareUnaryCall(&context, "/execution_strategy.v1.ExecutionStrategyService/" + method, data, &queue);
  grpc::ByteBuffer answer;
  call->StartCall();
  call->Finish(&answer, &outcome.status, &outcome);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  std::vector<grpc::Slice> slices;
  if (outcome.status.ok() && answer.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) {
      outcome.answer.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
  }
  return outcome;
}

std::unique_ptr<OrderStream> Gateway::Adapt(OrderStream::Listener listener) {
  std::vector<OrderStream::Stub*> stubs;
  const unsigned first = turn_.fetch_add(1, std::memory_order_relaxed);
  for (std::size_t index = 0; index < lines_.size(); ++index) {
    stubs.push_back(lines_[(first + index) % lines_.size()].stub.get());
  }
  return std::make_unique<OrderStream>(std::move(stubs), std::move(listener), options_.give_up_after);
}

}  // namespace ess
