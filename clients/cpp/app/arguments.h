// The command line: options of the channel, the command and what it takes.
#pragma once

#include <string>
#include <vector>

#include "gateway/channels.h"

namespace ess {

struct Arguments {
  GatewayOptions gateway;
  bool json = false;
  std::string command;
  std::vector<std::string> rest;
};

extern const char* const kUsage;

// Throws std::invalid_argument with what is wrong.
Arguments ReadArguments(int argc, char** argv);

}  // namespace ess
