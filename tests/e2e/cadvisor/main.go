// cadvisor: the program that container-agent is compared with, put together from cAdvisor's own
// packages. Its main package is no Go module one can ask for; this one does the same as far as
// /metrics goes: the manager, its housekeeping, both Prometheus collectors.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/google/cadvisor/lib/cache/memory"
	"github.com/google/cadvisor/lib/container"
	"github.com/google/cadvisor/lib/manager"
	"github.com/google/cadvisor/lib/metrics"
	info "github.com/google/cadvisor/lib/model"
	"github.com/google/cadvisor/lib/utils/sysfs"
	"github.com/google/cadvisor/summary"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/utils/clock"

	_ "github.com/google/cadvisor/container/docker/install"
	_ "github.com/google/cadvisor/container/podman/install"
	_ "github.com/google/cadvisor/fs/devicemapper/install"
	_ "github.com/google/cadvisor/lib/container/containerd/install"
	_ "github.com/google/cadvisor/lib/container/crio/install"
	_ "github.com/google/cadvisor/lib/container/systemd/install"
	_ "github.com/google/cadvisor/lib/fs/btrfs/install"
	_ "github.com/google/cadvisor/lib/fs/nfs/install"
	_ "github.com/google/cadvisor/lib/fs/overlay/install"
	_ "github.com/google/cadvisor/lib/fs/tmpfs/install"
	_ "github.com/google/cadvisor/lib/fs/vfs/install"
	_ "github.com/google/cadvisor/lib/fs/zfs/install"
)

func main() {
	manager.SummaryReaderFactory = func(spec info.ContainerSpec) (manager.SummaryReader, error) { return summary.New(spec) }
	disabled, enabled := container.MetricSet{}, container.MetricSet{}
	if err := disabled.Set("advtcp,cpu_topology,cpuset,hugetlb,memory_numa,process,referenced_memory,resctrl,sched,tcp,udp"); err != nil {
		log.Fatal(err)
	}
	ip := flag.String("listen_ip", "127.0.0.1", "")
	port := flag.Int("port", 8080, "")
	labels := flag.Bool("store_container_labels", true, "")
	whitelist := flag.String("whitelisted_container_labels", "", "")
	envs := flag.String("env_metadata_whitelist", "", "")
	prefixes := flag.String("raw_cgroup_prefix_whitelist", "", "")
	duration := flag.Duration("storage_duration", 2*time.Minute, "")
	flag.Var(&disabled, "disable_metrics", "")
	flag.Var(&enabled, "enable_metrics", "")
	flag.Parse()

	included := container.AllMetrics.Difference(disabled)
	if len(enabled) > 0 {
		included = enabled
	}
	m, err := manager.New(memory.New(*duration, nil), sysfs.NewRealSysFs(), manager.HousekeepingConfigFlags, included,
		strings.Split(*prefixes, ","), strings.Split(*envs, ","), "", 0)
	if err != nil {
		log.Fatal(err)
	}
	if err := m.Start(); err != nil {
		log.Fatal(err)
	}
	named := metrics.DefaultContainerLabels
	if !*labels {
		named = metrics.BaseContainerLabels(strings.Split(*whitelist, ","))
	}
	options := info.RequestOptions{IdType: info.TypeName, Count: 1, Recursive: true}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		metrics.NewPrometheusCollector(m, named, included, clock.RealClock{}, options),
		metrics.NewPrometheusMachineCollector(m, included),
	)
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	log.Fatal(http.ListenAndServe(fmt.Sprintf("%s:%d", *ip, *port), nil))
}
