package schemas

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// JobWindow returns the window that a job asks for.
func JobWindow(job *wire.WindowJob) Window {
	return Window{time.Unix(0, job.StartUnixNano).UTC(), time.Unix(0, job.EndUnixNano).UTC()}
}

// JobSpec returns the spec that a job carries.
func JobSpec(job *wire.WindowJob) (*MetricsExporterSpec, error) {
	var spec MetricsExporterSpec
	if err := json.Unmarshal(job.Spec, &spec); err != nil {
		return nil, fmt.Errorf("spec of window job %s: %w", job.Window, err)
	}
	return &spec, nil
}

// JobHeader returns the headers common to all messages about a job's window.
func JobHeader(job *wire.WindowJob, exporter string) nats.Header {
	h := nats.Header{}
	h.Set(HeaderWindow, job.Window)
	h.Set(HeaderLane, job.Lane)
	h.Set(HeaderExporter, exporter)
	if job.Request != "" {
		h.Set(HeaderRequest, job.Request)
	}
	return h
}

// JobMessage returns the message that asks for a job's window, whose rows are for an exporter.
func JobMessage(job *wire.WindowJob, exporter string) (*nats.Msg, error) {
	data, err := proto.Marshal(job)
	if err != nil {
		return nil, fmt.Errorf("encode window job %s: %w", job.Window, err)
	}
	m := &nats.Msg{
		Subject: JobSubject(job.Cluster, exporter, Lane(job.Lane), job.Namespace, job.Name, JobWindow(job).Start, job.Request),
		Header:  JobHeader(job, exporter),
		Data:    data,
	}
	m.Header.Set(HeaderVersion, strconv.Itoa(Version))
	return m, nil
}

// JobEvent returns an event about a job's window, to be filled in further.
func JobEvent(job *wire.WindowJob, stage Stage, kind EventType, at time.Time) *wire.Event {
	return &wire.Event{
		Type: string(kind), Stage: string(stage), AtUnixNano: at.UnixNano(),
		Window: job.Window, Namespace: job.Namespace, Name: job.Name, Generation: job.Generation,
		StartUnixNano: job.StartUnixNano, EndUnixNano: job.EndUnixNano,
		Lane: job.Lane, Request: job.Request,
	}
}
