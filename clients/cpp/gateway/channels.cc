#include "gateway/channels.h"

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace ess {
namespace {

constexpr const char* kService = "execution_strategy.v1.ExecutionStrategyService";
// What can be tried again without harm. ReportOutcome is written once, and the same report again changes nothing.
// AdaptOnce is not among them: without a number of its own an update that came twice would count twice.
constexpr const char* kRetried[] = {"Recommend", "Status", "ReportOutcome", "Performance", "Replay"};

std::string ReadFile(const std::string& path) {
  if (path.empty()) return "";
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) throw std::runtime_error("cannot read " + path);
  return text.str();
}

}  // namespace

std::string ServiceConfig(const GatewayOptions& options) {
  std::ostringstream json;
  json << R"({"methodConfig": [{"name": [)";
  const char* separator = "";
  for (const char* method : kRetried) {
    json << separator << R"({"service": ")" << kService << R"(", "method": ")" << method << R"("})";
    separator = ", ";
  }
  json << "]";
  if (options.attempts > 1) {
    json << R"(, "retryPolicy": {"maxAttempts": )" << options.attempts
         << R"(, "initialBackoff": "0.02s", "maxBackoff": "0.5s", "backoffMultiplier": 2,)"
         << R"( "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]})";
  }
  json << R"(}], "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1}})";
  return json.str();
}

std::shared_ptr<grpc::ChannelCredentials> MakeCredentials(const TlsFiles& files) {
  if (!files.given()) return grpc::InsecureChannelCredentials();
  if (files.certificate.empty() != files.key.empty()) {
    throw std::runtime_error("a client certificate and its key come together: --cert and --key");
  }
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = ReadFile(files.ca);
  tls.pem_cert_chain = ReadFile(files.certificate);
  tls.pem_private_key = ReadFile(files.key);
  return grpc::SslCredentials(tls);
}

std::shared_ptr<grpc::Channel> MakeChannel(const GatewayOptions& options,
                                           const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  // Without it, channels to one target would share one connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(options.keepalive_time.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, static_cast<int>(options.keepalive_timeout.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // A service that is started again is found again soon.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, options.attempts > 1 ? 1 : 0);
  // Retries are the gateway's own affair, not a DNS record's.
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetServiceConfigJSON(ServiceConfig(options));
  arguments.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, 16 << 20);
  if (options.tls.given() && !options.tls.server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls.server_name);
  }
  return grpc::CreateCustomChannel(options.target, credentials, arguments);
}

}  // namespace ess
