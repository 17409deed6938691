#include "gateway/refusal.h"

#include <set>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace ess {
namespace {

constexpr const char* kNames[] = {
    "OK",           "CANCELLED",         "UNKNOWN",        "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",   "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL",         "UNAVAILABLE",    "DATA_LOSS",          "UNAUTHENTICATED",
};

}  // namespace

std::vector<std::string> Refusal::fields() const {
  std::set<std::string> found;
  for (const auto& violation : violations) found.insert(violation.first);
  return {found.begin(), found.end()};
}

std::string CodeName(grpc::StatusCode code) {
  const auto number = static_cast<std::size_t>(code);
  return number < std::size(kNames) ? kNames[number] : "UNKNOWN";
}

Refusal ReadRefusal(const grpc::Status& status) {
  Refusal found{CodeName(status.error_code()), status.error_message(), {}};
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return found;
  for (const auto& detail : details.details()) {
    google::rpc::BadRequest bad;
    google::rpc::PreconditionFailure failure;
    if (detail.UnpackTo(&bad)) {
      for (const auto& one : bad.field_violations()) found.violations.emplace_back(one.field(), one.description());
    } else if (detail.UnpackTo(&failure)) {
      for (const auto& one : failure.violations()) found.violations.emplace_back(one.subject(), one.description());
    }
  }
  return found;
}

}  // namespace ess
