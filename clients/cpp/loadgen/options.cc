#include "loadgen/options.h"

#include <functional>
#include <map>
#include <sstream>
#include <stdexcept>

namespace ess::load {

const char* const kUsage = R"(usage: ess-loadgen --templates FILE --parts PART,PART,... [options]

Runs blocks of its parts in turn (every other round backwards), all over the same channels, and prints one JSON object
as its last line. A latency counts from the moment at which the call was to be sent, not from when it was.

  PART             KIND@RATE  open loop: RATE calls a second, whatever the answers do
                   KIND*N     closed loop: N calls under way
  KIND             echo                              Echo with the sizes of a Recommend
                   recommend buffered journaled committed   Recommend; the class of its acknowledgement
                   echo_stream adapt                 messages on bidirectional streams (open loop only)
  --templates FILE length-delimited ExecutionStrategyRequests; every call is one of them with an order_id of its own
  --target HOST:PORT  default 127.0.0.1:50051
  --rounds N       default 1
  --block-s S      length of a block, default 1
  --arrivals poisson|fixed   default poisson
  --channels N     connections, default 2
  --streams N      of echo_stream and adapt, default 1
  --adapt-orders N orders that adapt updates, default 32
  --open-all yes|no   gives each of them an update before the first block, default no
  --warm-calls N   Recommends and Echos before the first block, default 200
  --deadline-ms N  of a call, default 1000
  --most-in-flight N  open loop: above it a call is not sent but counted as not_sent, default 5000
  --prefix TEXT    order ids are TEXT-1, TEXT-2, ...; default load
  --seed N         of arrivals, default 1
)";

namespace {

const std::map<std::string, Kind> kKinds = {
    {"echo", Kind::kEcho},           {"recommend", Kind::kRecommend}, {"buffered", Kind::kBuffered},
    {"journaled", Kind::kJournaled}, {"committed", Kind::kCommitted}, {"echo_stream", Kind::kEchoStream},
    {"adapt", Kind::kAdapt}};

double Number(const std::string& name, const std::string& text, double least) {
  std::size_t end = 0;
  double number = 0.0;
  try {
    number = std::stod(text, &end);
  } catch (const std::exception&) {
    end = 0;
  }
  if (end == 0 || end != text.size() || !(number >= least) || number > 1e9) {
    throw std::invalid_argument(name + " takes a number of at least " + std::to_string(least) + ", not " + text);
  }
  return number;
}

Part ReadPart(const std::string& text) {
  const std::size_t sign = text.find_first_of("@*");
  const auto kind = kKinds.find(text.substr(0, sign));
  if (sign == std::string::npos || kind == kKinds.end()) {
    throw std::invalid_argument("a part is KIND@RATE or KIND*N, not " + text);
  }
  Part part{text, kind->second};
  const double number = Number(text, text.substr(sign + 1), 0.001);
  if (text[sign] == '@') {
    part.rate_per_s = number;
  } else {
    part.in_flight = static_cast<int>(Number(text, text.substr(sign + 1), 1));
    if (part.streams()) throw std::invalid_argument(text + ": streams have an open loop only");
  }
  return part;
}

std::vector<Part> ReadParts(const std::string& text) {
  std::vector<Part> parts;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) parts.push_back(ReadPart(word));
  return parts;
}

}  // namespace

Options ReadOptions(int argc, char** argv) {
  Options found;
  using Setter = std::function<void(const std::string&, const std::string&)>;
  const auto whole = [](int* target, int least) {
    return [target, least](auto& name, auto& text) { *target = static_cast<int>(Number(name, text, least)); };
  };
  const std::map<std::string, Setter> setters = {
      {"--target", [&](auto&, auto& text) { found.target = text; }},
      {"--templates", [&](auto&, auto& text) { found.templates = text; }},
      {"--prefix", [&](auto&, auto& text) { found.prefix = text; }},
      {"--parts", [&](auto&, auto& text) { found.parts = ReadParts(text); }},
      {"--rounds", whole(&found.rounds, 1)},
      {"--block-s", [&](auto& name, auto& text) { found.block_s = Number(name, text, 0.01); }},
      {"--channels", whole(&found.channels, 1)},
      {"--streams", whole(&found.streams, 1)},
      {"--adapt-orders", whole(&found.adapt_orders, 1)},
      {"--open-all", [&](auto&, auto& text) { found.open_all = text == "yes"; }},
      {"--warm-calls", whole(&found.warm_calls, 0)},
      {"--most-in-flight", whole(&found.most_in_flight, 1)},
      {"--seed", [&](auto& name, auto& text) { found.seed = static_cast<std::uint64_t>(Number(name, text, 0)); }},
      {"--deadline-ms",
       [&](auto& name, auto& text) {
         found.deadline = std::chrono::milliseconds(static_cast<int>(Number(name, text, 1)));
       }},
      {"--arrivals",
       [&](auto& name, auto& text) {
         if (text != "poisson" && text != "fixed") {
           throw std::invalid_argument(name + " is poisson or fixed, not " + text);
         }
         found.poisson = text == "poisson";
       }},
  };
  for (int index = 1; index < argc; index += 2) {
    const auto setter = setters.find(argv[index]);
    if (setter == setters.end()) throw std::invalid_argument(std::string("unknown option ") + argv[index]);
    if (index + 1 == argc) throw std::invalid_argument(std::string(argv[index]) + " takes a value");
    setter->second(argv[index], argv[index + 1]);
  }
  if (found.parts.empty()) throw std::invalid_argument("--parts is missing");
  if (found.templates.empty()) throw std::invalid_argument("--templates is missing");
  return found;
}

}  // namespace ess::load
