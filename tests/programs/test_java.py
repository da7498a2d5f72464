# SPDX-License-Identifier: Apache-2.0
"""java: the virtual machine's own memory, direct buffers, deflate streams and threads."""

import support

SCRIPT = r"""
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.*;
import java.util.concurrent.*;
import java.util.zip.*;

public class Churn {
  static String work(int seed) throws Exception {
    Random random = new Random(seed);
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    ArrayDeque<ByteBuffer> live = new ArrayDeque<>();
    for (int i = 0; i < 1000; i++) {
      ByteBuffer buffer = ByteBuffer.allocateDirect(1 + random.nextInt(20000));
      while (buffer.hasRemaining()) buffer.put((byte) (random.nextInt(9) * buffer.position()));
      live.add(buffer.flip());
      if (live.size() > 60) digest.update(live.remove());
    }
    byte[] text = new byte[50000];
    for (int i = 0; i < 40; i++) {
      for (int j = 0; j < text.length; j++) text[j] = (byte) ('a' + random.nextInt(4));
      Deflater deflater = new Deflater(1 + i % 9);
      deflater.setInput(text);
      deflater.finish();
      byte[] packed = new byte[60000];
      int size = deflater.deflate(packed);
      deflater.end();
      Inflater inflater = new Inflater();
      inflater.setInput(packed, 0, size);
      byte[] unpacked = new byte[text.length];
      if (inflater.inflate(unpacked) != text.length) throw new Exception("short inflate");
      inflater.end();
      if (!Arrays.equals(text, unpacked)) throw new Exception("inflate differs");
      digest.update(packed, 0, size);
    }
    for (ByteBuffer buffer : live) digest.update(buffer);
    return HexFormat.of().formatHex(digest.digest());
  }

  public static void main(String[] arguments) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(4);
    List<Future<String>> results = new ArrayList<>();
    for (int i = 0; i < 8; i++) {
      int seed = i;
      results.add(pool.submit(() -> work(seed)));
    }
    for (Future<String> result : results) System.out.println(result.get());
    pool.shutdown();
  }
}
"""


class JavaTest(support.ProgramTest):
    programs = ("java",)

    def test_version_and_churn_program(self):
        def workload(session):
            (session.directory / "Churn.java").write_text(SCRIPT)
            version = session.run(["java", "--version"]).decode()
            self.assertIn("Runtime Environment", version)
            digests = session.run(["java", "-Xmx256m", "Churn.java"]).decode()
            self.assertEqual(len(digests.splitlines()), 8)
            return version, digests

        self.same_under_both(workload)
