// The contract's messages as JSON: field names as in the .proto, enum values with or without their prefix ("BUY").
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>

#include <string>
#include <vector>

namespace ess {

// Both throw std::invalid_argument with what is wrong.
void ReadMessage(const google::protobuf::Value& json, google::protobuf::Message* message);
google::protobuf::Value ReadJson(const std::string& text);

// The elements of a list, or the value itself.
std::vector<google::protobuf::Value> OneOrMany(const google::protobuf::Value& json);

// On one line.
std::string WriteMessage(const google::protobuf::Message& message);
std::string Quoted(const std::string& text);

// A whole file; - is standard input. Throws std::invalid_argument where it can't be read.
std::string ReadText(const std::string& path);

}  // namespace ess
