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
  std::lock_guard lock(mutex_);
  Order& followed = orders_[order.order_id()];
  followed.request = order;
  followed.ledger = Ledger(order.quantity());
}

std::uint64_t OrderStream::Send(Update update) {
  std::lock_guard writing(writing_);
  Connection* connection = nullptr;
  {
    std::lock_guard lock(mutex_);
    Order& order = orders_.at(update.order_id());
    update.set_sequence(++order.sent);
    // A number that a refused update gave back has another fate now.
    order.refused.erase(order.sent);
    order.waiting.push_back({update});
    if (open_) connection = connection_.get();
  }
  // Where it fails the reader sees the end of the connection, and the update goes out with the next.
  if (connection != nullptr) connection->Write(update);
  return update.sequence();
}

OrderStream::Fate OrderStream::Await(const std::string& order_id, std::uint64_t sequence,
                                     std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  Order& order = orders_.at(order_id);
  changed_.wait_for(lock, limit,
                    [&] { return over_ || order.acknowledged >= sequence || order.refused.count(sequence) > 0; });
  if (order.refused.count(sequence) > 0) return Fate::kRefused;
  if (order.acknowledged >= sequence) return Fate::kAcknowledged;
  return over_ ? Fate::kLost : Fate::kTimedOut;
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
  Connection* connection = nullptr;
  {
    std::lock_guard writing(writing_);
    {
      std::lock_guard lock(mutex_);
      if (finishing_ && had_connection_) return grpc::Status::OK;
      context_ = std::make_unique<grpc::ClientContext>();
      connection_ = stub->Adapt(context_.get());
      connection = connection_.get();
    }
    Resume(connection);
    std::lock_guard lock(mutex_);
    open_ = true;
    had_connection_ = true;
    if (finishing_) connection->WritesDone();
  }
  Answer answer;
  while (connection->Read(&answer)) Take(answer);
  {
    std::lock_guard writing(writing_);
    std::lock_guard lock(mutex_);
    open_ = false;
  }
  return connection->Finish();
}

void OrderStream::Resume(Connection* connection) {
  std::vector<Update> again;
  int resumed = 0;
  {
    std::lock_guard lock(mutex_);
    for (auto& [order_id, order] : orders_) {
      // Acknowledged to the end: nothing is left to say.
      if (order.ledger.ended() && order.waiting.empty()) continue;
      if (had_connection_ && order.sent > 0) {
        Update& update = again.emplace_back();
        update.set_order_id(order_id);
        update.mutable_resume()->set_acknowledged_sequence(order.acknowledged);
        update.mutable_resume()->set_epoch(order.epoch);
        order.ledger.Fill(update.mutable_resume());
        *update.mutable_resume()->mutable_request() = order.request;
        ++resumed;
      }
      order.given = 0;
      PutNothing(order, again);
      for (Waiting& one : order.waiting) {
        one.is_ahead = false;
        if (!one.is_refused) again.push_back(one.update);
      }
    }
  }
  for (const Update& update : again) connection->Write(update);
  if (resumed > 0) listener_.resumed(resumed);
}

void OrderStream::Take(const Answer& answer) {
  listener_.answered(answer);
  std::vector<Update> following;
  {
    std::lock_guard lock(mutex_);
    last_answer_ = Clock::now();
    backoff_ = kFirstBackoff;
    const auto found = orders_.find(answer.order_id());
    if (found == orders_.end()) return;
    Order& order = found->second;
    order.epoch = std::max(order.epoch, answer.epoch());
    const bool uncertain = Refuse(order, answer);
    Acknowledge(order, answer.acknowledged_sequence());
    order.acknowledged = std::max(order.acknowledged, answer.acknowledged_sequence());
    following = Following(order);
    // The next connection sends again what waits.
    if (uncertain && !order.waiting.empty() && context_) context_->TryCancel();
    changed_.notify_all();
  }
  if (following.empty()) return;
  std::lock_guard writing(writing_);
  {
    std::lock_guard lock(mutex_);
    if (!open_) return;
  }
  for (const Update& update : following) connection_->Write(update);
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
  if (IsFinal(status.error_code()) || Clock::now() - last_answer_ > give_up_after_) return false;
  lock.unlock();
  listener_.cut(status);
  lock.lock();
  changed_.wait_for(lock, backoff_, [this] { return finishing_; });
  backoff_ = std::min(2 * backoff_, kMostBackoff);
  return !finishing_;
}

}  // namespace ess
