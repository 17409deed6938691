// One Adapt stream that outlives its connection: orders go on from the last acknowledged sequence after a cut.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "execution_strategy/v1/service.grpc.pb.h"
#include "gateway/ledger.h"

namespace ess {

// Used by one sender at a time or many; the listener is called on the stream's own thread and must not block.
class OrderStream {
 public:
  using Request = execution_strategy::v1::ExecutionStrategyRequest;
  using Update = execution_strategy::v1::StrategyAdaptationRequest;
  using Answer = execution_strategy::v1::StrategyAdaptation;
  using Checkpoint = execution_strategy::v1::ResumeUpdate;
  using Refusal = execution_strategy::v1::UpdateRefusal;
  using Stub = execution_strategy::v1::ExecutionStrategyService::Stub;

  struct Listener {
    std::function<void(const Answer&)> answered = [](const Answer&) {};
    // The connection was lost with this status, or could not be made; it is tried again.
    std::function<void(const grpc::Status&)> cut = [](const grpc::Status&) {};
    std::function<void(int orders)> resumed = [](int) {};
  };
  enum class Fate { kAcknowledged, kRefused, kTimedOut, kLost };

  // `stubs`: one a channel; every new connection takes the next of them.
  OrderStream(std::vector<Stub*> stubs, Listener listener, std::chrono::milliseconds give_up_after);
  ~OrderStream();
  OrderStream(const OrderStream&) = delete;
  OrderStream& operator=(const OrderStream&) = delete;

  // Begins with an order that was recommended; its updates count from 1. Following an order again changes nothing.
  void Follow(const Request& order);

  // Goes on with an order of before, of another process, say, from what was kept of it.
  void Follow(const Checkpoint& kept);

  // The order as of its last acknowledged update, with its request: what to keep so that another process can go on.
  Checkpoint Keep(const std::string& order_id);

  // Of an order that has ended: nothing more is known of it.
  void Forget(const std::string& order_id);

  // Numbers the update and sends it, or keeps it for when the stream is back. Its number. Throws std::out_of_range
  // for an order that is not followed; so do `Keep` and `Await`.
  std::uint64_t Send(Update update);

  // Waits until the update is acknowledged or refused. The number of a refused one is given back where the service did
  // not use it up and nothing was sent behind it; where something was, it is given to a `working` that changes nothing.
  Fate Await(const std::string& order_id, std::uint64_t sequence, std::chrono::milliseconds limit);

  // Says that no more comes, and waits for the stream's end.
  grpc::Status Finish();

 private:
  // Sent and not acknowledged.
  struct Waiting {
    Update update;
    bool is_refused = false;  // its number is to be used by what changes nothing
    bool is_ahead = false;    // to be sent again when the order has come nearer
  };
  struct Order {
    Request request;
    Ledger ledger;  // after `acknowledged`
    std::uint64_t sent = 0;
    std::uint64_t written = 0;  // the last number that this connection was given
    std::uint64_t acknowledged = 0;
    std::uint64_t epoch = 0;
    std::uint64_t given = 0;          // the number under which this connection brought what changes nothing
    std::set<std::uint64_t> refused;  // the newest of them
    std::deque<Waiting> waiting;
    bool is_kept = false;   // from what was kept of it: resumed even on the first connection
    bool is_begun = false;  // on this connection
  };
  using Connection = grpc::ClientReaderWriter<Update, Answer>;

  void Run();
  grpc::Status RunOnce(Stub* stub);
  Connection* Connect(Stub* stub);
  void Begin(const std::string& order_id, Order order);
  void WriteOf(const std::string& order_id);
  bool Resume(const std::string& order_id, Order& order, std::vector<Update>& found) const;
  static void Unwritten(Order& order, std::vector<Update>& found);
  static Checkpoint Kept(const Order& order);
  void Take(const Answer& answer);
  std::vector<Update> Settle(const Answer& answer);
  static void Acknowledge(Order& order, std::uint64_t last);
  static bool Refuse(Order& order, const Answer& answer);
  static void RefuseOne(Order& order, const Refusal& refusal);
  static void Remember(Order& order, std::uint64_t refused);
  static std::vector<Update> Following(Order& order);
  static void PutNothing(Order& order, std::vector<Update>& found);
  bool WaitToRetry(const grpc::Status& status);

  const std::vector<Stub*> stubs_;
  const Listener listener_;
  const std::chrono::milliseconds give_up_after_;

  std::mutex writing_;  // taken before mutex_; held while a connection is made and while something is written
  std::mutex mutex_;    // never held while either may wait
  std::condition_variable changed_;
  std::map<std::string, Order> orders_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<Connection> connection_;
  bool open_ = false;
  bool finishing_ = false;
  bool over_ = false;
  bool had_connection_ = false;
  // Since when there is no connection that answers, or stood for long.
  std::optional<std::chrono::steady_clock::time_point> lost_since_;
  std::chrono::milliseconds backoff_{50};
  grpc::Status status_;
  std::thread thread_;
};

}  // namespace ess
