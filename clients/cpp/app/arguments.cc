#include "app/arguments.h"

#include <functional>
#include <map>
#include <stdexcept>

namespace ess {

const char* const kUsage = R"(usage: ess-gateway [options] command ...

  recommend FILE          decides the orders of a JSON file (one, or a list); - reads standard input
  status ORDER_ID         where an order stands
  adapt ORDER UPDATES     decides the order, then sends the updates (a JSON object a line; - reads standard input)
                          over one stream that survives cuts, and prints what comes back
  violations CORPUS       sends every case of a corpus and prints its verdict, a JSON object a line

  --target HOST:PORT      default 127.0.0.1:50051
  --json                  JSON objects instead of text
  --channels N            connections, default 2
  --deadline-ms N         of a call, all its attempts together, default 1000
  --attempts N            the first included, default 4; 1 never tries again
  --keepalive-s N         default 30
  --give-up-s N           how long a stream tries to come back after a cut, default 60
  --ca FILE --cert FILE --key FILE --server-name NAME
                          PEM files of TLS; with --cert and --key the gateway shows who it is (mTLS)
)";

namespace {

int WholeNumber(const std::string& name, const std::string& text) {
  std::size_t end = 0;
  int number = 0;
  try {
    number = std::stoi(text, &end);
  } catch (const std::exception&) {
    end = 0;
  }
  if (end == 0 || end != text.size() || number < 1) {
    throw std::invalid_argument(name + " takes a whole number above 0, not " + text);
  }
  return number;
}

}  // namespace

Arguments ReadArguments(int argc, char** argv) {
  Arguments found;
  GatewayOptions& gateway = found.gateway;
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  const std::map<std::string, std::function<void(const std::string&, const std::string&)>> options = {
      {"--target", [&](auto&, auto& text) { gateway.target = text; }},
      {"--channels", [&](auto& name, auto& text) { gateway.channels = WholeNumber(name, text); }},
      {"--deadline-ms", [&](auto& name, auto& text) { gateway.deadline = milliseconds(WholeNumber(name, text)); }},
      {"--attempts", [&](auto& name, auto& text) { gateway.attempts = WholeNumber(name, text); }},
      {"--keepalive-s", [&](auto& name, auto& text) { gateway.keepalive_time = seconds(WholeNumber(name, text)); }},
      {"--give-up-s", [&](auto& name, auto& text) { gateway.give_up_after = seconds(WholeNumber(name, text)); }},
      {"--ca", [&](auto&, auto& text) { gateway.tls.ca = text; }},
      {"--cert", [&](auto&, auto& text) { gateway.tls.certificate = text; }},
      {"--key", [&](auto&, auto& text) { gateway.tls.key = text; }},
      {"--server-name", [&](auto&, auto& text) { gateway.tls.server_name = text; }},
  };
  for (int index = 1; index < argc; ++index) {
    const std::string word = argv[index];
    const auto option = options.find(word);
    if (word == "--json") {
      found.json = true;
    } else if (option != options.end()) {
      if (++index == argc) throw std::invalid_argument(word + " takes a value");
      option->second(word, argv[index]);
    } else if (word.rfind("--", 0) == 0) {
      throw std::invalid_argument("unknown option " + word);
    } else if (found.command.empty()) {
      found.command = word;
    } else {
      found.rest.push_back(word);
    }
  }
  return found;
}

}  // namespace ess
