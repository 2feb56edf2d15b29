package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/files"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/samples"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func newSandbox() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve a local Kusto endpoint over sample data or your own",
		Long: `Serve a Kusto endpoint on this machine, for laptops and CI: clients of Azure Data
Explorer talk to it as they talk to a cluster, without credentials. Microsoft's own
KQL parser analyses each query, and it is evaluated over sample tables whose rows
are made from the time, so that there is always fresh data.

With --data the tables are those of a directory, in place of the samples:

  DIR/<Table>.csv                        in the database NetDefaultDB
  DIR/<Database>/<Table>.csv             in that database
  DIR/<cluster>/<Database>/<Table>.csv   in cluster('<cluster>').database('<Database>')

A CSV begins with a line of name:type for each column, of Kusto's types; an empty
field is null. A <Table>.ndjson has one JSON object a line; the types follow from the
values, or from <Table>.schema, a line like the first of a CSV. Files are read once,
at the start. With --replay their times are moved: of each table, the latest value of
the first datetime column becomes the time of the start, and after it the rows come
again and again for ever, so that live windows have rows.

With --otlp it is also where metrics arrive: an OTLP/HTTP endpoint that prints the first
points of each request and keeps nothing.

What the sandbox does not support it refuses by name. Anything that reaches the
address can read it: keep it on loopback.`,
		Example: `  kusto2otlp sandbox
  kusto2otlp sandbox --listen 127.0.0.1:9000 --data ./tables --replay
  kusto2otlp sandbox --otlp 127.0.0.1:4318

  # in pipeline.yaml
  kusto:
    - {name: local, endpoint: "http://127.0.0.1:8080", databases: [TelemetryDB], auth: {type: none}}`,
		Args: noArgs,
	}
	listen := cmd.Flags().String("listen", sandbox.DefaultListen, "`host:port` to listen on; port 0 takes a free one")
	data := cmd.Flags().String("data", "", "serve the CSV and NDJSON tables of this `directory` in place of the samples")
	replay := cmd.Flags().Bool("replay", false, "move the times of --data to now, and repeat its rows for ever")
	metrics := cmd.Flags().String("otlp", "", "serve an OTLP endpoint at this `host:port` too, and print what arrives")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, _, err := net.SplitHostPort(*listen); err != nil {
			return usageError{fmt.Errorf("--listen must be host:port, got %q", *listen)}
		}
		if _, _, err := net.SplitHostPort(*metrics); *metrics != "" && err != nil {
			return usageError{fmt.Errorf("--otlp must be host:port, got %q", *metrics)}
		}
		if *replay && *data == "" {
			return usageError{fmt.Errorf("--replay needs --data")}
		}
		cfg := sandbox.Config{Listen: *listen, Source: samples.Source{}, Catalog: samples.Source{}.Catalog()}
		if *data != "" {
			d, err := files.Load(*data)
			if err != nil {
				return err
			}
			cfg.Source, cfg.Catalog = d.Source(), d.Catalog()
			if *replay {
				cfg.Source = d.Replay(time.Now())
			}
		}
		s, err := sandbox.New(cfg)
		if err != nil {
			return err
		}
		if err := s.Start(); err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "a Kusto endpoint is at %s until Ctrl-C, with\n\n", s.URL())
		if err := printCatalog(out, cfg.Catalog); err != nil {
			return err
		}
		if err := printExample(out, s.URL(), cfg.Catalog); err != nil {
			return err
		}
		if *metrics != "" {
			end, err := startOTLP(*metrics, out)
			if err != nil {
				return errors.Join(err, s.Close())
			}
			defer func() { _ = end.Close() }()
			fmt.Fprintf(out, "an OTLP endpoint is at %s\n\n", end.Endpoint(""))
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

// printExample shows how to ask for rows of the first table, as a shell takes it.
func printExample(out io.Writer, url string, catalog table.Catalog) error {
	for _, d := range catalog {
		if len(d.Tables) == 0 {
			continue
		}
		if d.Cluster != "" {
			url += "/" + d.Cluster
		}
		name := d.Tables[0].Name
		if !isName(name) {
			name = `["` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"]`
		}
		body, err := json.Marshal(map[string]string{"db": d.Name, "csl": name + " | take 3"})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\nTry it:\n\n  curl -s %s/v1/rest/query -H 'Content-Type: application/json' \\\n    -d '%s'\n\n",
			url, strings.ReplaceAll(string(body), "'", `'\''`))
		return nil
	}
	return nil
}

// isName reports that KQL takes a name without brackets and quotes.
func isName(s string) bool {
	for i, c := range s {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
