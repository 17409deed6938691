// What a call ended with, in the words of the contract.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>
#include <vector>

namespace ess {

struct Refusal {
  std::string code;  // "OK", "INVALID_ARGUMENT", ...
  std::string text;
  // (field, what is wrong with it): every violation of a google.rpc.BadRequest or PreconditionFailure.
  std::vector<std::pair<std::string, std::string>> violations;

  // Each field once, sorted.
  std::vector<std::string> fields() const;
};

std::string CodeName(grpc::StatusCode code);

// Reads the details that came in the trailer `grpc-status-details-bin`.
Refusal ReadRefusal(const grpc::Status& status);

}  // namespace ess
