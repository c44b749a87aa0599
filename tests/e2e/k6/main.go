// A k6 with the StatsD output under the name its extension has: `k6 run --out output-statsd`.
//
// The extension (github.com/LeonAdato/xk6-output-statsd) is this very package, moved out of k6 after
// version 0.54. The Go module proxy does not serve the extension everywhere, k6 itself it does.
package main

import (
	"go.k6.io/k6/cmd"
	"go.k6.io/k6/output"
	"go.k6.io/k6/output/statsd"
)

func main() {
	output.RegisterExtension("output-statsd", statsd.New)
	cmd.Execute()
}
