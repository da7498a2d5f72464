// SPDX-License-Identifier: Apache-2.0
#include "allocator/heap/huge_page_advice.h"

#include <algorithm>

namespace spanmalloc {
namespace {

// A probe is dense if this share of it, of 16, is resident.
constexpr size_t kDense16ths = 15;

// A large span's last huge page is asked for although the span doesn't fill it if what is beyond
// the span is at most this share of it.
constexpr size_t kMaxSlackShare = 16;

// What a large span has beyond the last huge page asked for is a probe from 64 KiB on.
constexpr size_t kMinProbePages = 8;

// Spans of so many huge pages have a probe in any case.
constexpr size_t kAlwaysProbed = 16;

// However much was dense, no more is risked than 128 MiB.
constexpr ptrdiff_t kMaxCredit = 64;

// A sparse span turns the credit into a debt: each one into twice that of the one before, up to
// 8 GiB.
constexpr ptrdiff_t kMaxSetback = 4096;

// The first huge pages that are cut, and what small programs have: neither asked for nor probes.
constexpr size_t kMinCut = 24;

// Of those of a kind that follow, one of an eighth of those cut is a probe: so many are asked for
// after a program has changed its ways.
constexpr size_t kMinPeriod = 8;
constexpr size_t kMaxPeriod = 64;
constexpr size_t kPeriodShare = 8;

// A probe is judged when so many others have followed: what was cut from it has been handed out by
// then. Of those asked for the kernel is tried at one of kMinPeriod, and at the first after a
// pause.
constexpr size_t kJudged = kMinPeriod - 1;

size_t ProbePeriod(size_t cut) { return std::clamp(cut / kPeriodShare, kMinPeriod, kMaxPeriod); }

// A huge page takes about 100 us.
constexpr uint64_t kSlowNs = 2'000'000;
constexpr uint64_t kMinPauseMs = 16;
constexpr uint64_t kMaxPauseMs = 64'000;

}  // namespace

bool HugePageAdvice::IsDense(uintptr_t start, size_t bytes) const {
  return memory_.Resident(reinterpret_cast<void*>(start), bytes) * 16 >= bytes * kDense16ths;
}

void HugePageAdvice::ConcludeDense(Probe* probe) {
  credit_ += static_cast<ptrdiff_t>(probe->worth);
  if (credit_ > kMaxCredit) credit_ = kMaxCredit;
  probe->span = nullptr;
}

// Judges a probe that the program has had its time to fill.
void HugePageAdvice::Conclude(Probe* probe) {
  if (IsDense(probe->start, probe->bytes)) return ConcludeDense(probe);
  if (setback_ < kMaxSetback) setback_ *= 2;
  credit_ = -setback_;
  probe->span = nullptr;
}

// Takes the place of the oldest probe. The last pages are the probe: most blocks are filled from
// their start.
void HugePageAdvice::AddProbe(const Span* span, size_t unasked_pages) {
  if (unasked_pages < kMinProbePages) return;
  const size_t pages = unasked_pages < kPagesPerHugePage ? unasked_pages : kPagesPerHugePage;
  Probe* probe = &probes_[next_probe_++ % kProbes];
  if (probe->span != nullptr) Conclude(probe);
  *probe = {span, span->start + ((span->pages - pages) << kPageShift), pages << kPageShift,
            size_t{2} * span->huge_pages};
}

// Whether a span isn't dense yet. It may still be filled.
bool HugePageAdvice::HasOpenProbes() {
  bool open = false;
  for (Probe& probe : probes_) {
    if (probe.span == nullptr) continue;
    if (IsDense(probe.start, probe.bytes)) {
      ConcludeDense(&probe);
    } else {
      open = true;
    }
  }
  return open;
}

// Asked of the kernel when it matters first, not at the start of every process.
bool HugePageAdvice::MayAsk() {
  if (!knows_kernel_ && !memory_.GivesHugePages()) wish_ = HugePageWish::kNever;
  knows_kernel_ = true;
  if (wish_ == HugePageWish::kNever) return false;
  return pause_ms_ == 0 || clock_.NowMs() >= resume_ms_;
}

// Asks, and has the kernel find the first huge page at once. If that takes long, the others would
// too: they are asked for no more, nor others for some time.
void HugePageAdvice::AskAndTry(size_t index, size_t count) {
  pool_.Advise(index, count);
  if (memory_.TouchNs(pool_.AddressOf(index)) < kSlowNs) {
    pause_ms_ = 0;
    return;
  }
  pool_.AdviseAgainst(index);
  pause_ms_ = pause_ms_ == 0 ? kMinPauseMs : 2 * pause_ms_;
  if (pause_ms_ > kMaxPauseMs) pause_ms_ = kMaxPauseMs;
  resume_ms_ = clock_.NowMs() + pause_ms_;
}

void HugePageAdvice::OnLarge(const Span* span, const HugeRun& run) {
  if (wish_ == HugePageWish::kNever || run.clean_tail == 0) return;
  if (wish_ == HugePageWish::kAlways) {
    if (MayAsk()) pool_.Advise(run.index, run.count);
    return;
  }
  const bool doubt = HasOpenProbes();
  const size_t slack = run.count * kPagesPerHugePage - span->pages;
  const bool whole = slack <= span->pages / kMaxSlackShare && run.count < kAlwaysProbed;
  size_t count = whole ? run.clean_tail : run.clean_tail - 1;
  const size_t credit = credit_ > 0 && !doubt ? static_cast<size_t>(credit_) : 0;
  if (count > credit) count = credit;
  if (count != 0 && !MayAsk()) count = 0;
  const size_t unasked = run.clean_tail - count;
  if (count != 0) {
    AskAndTry(run.index + run.count - run.clean_tail, count);
    credit_ -= static_cast<ptrdiff_t>(count);
  }
  if (unasked != 0) AddProbe(span, unasked * kPagesPerHugePage - slack);
}

void HugePageAdvice::OnFree(const Span* span) {
  for (Probe& probe : probes_) {
    if (probe.span == span) Conclude(&probe);
  }
}

void HugePageAdvice::Forget(const Span* span) {
  for (Probe& probe : probes_) {
    if (probe.span == span) probe.span = nullptr;
  }
}

void HugePageAdvice::OnCut(size_t index, SpanKind kind, size_t cut) {
  if (wish_ == HugePageWish::kNever) return;
  if (wish_ == HugePageWish::kAlways) {
    if (MayAsk()) pool_.Advise(index, 1);
    return;
  }
  if (cut >= kMinCut) ContinueSeries(index, kind, cut);
}

void HugePageAdvice::ContinueSeries(size_t index, SpanKind kind, size_t cut) {
  Series& series = series_[static_cast<size_t>(kind)];
  if (series.probe == 0 || ++series.age >= ProbePeriod(cut)) {
    series.probe = index;
    series.age = 0;
    return;
  }
  if (series.age == kJudged) {
    series.dense =
        page_map_.HugePageAt(series.probe) != nullptr &&
        IsDense(reinterpret_cast<uintptr_t>(pool_.AddressOf(series.probe)), kHugePageSize);
  }
  if (!series.dense || !MayAsk()) return;
  if (pause_ms_ != 0 || series.age % kMinPeriod == kJudged) {
    AskAndTry(index, 1);
  } else {
    pool_.Advise(index, 1);
  }
}

}  // namespace spanmalloc
