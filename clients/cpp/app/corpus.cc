#include "app/corpus.h"

#include <iostream>
#include <memory>
#include <stdexcept>

#include "app/contract_json.h"
#include "gateway/refusal.h"

namespace ess {
namespace {

namespace pb = google::protobuf;

// The request of a call by its name.
std::unique_ptr<pb::Message> EmptyRequest(const std::string& method) {
  const auto* service =
      pb::DescriptorPool::generated_pool()->FindServiceByName("execution_strategy.v1.ExecutionStrategyService");
  const auto* found = service == nullptr ? nullptr : service->FindMethodByName(method);
  if (found == nullptr) throw std::invalid_argument("no call is named " + method);
  const pb::Message* prototype = pb::MessageFactory::generated_factory()->GetPrototype(found->input_type());
  return std::unique_ptr<pb::Message>(prototype->New());
}

std::string FromHex(const std::string& text) {
  std::string bytes;
  for (std::size_t at = 0; at + 1 < text.size(); at += 2) {
    bytes += static_cast<char>(std::stoi(text.substr(at, 2), nullptr, 16));
  }
  return bytes;
}

std::string RequestBytes(const pb::Map<std::string, pb::Value>& one, const std::string& method) {
  const auto hex = one.find("request_hex");
  if (hex != one.end()) return FromHex(hex->second.string_value());
  const auto request = EmptyRequest(method);
  ReadMessage(one.at("request"), request.get());
  return request->SerializeAsString();
}

}  // namespace

int PrintVerdicts(Gateway* gateway, const std::string& corpus_text) {
  for (const pb::Value& value : OneOrMany(ReadJson(corpus_text))) {
    const auto& one = value.struct_value().fields();
    const std::string method = one.contains("method") ? one.at("method").string_value() : "Recommend";
    const auto outcome = gateway->Call(method, RequestBytes(one, method));
    const Refusal refusal = ReadRefusal(outcome.status);
    std::cout << R"({"name": )" << Quoted(one.at("name").string_value()) << R"(, "code": ")" << refusal.code
              << R"(", "fields": [)";
    const char* separator = "";
    for (const std::string& field : refusal.fields()) {
      std::cout << separator << Quoted(field);
      separator = ", ";
    }
    std::cout << "]}" << std::endl;
  }
  return 0;
}

}  // namespace ess
