#include "loadgen/streams.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "execution_strategy/v1/service.grpc.pb.h"
#include "gateway/refusal.h"
#include "loadgen/unary.h"

namespace ess::load {

namespace v1 = execution_strategy::v1;

namespace {

constexpr const char* kService = "/execution_strategy.v1.ExecutionStrategyService/";
constexpr std::size_t kFirstAnswerBytes = 120;
constexpr std::chrono::seconds kDrainLimit{10};

}  // namespace

// One call. Its own thread takes what comes back and keeps the stream writing; sent messages wait in a queue.
class MessageStream {
 public:
  MessageStream(grpc::GenericStub* stub, bool is_adapt) : is_adapt_(is_adapt) {
    call_ = stub->PrepareCall(&context_, std::string(kService) + (is_adapt ? "Adapt" : "EchoStream"), &queue_);
    call_->StartCall(&started_);
    thread_ = std::thread([this] { Run(); });
  }

  ~MessageStream() {
    context_.TryCancel();
    thread_.join();
  }

  void Begin(std::size_t part) {
    std::lock_guard lock(mutex_);
    block_ = Block{};
    block_.part = part;
  }

  void Send(std::string data, const std::string& order_id, std::uint64_t sequence, std::int64_t intended_ns) {
    std::lock_guard lock(mutex_);
    block_.latest_send_ns = std::max(block_.latest_send_ns, NowNs() - intended_ns);
    ++block_.sent;
    if (broken_) {
      ++block_.codes["UNAVAILABLE"];
      return;
    }
    ++open_;
    pending_[order_id].push_back({sequence, intended_ns});
    unsent_.push_back(Buffer(data));
    WriteNext();
  }

  // Waits for the answers, and gives what was counted.
  Block End() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kDrainLimit, [this] { return open_ == 0 || broken_; });
    if (open_ > 0) block_.codes["DEADLINE_EXCEEDED"] += open_;
    open_ = 0;
    pending_.clear();
    return block_;
  }

  std::size_t answer_bytes() const { return answer_bytes_.load(std::memory_order_relaxed); }

 private:
  struct Pending {
    std::uint64_t sequence;
    std::int64_t intended_ns;
  };

  void Run() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      const std::lock_guard lock(mutex_);
      if (broken_) continue;  // what was under way comes back before the queue ends
      if (!ok) {
        broken_ = true;
        context_.TryCancel();
        queue_.Shutdown();
        changed_.notify_all();
      } else if (tag == &started_) {
        is_started_ = true;
        call_->Read(&answer_, &answer_);
        WriteNext();
      } else if (tag == &answer_) {
        Take(NowNs());
        call_->Read(&answer_, &answer_);
      } else {
        is_writing_ = false;
        WriteNext();
      }
    }
  }

  void WriteNext() {
    if (!is_started_ || is_writing_ || unsent_.empty() || broken_) return;
    is_writing_ = true;
    call_->Write(unsent_.front(), &unsent_);
    unsent_.pop_front();
  }

  void Take(std::int64_t now_ns) {
    answer_bytes_.store(answer_.Length(), std::memory_order_relaxed);
    std::string order_id;
    std::uint64_t acknowledged = 0;
    bool refused = false;
    if (is_adapt_) {
      v1::StrategyAdaptation answer;
      answer.ParseFromString(Bytes(answer_));
      order_id = answer.order_id();
      acknowledged = answer.acknowledged_sequence();
      refused = !answer.error().empty();
    }
    // Echoes come in order, one a message; an acknowledgement stands for all numbers up to its own.
    std::deque<Pending>& waiting = pending_[order_id];
    while (!waiting.empty() && (!is_adapt_ || refused || waiting.front().sequence <= acknowledged)) {
      Count(now_ns, waiting.front().intended_ns, refused);
      waiting.pop_front();
      if (!is_adapt_ || refused) break;
    }
    if (open_ == 0) changed_.notify_all();
  }

  void Count(std::int64_t now_ns, std::int64_t intended_ns, bool refused) {
    ++block_.codes[refused ? "REFUSED" : "OK"];
    (refused ? block_.refused : block_.ok).Record(now_ns - intended_ns);
    if (!refused) ++block_.in_time;
    if (open_ > 0) --open_;
  }

  const bool is_adapt_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Block block_;
  std::map<std::string, std::deque<Pending>> pending_;
  std::deque<grpc::ByteBuffer> unsent_;
  std::uint64_t open_ = 0;
  std::atomic<std::size_t> answer_bytes_{kFirstAnswerBytes};
  grpc::ByteBuffer answer_;
  char started_ = 0;
  bool is_started_ = false;
  bool is_writing_ = false;
  bool broken_ = false;
  std::thread thread_;
};


