// SPDX-License-Identifier: Apache-2.0
//
// The installed new_handler is called again and again until it frees memory, removes itself,
// replaces itself or throws; nothrow forms call it as well and turn its bad_alloc into nullptr.

#include <sys/resource.h>

#include <initializer_list>
#include <new>

#include "tests/override/check.h"

namespace {

constexpr size_t kImpossible = PTRDIFF_MAX;
int calls;
void* reserve;

void ThrowOnFifth() {
  if (++calls == 5) throw std::bad_alloc();
}

void RemoveOnThird() {
  if (++calls == 3) std::set_new_handler(nullptr);
}

void ReleaseReserveOnFourth() {
  if (++calls == 4) free(reserve);
  if (calls > 100) FAIL("the reserve was freed and new still calls the handler");
}

struct Unusual {};
void ThrowUnusual() { throw Unusual(); }

template <typename Call>
void CheckForm(const char* form, bool throws, Call call) {
  for (auto handler : {&ThrowOnFifth, &RemoveOnThird}) {
    calls = 0;
    std::set_new_handler(handler);
    void* result = nullptr;
    bool thrown = false;
    try {
      result = check::Hide(call());
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    CHECK(result == nullptr, "%s returned %p", form, result);
    CHECK(thrown == throws, "%s %s", form, thrown ? "threw" : "did not throw");
    int expected = handler == &ThrowOnFifth ? 5 : 3;
    CHECK(calls == expected, "%s called the handler %d times, not %d", form, calls, expected);
  }
}

}  // namespace

int main() {
  const size_t size = check::Hide(kImpossible);
  const std::align_val_t align{128};
  CheckForm("new", true, [=] { return ::operator new(size); });
  CheckForm("new[]", true, [=] { return ::operator new[](size); });
  CheckForm("aligned new", true, [=] { return ::operator new(size, align); });
  CheckForm("aligned new[]", true, [=] { return ::operator new[](size, align); });
  CheckForm("nothrow new", false, [=] { return ::operator new(size, std::nothrow); });
  CheckForm("nothrow new[]", false, [=] { return ::operator new[](size, std::nothrow); });
  CheckForm("aligned nothrow new", false,
            [=] { return ::operator new(size, align, std::nothrow); });
  CheckForm("aligned nothrow new[]", false,
            [=] { return ::operator new[](size, align, std::nothrow); });

  // What the handler throws, of a type of its own, passes through the throwing form.
  bool unusual = false;
  std::set_new_handler(ThrowUnusual);
  try {
    check::Hide(::operator new(size));
  } catch (const Unusual&) {
    unusual = true;
  }
  CHECK(unusual, "the handler's exception did not reach the caller of new");

  // Real shortage, ended by the handler: the request then succeeds.
  const size_t kLarge = 512u << 20;
  reserve = malloc(kLarge);
  rlimit limit;
  getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = check::AddressSpaceBytes() + (64u << 20);
  CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "cannot set RLIMIT_AS");
  calls = 0;
  std::set_new_handler(ReleaseReserveOnFourth);
  char* block = static_cast<char*>(check::Hide(::operator new(kLarge - (1u << 20))));
  CHECK(calls == 4, "the handler was called %d times before memory was free", calls);
  block[0] = block[kLarge - (2u << 20)] = 1;
  ::operator delete(block);
  return 0;
}
