# SPDX-License-Identifier: Apache-2.0
"""Writes the C++ program that test_cxx.py has both compilers compile: the same text every time.

It is all templates, containers, strings and lambdas, the things that make a compiler allocate.
The program prints one number, so that a wrong object file shows when it runs.
"""

_HEAD = """#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <regex>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

template <int N> struct Fibonacci {
  static constexpr long value = (Fibonacci<N - 1>::value + Fibonacci<N - 2>::value) % 1000003;
};
template <> struct Fibonacci<0> { static constexpr long value = 0; };
template <> struct Fibonacci<1> { static constexpr long value = 1; };

template <typename... T> long SumOfSizes(const std::tuple<T...>&) { return (0 + ... + sizeof(T)); }
"""

_UNIT = """
namespace unit{n} {{
struct Record {{ long id; std::string name; std::vector<double> values; char pad[{pad}]; }};
using Key = std::tuple<int, std::string, std::array<char, {key}>>;
using Value = std::variant<int, std::string, std::vector<Record>, std::shared_ptr<Record>>;
long Run(long seed) {{
  std::map<Key, Value> ordered;
  std::unordered_map<std::string, std::function<long(long)>> table;
  for (long i = 0; i < {count}; ++i) {{
    seed = (seed * 69069 + {n}) & 0xffffff;
    ordered[Key{{int(seed % 97), std::to_string(i), {{}}}}] =
        std::make_shared<Record>(Record{{seed, "r" + std::to_string(seed), {{1.5, 2.5}}, {{}}}});
    table["k" + std::to_string(seed % 31)] = [seed, i](long x) {{ return x + seed * i; }};
  }}
  long sum = Fibonacci<{fib}>::value + SumOfSizes(Key{{}});
  for (const auto& [key, value] : ordered) {{
    sum += std::get<0>(key) + std::visit([](const auto& v) -> long {{ return sizeof(v); }}, value);
  }}
  std::vector<std::string> names;
  for (auto& [name, function] : table) names.push_back(name + std::to_string(function(sum % 7)));
  std::sort(names.begin(), names.end(), std::greater<>());
  return std::accumulate(names.begin(), names.end(), sum, [](long total, const std::string& s) {{
    return (total * 31 + long(s.size()) + s.back()) % 1000000007;
  }});
}}
}}  // namespace unit{n}
"""


def program(units):
    """The text of a program of `units` namespaces, each with types of its own."""
    parts = [_HEAD.replace("#include <algorithm>", "#include <algorithm>\n#include <array>")]
    for n in range(units):
        parts.append(
            _UNIT.format(n=n, pad=8 + n * 5, key=4 + n * 3, count=20 + n, fib=60 + n * 40)
        )
    parts.append("\nint main() {\n")
    parts.append('  long sum = std::regex_match("abc12", std::regex("[a-c]+1*2"));\n')
    parts.extend(f"  sum = unit{n}::Run(sum);\n" for n in range(units))
    parts.append('  std::printf("%ld\\n", sum);\n  return 0;\n}\n')
    return "".join(parts)
