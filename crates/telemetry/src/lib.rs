//! Our own metrics: registry, counters, gauges, histograms.
