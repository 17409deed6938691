// The bytes that are sent: every Recommend is a template with an order id of its own, every Echo has its sizes.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "loadgen/options.h"

namespace ess::load {

class Requests {
 public:
  // Throws std::invalid_argument where the file holds no templates.
  Requests(const std::string& path, std::string prefix);

  struct Message {
    const char* method;  // full path
    std::size_t index;   // of the template
    grpc::ByteBuffer data;
  };

  // Thread-safe.
  Message Next(Kind kind);

  // A Recommend as bytes, and the id that it got.
  std::string Recommend(std::size_t index, const std::string& order_id) const;
  std::string NewOrderId();

  // How large the answer to a template is; the next Echo in its place asks for as much. Before a template was answered
  // its Echo asks for what the newest answer had.
  void Answered(std::size_t index, std::size_t bytes);

  std::size_t size() const { return templates_.size(); }

 private:
  std::string Echo(std::size_t index) const;

  std::vector<std::string> templates_;
  std::vector<std::atomic<std::uint32_t>> answer_bytes_;
  std::atomic<std::uint32_t> newest_bytes_{4300};  // the median decision
  const std::string prefix_;
  std::atomic<std::uint64_t> ids_{0};
  std::atomic<std::uint64_t> turn_{0};
};

// bytes -> buffer, and back.
grpc::ByteBuffer Buffer(const std::string& bytes);
std::string Bytes(const grpc::ByteBuffer& buffer);

}  // namespace ess::load
