# SPDX-License-Identifier: Apache-2.0
"""Generates the inputs of the real programs: C++ source, SQL, scripts, a document, a formula, JSON.

All of them are deterministic and grow with `scale`. Called by programs.py.
"""

import json
import random

_CPP_HEAD = """\
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

template <int N> struct Fibonacci {
  static constexpr long value = Fibonacci<N - 1>::value + Fibonacci<N - 2>::value;
};
template <> struct Fibonacci<0> { static constexpr long value = 0; };
template <> struct Fibonacci<1> { static constexpr long value = 1; };
"""

_CPP_CLASS = """
struct Record{0} {{
  std::string name;
  std::map<int, std::vector<std::string>> table;
  std::variant<int, double, std::string, std::set<long>> value;
  long number[{1}];
}};
long Use{0}(std::vector<Record{0}>& records) {{
  std::sort(records.begin(), records.end(),
            [](const auto& a, const auto& b) {{ return a.name < b.name; }});
  long sum = Fibonacci<{1}>::value;
  for (const auto& record : records) {{
    std::visit([&](const auto& v) {{ sum += sizeof(v); }}, record.value);
    for (const auto& [key, strings] : record.table) sum += key * strings.size();
  }}
  return sum;
}}
"""


def cpp_source(scale):
    """A C++ file whose compilation is mostly templates."""
    count = max(1, round(10 * scale))
    return _CPP_HEAD + "".join(_CPP_CLASS.format(i, 10 + i % 30) for i in range(count))


def sql_script(scale):
    """SQL for an in-memory database: inserts, an index, joins, updates, deletes."""
    generator = random.Random(1)
    count = max(1, round(60000 * scale))
    lines = [
        "CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, city TEXT, born INTEGER);",
        "CREATE TABLE payment(id INTEGER PRIMARY KEY, person INTEGER, amount INTEGER, note TEXT);",
        "BEGIN;",
    ]
    for i in range(count):
        name = "n" * generator.randrange(4, 40)
        lines.append(f"INSERT INTO person VALUES({i},'{name}{i % 977}','city {i % 331}',"
                     f"{generator.randrange(1930, 2020)});")
        lines.append(f"INSERT INTO payment VALUES({i},{generator.randrange(count)},"
                     f"{generator.randrange(10000)},'{'x' * generator.randrange(0, 90)}');")
    lines += [
        "COMMIT;",
        "CREATE INDEX payment_of_person ON payment(person);",
        "CREATE INDEX person_of_city ON person(city, name);",
        "SELECT city, count(*), sum(amount) FROM person JOIN payment ON person.id = person"
        " GROUP BY city ORDER BY 3 DESC LIMIT 10;",
        "SELECT group_concat(substr(name, 1, 8)) FROM person WHERE born % 17 = 3 AND city < 'c';",
        "UPDATE payment SET note = note || ' checked' WHERE amount % 3 = 0;",
        "DELETE FROM payment WHERE amount % 5 = 1;",
        "SELECT count(*), sum(length(note)) FROM payment;",
        "SELECT count(DISTINCT name || city) FROM person;",
    ]
    return "\n".join(lines) + "\n"


_PYTHON = """\
import random
generator = random.Random(1)
total = 0
for turn in range({turns}):
    words = ["%x" % generator.getrandbits(generator.choice((16, 32, 64, 400)))
             for _ in range(40000)]
    counts = {{}}
    for word in words:
        counts.setdefault(word[:3], []).append(word)
    objects = [{{"id": i, "name": word, "tags": [word[:4], word[-4:]], "pair": (i, turn)}}
               for i, word in enumerate(words)]
    generator.shuffle(objects)
    del objects[::2]
    total += sum(len(item["name"]) + item["pair"][0] for item in objects)
    text = ",".join(word for key in sorted(counts) for word in counts[key])
    total += len(set(text.split(",")))
print(total)
"""


def python_script(scale):
    """A Python program of dictionaries, lists and strings."""
    return _PYTHON.format(turns=max(1, round(5 * scale)))


_PERL = """\
use strict;
use warnings;
my $seed = 1;
sub below {{ $seed = ($seed * 1103515245 + 12345) % 2147483648; return int($seed / 256) % $_[0]; }}
my $total = 0;
for my $turn (1 .. {turns}) {{
  my %lengths;
  my @records;
  for my $i (0 .. 29999) {{
    my $word = chr(97 + below(26)) x below(60) . below(5000);
    push @{{$lengths{{length $word}}}}, $word;
    push @records, {{ id => $i, name => $word, tags => [split //, substr($word, 0, 4)] }};
  }}
  @records = grep {{ below(3) }} @records;
  $total += scalar(@$_) for values %lengths;
  my $text = join ",", sort map {{ $_->{{name}} }} @records;
  $text =~ s/a+(\\d)/<$1>/g;
  $total += length $text;
}}
print "$total\\n";
"""


