#include "gateway/order_stream.h"

#include <algorithm>
#include <utility>

namespace ess {
namespace {

namespace v1 = execution_strategy::v1;

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kFirstBackoff{50};
constexpr std::chrono::milliseconds kMostBackoff{1000};
// So many updates of an order wait at the service for one before them.
constexpr std::uint64_t kMostHeld = 256;
constexpr std::size_t kMostRefused = 1000;

// Another connection would end the same way.
bool IsFinal(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::INVALID_ARGUMENT:
      return true;
    default:
      return false;
  }
}

}  // namespace

OrderStream::OrderStream(std::vector<Stub*> stubs, Listener listener, std::chrono::milliseconds give_up_after)
    : stubs_(std::move(stubs)), listener_(std::move(listener)), give_up_after_(give_up_after) {
  thread_ = std::thread([this] { Run(); });
}

OrderStream::~OrderStream() {
  {
    std::lock_guard lock(mutex_);
    finishing_ = true;
    if (context_) context_->TryCancel();
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void OrderStream::Follow(const Request& order) {
  Order followed;
  followed.request = order;
  Begin(order.order_id(), std::move(followed));
}

void OrderStream::Follow(const Checkpoint& kept) {
  Order followed;
  followed.request = kept.request();
  followed.ledger = Ledger(kept);
  followed.sent = followed.acknowledged = kept.acknowledged_sequence();
  followed.epoch = kept.epoch();
  followed.is_kept = true;
  Begin(kept.request().order_id(), std::move(followed));
}

void OrderStream::Begin(const std::string& order_id, Order order) {
  {
    std::lock_guard lock(mutex_);
    orders_.try_emplace(order_id, std::move(order));
  }
  WriteOf(order_id);
}

OrderStream::Checkpoint OrderStream::Keep(const std::string& order_id) {
  std::lock_guard lock(mutex_);
  return Kept(orders_.at(order_id));
}

void OrderStream::Forget(const std::string& order_id) {
  std::lock_guard lock(mutex_);
  orders_.erase(order_id);
  changed_.notify_all();
}

std::uint64_t OrderStream::Send(Update update) {
  std::uint64_t sequence = 0;
  const std::string order_id = update.order_id();
  {
    std::lock_guard lock(mutex_);
    Order& order = orders_.at(order_id);
    sequence = ++order.sent;
    update.set_sequence(sequence);
    // A number that a refused update gave back has another fate now.
    order.refused.erase(sequence);
    order.waiting.push_back({std::move(update)});
  }
  WriteOf(order_id);
  return sequence;
}

// Writes what this connection was not given of the order. Where there is none the next takes it along, and where it
// fails the reader sees its end.
void OrderStream::WriteOf(const std::string& order_id) {
  {
    std::lock_guard lock(mutex_);
    if (!open_) return;
  }
  std::lock_guard writing(writing_);
  std::vector<Update> found;
  {
    std::lock_guard lock(mutex_);
    const auto order = orders_.find(order_id);
    if (!open_ || order == orders_.end()) return;
    Resume(order_id, order->second, found);
    Unwritten(order->second, found);
  }
  for (const Update& update : found) connection_->Write(update);
}

OrderStream::Fate OrderStream::Await(const std::string& order_id, std::uint64_t sequence,
                                     std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  orders_.at(order_id);
  Fate fate = Fate::kTimedOut;
  changed_.wait_for(lock, limit, [&] {
    const auto order = orders_.find(order_id);
    if (order == orders_.end()) {
      fate = Fate::kLost;  // forgotten meanwhile
    } else if (order->second.refused.count(sequence) > 0) {
      fate = Fate::kRefused;
    } else if (order->second.acknowledged >= sequence) {
      fate = Fate::kAcknowledged;
    } else if (over_) {
      fate = Fate::kLost;
    }
    return fate != Fate::kTimedOut;
  });
  return fate;
}

grpc::Status OrderStream::Finish() {
  {
    std::lock_guard writing(writing_);
    std::lock_guard lock(mutex_);
    finishing_ = true;
    if (open_) connection_->WritesDone();
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  return status_;
}

void OrderStream::Run() {
  for (std::size_t attempt = 0;; ++attempt) {
    const grpc::Status status = RunOnce(stubs_[attempt % stubs_.size()]);
    if (!WaitToRetry(status)) {
      std::lock_guard lock(mutex_);
      status_ = status;
      over_ = true;
      changed_.notify_all();
      return;
    }
  }
}

grpc::Status OrderStream::RunOnce(Stub* stub) {
  Connection* const connection = Connect(stub);
  if (connection == nullptr) return grpc::Status::OK;
  const auto begun = Clock::now();
  Answer answer;
  while (connection->Read(&answer)) Take(answer);
  {
    std::lock_guard writing(writing_);
    std::lock_guard lock(mutex_);
    open_ = false;
    // It stood without having anything to answer.
    if (Clock::now() - begun >= give_up_after_) lost_since_.reset();
  }
  return connection->Finish();
}

// A connection that was given everything that waits; null where nothing more is wanted of one.
OrderStream::Connection* OrderStream::Connect(Stub* stub) {
  Connection* connection = nullptr;
  int resumed = 0;
  {
    std::lock_guard writing(writing_);
    grpc::ClientContext* context = nullptr;
    {
      std::lock_guard lock(mutex_);
      if (finishing_ && had_connection_) return nullptr;
      connection_.reset();
      context_ = std::make_unique<grpc::ClientContext>();
      context = context_.get();
      for (auto& [_, order] : orders_) order.is_begun = false;
    }
    // Waits until the channel is connected, or cannot be.
    std::unique_ptr<Connection> made = stub->Adapt(context);
    connection = made.get();
    for (std::vector<Update> found;; found.clear()) {
      {
        std::lock_guard lock(mutex_);
        for (auto& [order_id, order] : orders_) {
          if (Resume(order_id, order, found)) ++resumed;
          Unwritten(order, found);
        }
        if (found.empty()) {
          connection_ = std::move(made);
          open_ = true;
          had_connection_ = true;
          if (finishing_) connection->WritesDone();
          break;
        }
      }
      for (const Update& update : found) connection->Write(update);
    }
  }
  if (resumed > 0) listener_.resumed(resumed);
  return connection;
}

// What a connection begins with for the order, once: the resume, where the service knows the order from before.
bool OrderStream::Resume(const std::string& order_id, Order& order, std::vector<Update>& found) const {
  if (order.is_begun) return false;
  order.is_begun = true;
  order.given = 0;
  order.written = 0;
  for (Waiting& one : order.waiting) one.is_ahead = false;
  // Acknowledged to the end: nothing is left to say.
  if (order.ledger.ended() && order.waiting.empty()) return false;
  const bool is_known = order.is_kept || (had_connection_ && order.sent > 0);
  if (is_known) {
    Update& update = found.emplace_back();
    update.set_order_id(order_id);
    *update.mutable_resume() = Kept(order);
  }
  PutNothing(order, found);
  return is_known;
}

OrderStream::Checkpoint OrderStream::Kept(const Order& order) {
  Checkpoint kept;
  kept.set_acknowledged_sequence(order.acknowledged);
  kept.set_epoch(order.epoch);
  order.ledger.Fill(&kept);
  *kept.mutable_request() = order.request;
  return kept;
}

// What waits behind the last number that the connection was given.
void OrderStream::Unwritten(Order& order, std::vector<Update>& found) {
  auto first = order.waiting.end();
  while (first != order.waiting.begin() && std::prev(first)->update.sequence() > order.written) --first;
  for (; first != order.waiting.end(); ++first) {
    if (!first->is_refused) found.push_back(first->update);
  }
  order.written = order.sent;
}

// First taken, then told: whoever hears of an answer finds the stream as it is after it.
void OrderStream::Take(const Answer& answer) {
  const std::vector<Update> following = Settle(answer);
  listener_.answered(answer);
  changed_.notify_all();
  if (following.empty()) return;
  std::lock_guard writing(writing_);
  {
    std::lock_guard lock(mutex_);
    if (!open_) return;
  }
  for (const Update& update : following) connection_->Write(update);
}

// What of the order can go on now.
std::vector<OrderStream::Update> OrderStream::Settle(const Answer& answer) {
  std::lock_guard lock(mutex_);
  lost_since_.reset();
  backoff_ = kFirstBackoff;
  const auto found = orders_.find(answer.order_id());
  if (found == orders_.end()) return {};
  Order& order = found->second;
  order.epoch = std::max(order.epoch, answer.epoch());
  const bool uncertain = Refuse(order, answer);
  Acknowledge(order, answer.acknowledged_sequence());
  order.acknowledged = std::max(order.acknowledged, answer.acknowledged_sequence());
  // Where another session brought the order farther our next update comes behind it.
  order.sent = std::max(order.sent, order.acknowledged);
  order.written = std::min(order.written, order.sent);
  // As of exactly that number. After a fence too: a resume with older figures would take the other's fills away.
  if (answer.has_progress() && answer.acknowledged_sequence() == order.acknowledged) {
    order.ledger.Take(answer.progress());
  }
  std::vector<Update> following = Following(order);
  // The next connection sends again what waits.
  if (uncertain && !order.waiting.empty() && context_) context_->TryCancel();
  return following;
}

void OrderStream::Acknowledge(Order& order, std::uint64_t last) {
  while (!order.waiting.empty() && order.waiting.front().update.sequence() <= last) {
    if (!order.waiting.front().is_refused) order.ledger.Apply(order.waiting.front().update);
    order.waiting.pop_front();
  }
}

// Whether something could not be recorded, and is not known to have been lost.
bool OrderStream::Refuse(Order& order, const Answer& answer) {
  bool uncertain = false;
  for (const Refusal& refusal : answer.refusals()) {
    if (refusal.number() == v1::REFUSED_NUMBER_FENCED) {
      // What was acknowledged before it is ours. Whoever goes on with the order goes on from there: the numbers behind
      // are free again.
      if (refusal.sequence() > 0) Acknowledge(order, std::min(refusal.sequence() - 1, answer.acknowledged_sequence()));
      for (const Waiting& one : order.waiting) Remember(order, one.update.sequence());
      order.waiting.clear();
      order.acknowledged = std::max(order.acknowledged, answer.acknowledged_sequence());
      order.sent = order.acknowledged;
      return false;
    }
    uncertain = uncertain || refusal.number() == v1::REFUSED_NUMBER_UNCERTAIN;
    RefuseOne(order, refusal);
  }
  return uncertain;
}

void OrderStream::RefuseOne(Order& order, const Refusal& refusal) {
  const auto found = std::find_if(order.waiting.begin(), order.waiting.end(), [&](const Waiting& one) {
    return one.update.sequence() == refusal.sequence();
  });
  if (found == order.waiting.end() || refusal.number() == v1::REFUSED_NUMBER_UNCERTAIN) return;
  if (refusal.number() == v1::REFUSED_NUMBER_AHEAD) {
    found->is_ahead = true;
    return;
  }
  Remember(order, refusal.sequence());
  if (refusal.number() == v1::REFUSED_NUMBER_USED) {
    order.waiting.erase(found);
  } else if (refusal.sequence() == order.sent) {
    order.waiting.pop_back();
    --order.sent;
  } else {
    found->is_refused = true;
  }
}

void OrderStream::Remember(Order& order, std::uint64_t refused) {
  order.refused.insert(refused);
  if (order.refused.size() > kMostRefused) order.refused.erase(order.refused.begin());
}

// What lets the others go on where the number before them is free, and what came too far ahead before.
std::vector<OrderStream::Update> OrderStream::Following(Order& order) {
  std::vector<Update> found;
  PutNothing(order, found);
  for (Waiting& one : order.waiting) {
    if (!one.is_ahead || one.update.sequence() > order.acknowledged + kMostHeld) continue;
    one.is_ahead = false;
    if (!one.is_refused) found.push_back(one.update);
  }
  return found;
}

// An update that changes nothing, where the next number is free: by then the working quantity is certain. Once a
// connection, since where that is refused too nothing is taken of this order.
void OrderStream::PutNothing(Order& order, std::vector<Update>& found) {
  if (order.waiting.empty() || !order.waiting.front().is_refused) return;
  Update& update = order.waiting.front().update;
  const std::uint64_t sequence = update.sequence();
  if (sequence == order.given) return;
  order.given = sequence;
  const std::string order_id = update.order_id();
  update.Clear();
  update.set_order_id(order_id);
  update.set_sequence(sequence);
  update.mutable_working()->set_quantity(order.ledger.working());
  found.push_back(update);
}

bool OrderStream::WaitToRetry(const grpc::Status& status) {
  std::unique_lock lock(mutex_);
  if (finishing_ && status.ok()) return false;
  const auto now = Clock::now();
  if (!lost_since_) lost_since_ = now;
  if (IsFinal(status.error_code()) || now - *lost_since_ > give_up_after_) return false;
  lock.unlock();
  listener_.cut(status);
  lock.lock();
  changed_.wait_for(lock, backoff_, [this] { return finishing_; });
  backoff_ = std::min(2 * backoff_, kMostBackoff);
  return !finishing_;
}

}  // namespace ess
