#include "loadgen/unary.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "gateway/refusal.h"

namespace ess::load {
namespace {

constexpr int kSettlingEchoes = 3;
constexpr std::chrono::seconds kSettleLimit{10};

}  // namespace

std::int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

void SleepUntil(std::int64_t moment_ns) {
  const timespec moment{moment_ns / 1'000'000'000LL, moment_ns % 1'000'000'000LL};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, nullptr) == EINTR) {
  }
}

Arrivals::Arrivals(double rate_per_s, bool poisson, std::mt19937_64* random)
    : gap_ns_(1e9 / rate_per_s), poisson_(poisson), random_(random) {}

std::int64_t Arrivals::NextGapNs() {
  return static_cast<std::int64_t>(gap_ns_ * (poisson_ ? exponential_(*random_) : 1.0));
}

struct UnaryLoad::Call {
  grpc::ClientContext context;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
  grpc::ByteBuffer answer;
  grpc::Status status;
  Kind kind = Kind::kEcho;
  std::size_t index = 0;
  std::int64_t intended_ns = 0;
};

UnaryLoad::UnaryLoad(const Options& options, Requests* requests,
                     const std::vector<std::shared_ptr<grpc::Channel>>& channels)
    : options_(options), requests_(requests) {
  for (const auto& channel : channels) stubs_.push_back(std::make_unique<grpc::GenericStub>(channel));
  taker_ = std::thread([this] { Take(); });
}

UnaryLoad::~UnaryLoad() {
  queue_.Shutdown();
  taker_.join();
}

void UnaryLoad::Send(Kind kind, std::int64_t intended_ns, std::chrono::milliseconds deadline) {
  auto call = std::make_unique<Call>();
  Requests::Message message = requests_->Next(kind);
  call->kind = kind;
  call->index = message.index;
  call->intended_ns = intended_ns;
  call->context.set_deadline(std::chrono::system_clock::now() + deadline);
  auto& stub = stubs_[turn_.fetch_add(1, std::memory_order_relaxed) % stubs_.size()];
  call->reader = stub->PrepareUnaryCall(&call->context, message.method, message.data, &queue_);
  call->reader->StartCall();
  Call* tag = call.release();  // Take() owns it again
  tag->reader->Finish(&tag->answer, &tag->status, tag);
}

void UnaryLoad::Take() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
    const std::int64_t ended_ns = NowNs();
    const std::unique_ptr<Call> call(static_cast<Call*>(tag));
    if (call->status.ok() && call->kind != Kind::kEcho) requests_->Answered(call->index, call->answer.Length());
    bool again = false;
    {
      std::lock_guard lock(mutex_);
      Count(*call, ended_ns);
      again = ended_ns < refill_until_ns_;
      if (again) {
        ++block_.sent;
      } else if (--in_flight_ == 0) {
        all_ended_.notify_all();
      }
    }
    if (again) Send(call->kind, NowNs(), options_.deadline);
  }
}

void UnaryLoad::Count(const Call& call, std::int64_t ended_ns) {
  const std::int64_t latency_ns = ended_ns - call.intended_ns;
  ++block_.codes[CodeName(call.status.error_code())];
  if (call.status.ok()) {
    block_.ok.Record(latency_ns);
    if (ended_ns <= block_end_ns_) ++block_.in_time;
  } else {
    block_.refused.Record(latency_ns);
  }
}

void UnaryLoad::Warm() {
  for (int count = 0; count < options_.warm_calls; ++count) {
    for (const Kind kind : {Kind::kRecommend, Kind::kEcho}) SendOne(kind, options_.deadline);
  }
}

void UnaryLoad::SendOne(Kind kind, std::chrono::milliseconds deadline) {
  {
    std::lock_guard lock(mutex_);
    ++in_flight_;
  }
  Send(kind, NowNs(), deadline);
  WaitForAll();
}

void UnaryLoad::Settle() {
  for (int count = 0; count < kSettlingEchoes; ++count) SendOne(Kind::kEcho, kSettleLimit);
}

void UnaryLoad::WaitForAll() {
  std::unique_lock lock(mutex_);
  all_ended_.wait(lock, [this] { return in_flight_ == 0; });
}

void UnaryLoad::SendAll(const Part& part, std::int64_t end_ns, std::mt19937_64* random) {
  Arrivals arrivals(part.rate_per_s, options_.poisson, random);
  for (std::int64_t moment_ns = NowNs() + arrivals.NextGapNs(); moment_ns < end_ns;
       moment_ns += arrivals.NextGapNs()) {
    SleepUntil(moment_ns);
    const std::int64_t late_ns = NowNs() - moment_ns;
    {
      std::lock_guard lock(mutex_);
      block_.latest_send_ns = std::max(block_.latest_send_ns, late_ns);
      if (in_flight_ >= options_.most_in_flight) {
        ++block_.not_sent;
        continue;
      }
      ++in_flight_;
      ++block_.sent;
    }
    Send(part.kind, moment_ns, options_.deadline);
  }
}

Block UnaryLoad::Run(std::size_t part_index, std::mt19937_64* random) {
  const Part& part = options_.parts[part_index];
  const std::int64_t begun_ns = NowNs();
  const std::int64_t end_ns = begun_ns + static_cast<std::int64_t>(options_.block_s * 1e9);
  {
    std::lock_guard lock(mutex_);
    block_ = Block{};
    block_.part = part_index;
    block_end_ns_ = end_ns;
    refill_until_ns_ = part.open() ? 0 : end_ns;
    in_flight_ = part.in_flight;
    block_.sent = static_cast<std::uint64_t>(part.in_flight);
  }
  if (part.open()) {
    SendAll(part, end_ns, random);
    SleepUntil(end_ns);
  } else {
    for (int count = 0; count < part.in_flight; ++count) Send(part.kind, NowNs(), options_.deadline);
  }
  WaitForAll();
  Block done;
  {
    std::lock_guard lock(mutex_);
    refill_until_ns_ = 0;
    block_.elapsed_s = static_cast<double>(end_ns - begun_ns) / 1e9;
    done = block_;
  }
  Settle();
  return done;
}

}  // namespace ess::load
