// How a gateway reaches the service: target, retries, keepalive, TLS. One value, read once.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

namespace ess {

// PEM files. Without any, the channel is plaintext: for loopback, or behind something that encrypts.
// With `ca` the server is verified; with `certificate` and `key` too, the gateway shows who it is (mTLS).
struct TlsFiles {
  std::string ca;
  std::string certificate;
  std::string key;
  // The name that the server's certificate must have, where it is not the target's host.
  std::string server_name;

  bool given() const { return !ca.empty() || !certificate.empty() || !key.empty(); }
};

struct GatewayOptions {
  std::string target = "127.0.0.1:50051";
  // Several connections: behind one port there may be several workers, and each connection meets one of them.
  int channels = 2;
  // Of a unary call, all its attempts together.
  std::chrono::milliseconds deadline{1000};
  // The first included. Retries are safe: the same order_id with the same content has the same answer.
  int attempts = 4;
  // The service allows a ping every 10 s.
  std::chrono::milliseconds keepalive_time{30'000};
  std::chrono::milliseconds keepalive_timeout{10'000};
  // How long an Adapt stream tries to come back after a cut.
  std::chrono::milliseconds give_up_after{60'000};
  TlsFiles tls;
};

// gRPC's service config: UNAVAILABLE is tried again, and CANCELLED, as which a service that stops ends calls that it
// never took up; with back-off, and less and less where most calls fail. What this side cancels is not tried again.
// Adapt streams are not in it: after a cut they resume, which only the gateway can do.
std::string ServiceConfig(const GatewayOptions& options);

// Throws std::runtime_error where a PEM file can't be read, or a certificate comes without its key.
std::shared_ptr<grpc::ChannelCredentials> MakeCredentials(const TlsFiles& files);

// A channel with a connection of its own.
std::shared_ptr<grpc::Channel> MakeChannel(const GatewayOptions& options,
                                           const std::shared_ptr<grpc::ChannelCredentials>& credentials);

}  // namespace ess
