package pipe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoMessage says that a stream has no such message.
var ErrNoMessage = errors.New("no message")

// Get returns the last message on a subject, which may have wildcards;
// ErrNoMessage if there is none. Any replica may answer, but that there is none
// only the leader is believed: a replica that lags behind does not know better.
func (p *Pipe) Get(ctx context.Context, stream, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	s, err := p.JS.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", subject, err)
	}
	msg, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return GetFromLeader(ctx, p.JS, stream, GetRequest{LastBySubject: subject})
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", subject, err)
	}
	return msg, nil
}

// Removed says whether a message of a KV bucket is what stands in the place of a removed
// entry.
func Removed(m *jetstream.RawStreamMsg) bool { return m.Header.Get("KV-Operation") != "" }

// GetRequest names a message of a stream, by its sequence, as the first from a sequence
// on that is on a subject, or as the last on a subject.
type GetRequest struct {
	Seq           uint64 `json:"seq,omitempty"`
	NextBySubject string `json:"next_by_subj,omitempty"` // with Seq; may have wildcards
	LastBySubject string `json:"last_by_subj,omitempty"`
}

// GetFromLeader returns a message; ErrNoMessage if there is none. It asks the
// stream's leader: to a replica that lags behind, what was just stored looks like
// what was just removed.
func GetFromLeader(ctx context.Context, js jetstream.JetStream, stream string, request GetRequest) (*jetstream.RawStreamMsg, error) {
	fail := func(err error) (*jetstream.RawStreamMsg, error) {
		if request.LastBySubject != "" {
			return nil, fmt.Errorf("get %s: %w", request.LastBySubject, err)
		}
		if request.NextBySubject != "" {
			return nil, fmt.Errorf("get %s from message %d of stream %s on: %w", request.NextBySubject, request.Seq, stream, err)
		}
		return nil, fmt.Errorf("get message %d of stream %s: %w", request.Seq, stream, err)
	}
	body, err := json.Marshal(request)
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	answer, err := js.Conn().RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.MSG.GET."+stream, body)
	if err != nil {
		return fail(err)
	}
	var response struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &response); err != nil {
		return fail(err)
	}
	if e := response.Error; e != nil {
		if e.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return fail(ErrNoMessage)
		}
		return fail(e)
	}
	if response.Message == nil {
		return fail(errors.New("the answer has no message"))
	}
	m := &jetstream.RawStreamMsg{Subject: response.Message.Subject, Sequence: response.Message.Seq,
		Data: response.Message.Data, Time: response.Message.Time}
	if len(response.Message.Header) > 0 {
		if m.Header, err = nats.DecodeHeadersMsg(response.Message.Header); err != nil {
			return fail(err)
		}
	}
	return m, nil
}