def perl_script(scale):
    """A Perl program of hashes, arrays of strings and regular expressions."""
    return _PERL.format(turns=max(1, round(5 * scale)))


_LUA = """\
local seed = 1
local function below(n) seed = (seed * 1103515245 + 12345) % 2147483648; return seed // 256 % n end
local total = 0
for turn = 1, {turns} do
  local records, of_length = {{}}, {{}}
  for i = 1, 30000 do
    local name = string.rep(string.char(97 + below(26)), below(60)) .. below(5000)
    local record = {{id = i, name = name, tags = {{name:sub(1, 4), name:sub(-4)}}}}
    record.length = function() return #record.name end
    records[#records + 1] = record
    of_length[#name] = of_length[#name] or {{}}
    table.insert(of_length[#name], record)
  end
  for i = #records, 1, -1 do
    if below(3) == 0 then records[i] = records[#records]; records[#records] = nil end
  end
  table.sort(records, function(a, b)
    return a.name < b.name or (a.name == b.name and a.id < b.id)
  end)
  local parts = {{}}
  for i, record in ipairs(records) do parts[i] = record.name:gsub("a+(%d)", "<%1>") end
  total = total + #table.concat(parts, ",")
  for length = 0, 70 do total = total + #(of_length[length] or {{}}) * length end
  for i = 1, #records, 7 do total = total + records[i].length() end
end
print(total)
"""


def lua_script(scale):
    """A Lua program of tables, strings and closures."""
    return _LUA.format(turns=max(1, round(6 * scale)))


def postscript(scale):
    """A document of text, curves, dashes, gradients and patterns of clipping."""
    generator = random.Random(1)
    lines = ["%!PS"]
    for _ in range(max(1, round(12 * scale))):
        for i in range(60):
            font = generator.choice(("Times-Roman", "Helvetica", "Courier", "Times-Italic"))
            words = " ".join("%x" % generator.getrandbits(32) for _ in range(8))
            lines.append(f"/{font} findfont {generator.randrange(6, 14)} scalefont setfont "
                         f"40 {760 - 12 * i} moveto ({words}) show")
        for _ in range(400):
            points = " ".join(str(generator.randrange(600)) for _ in range(6))
            color = " ".join(f"{generator.random():.2f}" for _ in range(3))
            lines.append(f"gsave {color} setrgbcolor [{generator.randrange(1, 9)}] 0 setdash "
                         f"{generator.randrange(600)} {generator.randrange(800)} moveto "
                         f"{points} curveto {generator.choice(('stroke', 'fill'))} grestore")
        for _ in range(6):
            x, y = generator.randrange(500), generator.randrange(700)
            lines.append(f"gsave newpath {x} {y} 60 0 360 arc clip << /ShadingType 3 /ColorSpace "
                         f"/DeviceRGB /Coords [{x} {y} 0 {x} {y} 60] /Function << /FunctionType 2 "
                         "/Domain [0 1] /C0 [1 0 0] /C1 [0 0 1] /N 1 >> >> shfill grestore")
        lines.append("showpage")
    return "\n".join(lines) + "\n"


def smt_formula(scale):
    """SMT-LIB: a circuit of 32-bit operations with bounds on what goes in and comes out."""
    generator = random.Random(1)
    terms = [f"v{i}" for i in range(20)]
    lines = ["(set-logic QF_BV)"]
    lines += [f"(declare-const {name} (_ BitVec 32))" for name in terms]
    lines += [f"(assert (bvult {name} #x0000ffff))" for name in terms]
    for i in range(max(30, round(300 * scale))):
        operation = generator.choice(("bvadd", "bvxor", "bvand", "bvor", "bvsub"))
        lines.append(f"(define-fun t{i} () (_ BitVec 32) "
                     f"({operation} {generator.choice(terms[-40:])} {generator.choice(terms)}))")
        terms.append(f"t{i}")
    lines += [f"(assert (not (= {name} #x0000{generator.getrandbits(16):04x})))"
              for name in terms[-20:]]
    return "\n".join(lines + ["(check-sat)"]) + "\n"


def json_document(scale):
    """An array of objects with strings, numbers and lists."""
    generator = random.Random(1)
    return json.dumps([
        {
            "id": number,
            "name": "%x" % generator.getrandbits(generator.choice((32, 64, 200))),
            "city": f"city {generator.randrange(300)}",
            "born": generator.randrange(1930, 2020),
            "tags": ["%x" % generator.getrandbits(16) for _ in range(generator.randrange(6))],
            "place": {"x": generator.random(), "y": generator.random()},
        }
        for number in range(max(10, round(20000 * scale)))
    ])
