package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/samples"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func newSandbox() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve a local Kusto endpoint over sample data",
		Long: `Serve a Kusto endpoint on this machine, for laptops and CI: clients of Azure Data
Explorer talk to it as they talk to a cluster, without credentials. Microsoft's own
KQL parser analyses each query, and it is evaluated over sample tables whose rows
are made from the time, so that there is always fresh data.

What the sandbox does not support it refuses by name. Anything that reaches the
address can read it: keep it on loopback.`,
		Example: `  kusto2otlp sandbox
  kusto2otlp sandbox --listen 127.0.0.1:9000

  # in pipeline.yaml
  kusto:
    - {name: local, endpoint: "http://127.0.0.1:8080", databases: [TelemetryDB], auth: {type: none}}`,
		Args: noArgs,
	}
	listen := cmd.Flags().String("listen", sandbox.DefaultListen, "`host:port` to listen on; port 0 takes a free one")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, _, err := net.SplitHostPort(*listen); err != nil {
			return usageError{fmt.Errorf("--listen must be host:port, got %q", *listen)}
		}
		s, err := sandbox.New(sandbox.Config{Listen: *listen})
		if err != nil {
			return err
		}
		if err := s.Start(); err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "a Kusto endpoint is at %s until Ctrl-C, with\n\n", s.URL())
		if err := printCatalog(out, samples.Source{}.Catalog()); err != nil {
			return err
		}
		<-cmd.Context().Done()
		return s.Close()
	}
	return cmd
}

// printCatalog lists every table with its columns.
func printCatalog(out io.Writer, catalog table.Catalog) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, d := range catalog {
		for _, t := range d.Tables {
			name := d.Name + "." + t.Name
			if d.Cluster != "" {
				name = fmt.Sprintf("cluster('%s').database('%s').%s", d.Cluster, d.Name, t.Name)
			}
			columns := make([]string, len(t.Schema))
			for i, c := range t.Schema {
				columns[i] = c.Name + ":" + c.Type.String()
			}
			fmt.Fprintf(w, "  %s\t%s\n", name, strings.Join(columns, ", "))
		}
	}
	return w.Flush()
}
