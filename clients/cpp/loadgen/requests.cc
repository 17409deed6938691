#include "loadgen/requests.h"

#include <google/protobuf/util/delimited_message_util.h>

#include <fstream>
#include <stdexcept>
#include <utility>

#include "execution_strategy/v1/service.pb.h"

namespace ess::load {
namespace {

namespace v1 = execution_strategy::v1;

constexpr const char* kRecommend = "/execution_strategy.v1.ExecutionStrategyService/Recommend";
constexpr const char* kEcho = "/execution_strategy.v1.ExecutionStrategyService/Echo";

std::vector<std::string> ReadTemplates(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::invalid_argument("cannot read " + path);
  std::vector<std::string> found;
  google::protobuf::io::IstreamInputStream stream(&file);
  for (bool clean_end = false;;) {
    v1::ExecutionStrategyRequest order;
    if (!google::protobuf::util::ParseDelimitedFromZeroCopyStream(&order, &stream, &clean_end)) {
      if (!clean_end) throw std::invalid_argument(path + " holds something that is no order");
      break;
    }
    order.clear_order_id();
    order.clear_acknowledgement();
    found.push_back(order.SerializeAsString());
  }
  if (found.empty()) throw std::invalid_argument(path + " holds no order");
  return found;
}

// Fields that follow what was serialised already count as if they had been there: protobuf merges.
std::string WithId(const std::string& order, const std::string& order_id) {
  v1::ExecutionStrategyRequest id;
  id.set_order_id(order_id);
  return id.SerializeAsString() + order;
}

std::string Acknowledged(Kind kind) {
  v1::ExecutionStrategyRequest message;
  if (kind == Kind::kBuffered) message.set_acknowledgement(v1::ACKNOWLEDGEMENT_CLASS_BUFFERED);
  if (kind == Kind::kJournaled) message.set_acknowledgement(v1::ACKNOWLEDGEMENT_CLASS_JOURNALED);
  if (kind == Kind::kCommitted) message.set_acknowledgement(v1::ACKNOWLEDGEMENT_CLASS_COMMITTED);
  return message.SerializeAsString();
}

}  // namespace

Requests::Requests(const std::string& path, std::string prefix)
    : templates_(ReadTemplates(path)), answer_bytes_(templates_.size()), prefix_(std::move(prefix)) {}

std::string Requests::NewOrderId() { return prefix_ + "-" + std::to_string(1 + ids_.fetch_add(1)); }

std::string Requests::Recommend(std::size_t index, const std::string& order_id) const {
  return WithId(templates_[index], order_id);
}

std::string Requests::Echo(std::size_t index) const {
  v1::EchoRequest echo;
  echo.set_payload(WithId(templates_[index], prefix_ + "-0000000"));
  const std::uint32_t own = answer_bytes_[index].load(std::memory_order_relaxed);
  echo.set_response_bytes(own > 0 ? own : newest_bytes_.load(std::memory_order_relaxed));
  return echo.SerializeAsString();
}

Requests::Message Requests::Next(Kind kind) {
  const std::size_t index = turn_.fetch_add(1, std::memory_order_relaxed) % templates_.size();
  if (kind == Kind::kEcho) return {kEcho, index, Buffer(Echo(index))};
  return {kRecommend, index, Buffer(Recommend(index, NewOrderId()) + Acknowledged(kind))};
}

void Requests::Answered(std::size_t index, std::size_t bytes) {
  answer_bytes_[index].store(static_cast<std::uint32_t>(bytes), std::memory_order_relaxed);
  newest_bytes_.store(static_cast<std::uint32_t>(bytes), std::memory_order_relaxed);
}

grpc::ByteBuffer Buffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string Bytes(const grpc::ByteBuffer& buffer) {
  std::string found;
  std::vector<grpc::Slice> slices;
  if (buffer.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) found.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return found;
}

}  // namespace ess::load
