package node

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// register has a scrape ask what /readyz asks.
func (h *health) register(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_ready", Help: "1 where /readyz is true, else 0."}, func() float64 {
		if _, ready := h.Report(context.Background()); !ready {
			return 0
		}
		return 1
	}))
}

// registerSpace shows how full the disk of a directory is, where the system says so.
func registerSpace(r prometheus.Registerer, dir string) {
	if _, _, err := diskSpace(dir); err != nil {
		return
	}
	gauge := func(name, help string, value func(size, free uint64) uint64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			size, free, err := diskSpace(dir)
			if err != nil {
				return 0
			}
			return float64(value(size, free))
		}))
	}
	gauge("rollcall_store_size_bytes", "Size of the disk of --data-dir.", func(size, _ uint64) uint64 { return size })
	gauge("rollcall_store_free_bytes", "Space on it that the program may still write.", func(_, free uint64) uint64 { return free })
}
