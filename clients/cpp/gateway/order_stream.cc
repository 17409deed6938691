#include "gateway/order_stream.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace ess {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kFirstBackoff{50};
constexpr std::chrono::milliseconds kMostBackoff{1000};

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

// The service could not record an update, whatever it was: it is not known to have been lost, so its number is not given
// to another.
bool IsWorthRepeating(std::string error) {
  std::transform(error.begin(), error.end(), error.begin(), [](unsigned char one) { return std::tolower(one); });
  return error.find("send it again") != std::string::npos;
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
    order.refused = std::min(order.refused, order.sent - 1);
    order.waiting.push_back(update);
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
                    [&] { return over_ || order.acknowledged >= sequence || order.refused >= sequence; });
  if (order.refused >= sequence) return Fate::kRefused;
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
      again.insert(again.end(), order.waiting.begin(), order.waiting.end());
    }
  }
  for (const Update& update : again) connection->Write(update);
  if (resumed > 0) listener_.resumed(resumed);
}

void OrderStream::Take(const Answer& answer) {
  listener_.answered(answer);
  std::lock_guard lock(mutex_);
  last_answer_ = Clock::now();
  backoff_ = kFirstBackoff;
  const auto found = orders_.find(answer.order_id());
  if (found == orders_.end()) return;
  Order& order = found->second;
  order.epoch = std::max(order.epoch, answer.epoch());
  const bool again = IsWorthRepeating(answer.error());
  if (!answer.error().empty() && !again && !order.waiting.empty()) {
    // With one update in flight it is this one. Refused in its turn it used its number up; malformed, it didn't.
    order.refused = order.waiting.back().sequence();
    order.waiting.pop_back();
    if (answer.acknowledged_sequence() < order.refused) order.sent = order.refused - 1;
  }
  while (!order.waiting.empty() && order.waiting.front().sequence() <= answer.acknowledged_sequence()) {
    order.ledger.Apply(order.waiting.front());
    order.waiting.pop_front();
  }
  order.acknowledged = std::max(order.acknowledged, answer.acknowledged_sequence());
  // The next connection sends again what waits.
  if (again && !order.waiting.empty() && context_) context_->TryCancel();
  changed_.notify_all();
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
