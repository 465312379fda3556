// A skewed all-to-all on a fat tree in SimGrid 3.32, to stand beside the fluid sharing.
//
// Usage: all_to_all HOSTS BYTES_PER_HOST. Prints one line per flow (sender, receiver, end in seconds, both
// counted from 0), then `cpu SECONDS`: the processor time of the run itself, without building the platform.
// Leaves of 16 hosts, 16 spines, every link 50 GB/s and 500 ns each way. Pair sizes spread from 0.2 to 1.8 of
// the mean by a multiplicative hash. CM02 without TCP window and cross traffic, as the example that runs this
// says: plain max-min sharing, with shares of one over the latency of the route.
#include <simgrid/s4u.hpp>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

namespace sg = simgrid::s4u;

static const double BANDWIDTH = 50e9;
static const double LATENCY   = 500e-9;
static const unsigned LEAF    = 16;

static std::vector<sg::Host*> hosts;
static std::vector<double> ends;

static std::pair<simgrid::kernel::routing::NetPoint*, simgrid::kernel::routing::NetPoint*>
make_host(sg::NetZone* zone, const std::vector<unsigned long>&, unsigned long id)
{
  hosts[id] = zone->create_host("h" + std::to_string(id), 1e12)->seal();
  return {hosts[id]->get_netpoint(), nullptr};
}

static uint64_t size_of(uint64_t from, uint64_t to, uint64_t mean)
{
  return mean * (1009 + 8 * ((from * 7919 + to * 104729) % 1009)) / 5045;
}

static void send_all(unsigned from, uint64_t mean)
{
  const unsigned num = hosts.size();
  std::vector<std::pair<unsigned, sg::CommPtr>> flows;
  for (unsigned turn = 1; turn < num; turn++) {
    const unsigned to = (from + turn) % num;
    flows.emplace_back(to, sg::Comm::sendto_async(hosts[from], hosts[to], size_of(from, to, mean)));
  }
  for (auto& [to, flow] : flows) {
    flow->wait();
    ends[from * num + to] = flow->get_finish_time();
  }
}

int main(int argc, char** argv)
{
  sg::Engine engine(&argc, argv);
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s HOSTS BYTES_PER_HOST\n", argv[0]);
    return 2;
  }
  const unsigned num   = std::strtoul(argv[1], nullptr, 10);
  const uint64_t bytes = std::strtoull(argv[2], nullptr, 10);
  hosts.resize(num);
  ends.resize(static_cast<size_t>(num) * num);
  const sg::FatTreeParams tree(2, {LEAF, num / LEAF}, {1, LEAF}, {1, 1});
  sg::create_fatTree_zone("tree", nullptr, tree, sg::ClusterCallbacks(make_host), BANDWIDTH, LATENCY,
                          sg::Link::SharingPolicy::SPLITDUPLEX)
      ->seal();
  for (unsigned from = 0; from < num; from++)
    sg::Actor::create("sender", hosts[from], send_all, from, bytes / num);
  const std::clock_t begin = std::clock();
  engine.run();
  const double cpu = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  for (unsigned from = 0; from < num; from++)
    for (unsigned to = 0; to < num; to++)
      if (from != to)
        std::printf("%u %u %.12e\n", from, to, ends[static_cast<size_t>(from) * num + to]);
  std::printf("cpu %.6f\n", cpu);
  return 0;
}