StreamLoad::StreamLoad(const Options& options, Requests* requests,
                       const std::vector<std::shared_ptr<grpc::Channel>>& channels)
    : options_(options) {
  RecommendOrders(channels.front(), requests);
  for (int index = 0; index < options.streams; ++index) {
    grpc::GenericStub stub(channels[static_cast<std::size_t>(index) % channels.size()]);
    echo_.push_back(std::make_unique<MessageStream>(&stub, false));
    adapt_.push_back(std::make_unique<MessageStream>(&stub, true));
  }
  if (options.open_all) OpenAll();
}

StreamLoad::~StreamLoad() = default;

void StreamLoad::OpenAll() {
  // Some at a time, so that the answers keep up.
  constexpr std::size_t kAtOnce = 500;
  for (std::size_t sent = 0; sent < orders_.size();) {
    for (auto& stream : adapt_) stream->Begin(0);
    for (const std::size_t end = std::min(orders_.size(), sent + kAtOnce); sent < end; ++sent) {
      std::string order_id;
      std::uint64_t sequence = 0;
      std::string data = NextUpdate(&order_id, &sequence);
      adapt_[(turn_ - 1) % orders_.size() % adapt_.size()]->Send(std::move(data), order_id, sequence, NowNs());
    }
    for (auto& stream : adapt_) {
      const Block block = stream->End();
      if (block.ok.count() != block.sent) throw std::runtime_error("not every order could be opened");
    }
  }
}

void StreamLoad::RecommendOrders(const std::shared_ptr<grpc::Channel>& channel, Requests* requests) {
  const auto stub = v1::ExecutionStrategyService::NewStub(channel);
  // A template may be refused (an order too large for its constraints); another takes its place.
  for (std::size_t index = 0; orders_.size() < static_cast<std::size_t>(options_.adapt_orders); ++index) {
    if (index > 4 * requests->size() + 4 * static_cast<std::size_t>(options_.adapt_orders)) {
      throw std::runtime_error("too few of the templates can be decided");
    }
    v1::ExecutionStrategyRequest order;
    order.ParseFromString(requests->Recommend(index % requests->size(), requests->NewOrderId()));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    v1::ExecutionStrategyResponse answer;
    if (stub->Recommend(&context, order, &answer).ok()) {
      orders_.push_back({order.order_id(), std::max(answer.resolved_inputs().mid_price(), 0.01), 0});
    }
  }
}

std::string StreamLoad::NextUpdate(std::string* order_id, std::uint64_t* sequence) {
  FollowedOrder& order = orders_[turn_++ % orders_.size()];
  v1::StrategyAdaptationRequest update;
  update.set_order_id(order.id);
  update.set_sequence(++order.sequence);
  if (order.sequence % 2 == 1) {
    update.mutable_working()->set_quantity(1.0);
  } else {
    // So little that no order is ever filled: its life must outlast the run.
    update.mutable_fill()->set_execution_id("e" + std::to_string(order.sequence));
    update.mutable_fill()->set_quantity(0.0001);
    update.mutable_fill()->set_price(order.mid_price);
  }
  *order_id = order.id;
  *sequence = order.sequence;
  std::string data = update.SerializeAsString();
  update_bytes_ = data.size();
  return data;
}

std::string StreamLoad::NextEcho() {
  v1::EchoRequest echo;
  echo.set_payload(std::string(update_bytes_, 'x'));
  echo.set_response_bytes(static_cast<std::uint32_t>(adapt_.front()->answer_bytes()));
  return echo.SerializeAsString();
}

Block StreamLoad::Run(std::size_t part_index, std::mt19937_64* random) {
  const Part& part = options_.parts[part_index];
  const bool is_adapt = part.kind == Kind::kAdapt;
  auto& streams = is_adapt ? adapt_ : echo_;
  for (auto& stream : streams) stream->Begin(part_index);
  const std::int64_t begun_ns = NowNs();
  const std::int64_t end_ns = begun_ns + static_cast<std::int64_t>(options_.block_s * 1e9);
  Arrivals arrivals(part.rate_per_s, options_.poisson, random);
  for (std::int64_t moment_ns = begun_ns + arrivals.NextGapNs(); moment_ns < end_ns;
       moment_ns += arrivals.NextGapNs()) {
    SleepUntil(moment_ns);
    std::string order_id;
    std::uint64_t sequence = 0;
    std::string data = is_adapt ? NextUpdate(&order_id, &sequence) : NextEcho();
    // An order stays on its stream: another stream would be another owner.
    const std::size_t place = is_adapt ? (turn_ - 1) % orders_.size() : turn_++;
    streams[place % streams.size()]->Send(std::move(data), order_id, sequence, moment_ns);
  }
  Block whole = streams.front()->End();
  for (std::size_t index = 1; index < streams.size(); ++index) whole.Add(streams[index]->End());
  whole.elapsed_s = static_cast<double>(end_ns - begun_ns) / 1e9;
  return whole;
}

}  // namespace ess::load
