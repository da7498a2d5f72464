// SPDX-License-Identifier: Apache-2.0
//
// The part of workload.h that is not on a measured path.

#include "benchmarks/workloads/workload.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"

ABSL_FLAG(double, scale, 1, "multiplies the work done");
ABSL_FLAG(int, threads, 1, "threads that run at the same time");
ABSL_FLAG(std::string, interface, "malloc", "malloc, new (new/delete) or sized (sized delete)");

namespace spanmalloc::workloads {

void Start(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const std::string_view interface = Interface();
  if (interface != "malloc" && interface != "new" && interface != "sized") {
    fprintf(stderr, "--interface must be malloc, new or sized\n");
    exit(2);
  }
  if (ThreadCount() < 1 || absl::GetFlag(FLAGS_scale) <= 0) {
    fprintf(stderr, "--threads and --scale must be positive\n");
    exit(2);
  }
}

size_t Scaled(size_t work) {
  return std::max<size_t>(1, static_cast<size_t>(work * absl::GetFlag(FLAGS_scale)));
}

int ThreadCount() { return absl::GetFlag(FLAGS_threads); }

std::string_view Interface() {
  static const std::string interface = absl::GetFlag(FLAGS_interface);
  return interface;
}

int Finish(std::string_view workload, uint64_t checksum) {
  printf("%.*s checksum %016llx\n", static_cast<int>(workload.size()), workload.data(),
         static_cast<unsigned long long>(checksum));
  return 0;
}

void FailOutOfMemory() {
  fprintf(stderr, "an allocation failed\n");
  exit(1);
}

void ReportMetric(std::string_view name, double value) {
  fprintf(stderr, "metric %.*s %.6g\n", static_cast<int>(name.size()), name.data(), value);
}

double ResidentMib() {
  FILE* statm = fopen("/proc/self/statm", "r");
  size_t pages = 0;
  if (statm == nullptr || fscanf(statm, "%*u %zu", &pages) != 1) {
    fprintf(stderr, "cannot read /proc/self/statm\n");
    exit(1);
  }
  fclose(statm);
  return static_cast<double>(pages * static_cast<size_t>(sysconf(_SC_PAGESIZE))) / (1 << 20);
}

}  // namespace spanmalloc::workloads
