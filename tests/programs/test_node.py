# SPDX-License-Identifier: Apache-2.0
"""node: buffers, JSON, compression streams and worker threads that pass buffers around."""

import support

SCRIPT = r"""
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');

function random(seed) {
  return (n) => { seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff; return seed % n; };
}

function work(seed) {
  const rnd = random(seed);
  const hash = crypto.createHash('sha256');
  const live = [];
  for (let i = 0; i < 20000; i++) {
    live.push(
      rnd(3) ? Buffer.alloc(1 + rnd(30000), i & 255) : Buffer.from('é'.repeat(rnd(900))));
    if (live.length > 300) hash.update(live.splice(rnd(live.length), 1)[0]);
  }
  const records = [];
  for (let i = 0; i < 12000; i++) {
    const tags = Array.from({ length: rnd(6) }, () => rnd(99));
    records.push({ id: i, name: 'n' + rnd(1e6), tags });
  }
  const text = JSON.stringify(records);
  hash.update(JSON.stringify(JSON.parse(text).reverse()));
  for (let level = 1; level < 10; level++) {
    const packed = zlib.deflateSync(text, { level });
    if (zlib.inflateSync(packed).toString() !== text) throw new Error('inflate differs');
    hash.update(packed);
  }
  const params = { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 };
  hash.update(zlib.brotliCompressSync(text, { params }));
  return Buffer.from(hash.digest('hex'));
}

if (isMainThread) {
  console.log('main ' + work(1));
  const answers = [2, 3, 4].map((seed) => new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: seed });
    worker.on('message', (bytes) => resolve(Buffer.from(bytes).toString()));
    worker.on('error', reject);
  }));
  Promise.all(answers).then((lines) => lines.forEach((line) => console.log('worker ' + line)));
} else {
  const answer = new Uint8Array(work(workerData));
  parentPort.postMessage(answer, [answer.buffer]);
}
"""


class NodeTest(support.ProgramTest):
    programs = ("node",)

    def test_churn_script(self):
        def workload(session):
            script = session.directory / "churn.js"
            script.write_text(SCRIPT)
            output = session.run(["node", script]).decode()
            self.assertEqual(len(output.splitlines()), 4)
            return output

        self.same_under_both(workload)
