package transformer

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// windowRowsLast is the field last of wire.WindowRows.
const windowRowsLast protowire.Number = 5

// visible is a [wire.WindowRows] whose last row batch is still encoded.
type visible struct {
	*wire.WindowRows
	spec *schemas.MetricsExporterSpec
	last []byte
	// batches is how many row batches there are: the parts, and last where it is set.
	batches int
}

// decodeVisible reads a message of an exporter's rows. Any error is for good.
func decodeVisible(data []byte, exporter string, lane schemas.Lane) (*visible, error) {
	v := &visible{WindowRows: new(wire.WindowRows)}
	has, err := v.decode(data)
	if err != nil {
		return nil, fmt.Errorf("decode window rows: %w", err)
	}
	job := v.Job
	id, err := schemas.ParseWindowID(job.GetWindow())
	if err != nil {
		return nil, fmt.Errorf("decode window rows: %w", err)
	}
	if v.spec, err = schemas.JobSpec(job); err != nil {
		return nil, err
	}
	switch {
	case id.Namespace != job.Namespace || id.Name != job.Name || id.Window != schemas.JobWindow(job):
		err = fmt.Errorf("they are for %s/%s %s", job.Namespace, job.Name, schemas.JobWindow(job))
	case v.spec.Exporter != exporter:
		err = fmt.Errorf("spec.exporter is %q, and the subject says %q", v.spec.Exporter, exporter)
	case job.Lane != string(lane):
		err = fmt.Errorf("lane is %q, and the subject says %q", job.Lane, lane)
	case v.Run == "":
		err = errors.New("they have no run")
	}
	if err != nil {
		return nil, fmt.Errorf("rows of window %s: %w", job.Window, err)
	}
	if v.batches = int(v.Parts); has {
		v.batches++
	}
	return v, nil
}

// decode reads everything but last through the generated code.
func (v *visible) decode(data []byte) (hasLast bool, err error) {
	var rest []byte
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeField(data)
		if n < 0 {
			return false, errCut
		}
		if num == windowRowsLast && typ == protowire.BytesType {
			if hasLast {
				return false, errors.New("two last row batches")
			}
			_, _, head := protowire.ConsumeTag(data)
			v.last, _ = protowire.ConsumeBytes(data[head:n])
			hasLast = true
		} else {
			rest = append(rest, data[:n]...)
		}
		data = data[n:]
	}
	return hasLast, proto.Unmarshal(rest, v.WindowRows)
}
