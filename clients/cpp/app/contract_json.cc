#include "app/contract_json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>

#include <cctype>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>

namespace ess {
namespace {

namespace pb = google::protobuf;

// ORDER_SIDE_ for OrderSide: what the contract's enum values begin with.
std::string PrefixOf(const pb::EnumDescriptor* kind) {
  std::string prefix;
  for (const char letter : kind->name()) {
    if (std::isupper(static_cast<unsigned char>(letter)) && !prefix.empty()) prefix += '_';
    prefix += static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  }
  return prefix + "_";
}

void WriteEnumsInFull(pb::Value* json, const pb::Descriptor* kind);

void WriteEnumsInFull(pb::Value* json, const pb::FieldDescriptor* field) {
  if (json->has_list_value()) {
    for (auto& element : *json->mutable_list_value()->mutable_values()) WriteEnumsInFull(&element, field);
  } else if (field->enum_type() != nullptr && json->kind_case() == pb::Value::kStringValue) {
    const std::string full = PrefixOf(field->enum_type()) + json->string_value();
    if (field->enum_type()->FindValueByName(full) != nullptr) json->set_string_value(full);
  } else if (field->message_type() != nullptr && !field->is_map()) {
    WriteEnumsInFull(json, field->message_type());
  }
}

void WriteEnumsInFull(pb::Value* json, const pb::Descriptor* kind) {
  if (!json->has_struct_value()) return;
  for (auto& [name, value] : *json->mutable_struct_value()->mutable_fields()) {
    const pb::FieldDescriptor* field = kind->FindFieldByName(name);
    if (field == nullptr) field = kind->FindFieldByCamelcaseName(name);
    if (field != nullptr) WriteEnumsInFull(&value, field);
  }
}

void Check(const pb::util::Status& status) {
  if (!status.ok()) throw std::invalid_argument(std::string(status.message()));
}

}  // namespace

pb::Value ReadJson(const std::string& text) {
  pb::Value json;
  Check(pb::util::JsonStringToMessage(text, &json));
  return json;
}

void ReadMessage(const pb::Value& json, pb::Message* message) {
  pb::Value full = json;
  WriteEnumsInFull(&full, message->GetDescriptor());
  std::string text;
  Check(pb::util::MessageToJsonString(full, &text));
  Check(pb::util::JsonStringToMessage(text, message));
}

std::vector<pb::Value> OneOrMany(const pb::Value& json) {
  if (!json.has_list_value()) return {json};
  return {json.list_value().values().begin(), json.list_value().values().end()};
}

std::string WriteMessage(const pb::Message& message) {
  pb::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  Check(pb::util::MessageToJsonString(message, &text, options));
  return text;
}

std::string Quoted(const std::string& text) {
  pb::Value value;
  value.set_string_value(text);
  return WriteMessage(value);
}

std::string ReadText(const std::string& path) {
  std::ostringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
  } else {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::invalid_argument("cannot read " + path);
    text << file.rdbuf();
  }
  return text.str();
}

}  // namespace ess
