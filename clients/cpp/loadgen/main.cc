// An open-loop load generator: latency from the intended moment, several kinds of calls in turn, one JSON object.
#include <sys/prctl.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <numeric>
#include <string>

#include "gateway/channels.h"
#include "loadgen/options.h"
#include "loadgen/report.h"
#include "loadgen/requests.h"
#include "loadgen/streams.h"
#include "loadgen/unary.h"

namespace {

using namespace ess::load;

// The blocks of all rounds, every other round backwards: whoever comes second pays for what the first left behind.
std::vector<Block> RunRounds(const Options& options, UnaryLoad* unary, StreamLoad* streams) {
  std::mt19937_64 random(options.seed);
  std::vector<std::size_t> order(options.parts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<Block> blocks;
  for (int round = 0; round < options.rounds; ++round) {
    for (const std::size_t part : order) {
      blocks.push_back(options.parts[part].streams() ? streams->Run(part, &random) : unary->Run(part, &random));
    }
    std::reverse(order.begin(), order.end());
  }
  return blocks;
}

void Load(const Options& options) {
  ess::GatewayOptions gateway;
  gateway.target = options.target;
  gateway.attempts = 1;  // a retry would hide what is measured
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int index = 0; index < options.channels; ++index) {
    channels.push_back(ess::MakeChannel(gateway, ess::MakeCredentials(gateway.tls)));
  }
  Requests requests(options.templates, options.prefix);
  UnaryLoad unary(options, &requests, channels);
  unary.Warm();
  std::unique_ptr<StreamLoad> streams;
  if (std::any_of(options.parts.begin(), options.parts.end(), [](const Part& part) { return part.streams(); })) {
    streams = std::make_unique<StreamLoad>(options, &requests, channels);
  }
  std::cout << Report(options, RunRounds(options, &unary, streams.get())) << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  // Sleeps end within microseconds of their moment.
  prctl(PR_SET_TIMERSLACK, 1000UL);
  if (argc == 2 && std::string(argv[1]) == "--help") {
    std::cout << kUsage;
    return 0;
  }
  Options options;
  try {
    options = ReadOptions(argc, argv);
  } catch (const std::invalid_argument& error) {
    std::cerr << "ess-loadgen: " << error.what() << "\n" << kUsage;
    return 2;
  }
  try {
    Load(options);
  } catch (const std::exception& error) {
    std::cerr << "ess-loadgen: " << error.what() << std::endl;
    return 1;
  }
  return 0;
}
