# SPDX-License-Identifier: Apache-2.0
"""Knot Resolver's kresd, which brings its own malloc_conf: LuaJIT, an event loop, queries.

Its Lua asks the allocator about itself.
"""

import random
import re

import support

HOSTS = 3000

CONFIGURATION = """
net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})
cache.size = 16 * MB
modules = {{ 'hints > iterate', 'stats' }}
for i = 0, {hosts} - 1 do
  hints['host' .. i .. '.test'] = '10.0.' .. math.floor(i / 250) .. '.' .. (i % 250)
end
policy.add(policy.suffix(policy.PASS, {{ todname('test.') }}))
policy.add(policy.all(policy.DENY))
trust_anchors.remove('.')

local ffi = require('ffi')
ffi.cdef [[
  int mallctl(const char *, void *, size_t *, void *, size_t);
  void *malloc(size_t);
  extern const char *malloc_conf;
]]
local value, size = ffi.new('size_t[1]'), ffi.new('size_t[1]', 8)
local function allocated()
  local epoch = ffi.new('uint64_t[1]', 1)
  assert(ffi.C.mallctl('epoch', nil, nil, epoch, 8) == 0)
  assert(ffi.C.mallctl('stats.allocated', value, size, nil, 0) == 0)
  return tonumber(value[0])
end
local before = allocated()
for _ = 1, 1000 do assert(ffi.C.malloc(20000) ~= nil) end
local grown = allocated() - before
print('malloc_conf', ffi.string(ffi.C.malloc_conf))
print('counted', grown > 0.95 * 20000000 and grown < 1.1 * 20000000)
"""


class KresdTest(support.LinkedProgramTest):
    programs = ("kresd",)

    def test_queries(self):
        def workload(session):
            rng, port = random.Random(5), support.free_port()
            queries = session.directory / "queries"
            names = [f"host{rng.randrange(HOSTS)}.test" for _ in range(10000)]
            names += [f"host{number}.denied" for number in range(10000)]
            rng.shuffle(names)
            queries.write_text("".join(f"{name} A\n" for name in names))
            configuration = session.directory / "config"
            configuration.write_text(CONFIGURATION.format(port=port, hosts=HOSTS))
            results = []
            with session.server(["kresd", "-n", "-c", configuration, session.directory], port):
                for mode in ("udp", "tcp"):
                    text = session.run(
                        ["dnsperf", "-s", "127.0.0.1", "-p", port, "-d", queries, "-n", 2]
                        + ["-m", mode, "-c", 10, "-q", 50]
                    ).decode()
                    self.assertIn("Queries lost:         0 ", text)
                    results.append(re.search(r"Response codes: +(.*)", text)[1])
                dig = ["dig", "+short", "-p", port, "@127.0.0.1"]
                results.append(session.run(dig + ["host2999.test"]))
            log = (session.directory / f"kresd.{port}.log").read_text()
            results.append(re.findall(r"^(?:malloc_conf|counted)\t.*", log, re.MULTILINE))
            return results

        results = self.same_under_both(workload)
        self.assertEqual(results[2:], [b"10.0.11.249\n", ["malloc_conf\tnarenas:1", "counted\ttrue"]])
