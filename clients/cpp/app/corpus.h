// A corpus of requests: what the service says to each. The same file is read by the gateways of every language.
#pragma once

#include <string>

#include "gateway/gateway.h"

namespace ess {

// Prints {"name": ..., "code": ..., "fields": [...]} a line and case. Throws std::invalid_argument for a bad corpus.
int PrintVerdicts(Gateway* gateway, const std::string& corpus_text);

}  // namespace ess
