// Requests over bare gRPC: each line of standard input is one step, each line of standard output its outcome.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	_ "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

const (
	maxLineBytes     = 64 << 20
	maxMessageBytes  = 1 << 30
	defaultTimeoutMs = 20_000
	// Messages of one stream that were not asked for yet.
	maxUnreadMessages = 100_000
)

// One of: a call; the opening of a stream; a message on it; waiting for messages of it; its end.
type step struct {
	// Full name of a method, "etcdserverpb.KV/Range", of a call or with Open.
	Call string `json:"call"`
	// The request in protobuf's JSON form, or its bytes.
	Body     json.RawMessage   `json:"body"`
	Raw      []byte            `json:"raw"`
	Metadata map[string]string `json:"metadata"`
	// Of a call or of an await.
	TimeoutMs int `json:"timeoutMs"`

	Open      string `json:"open"`
	Send      string `json:"send"`
	HalfClose string `json:"halfClose"`
	Close     string `json:"close"`
	Await     string `json:"await"`
	// An await ends when a message has this field; when nothing came for IdleMs; or when the stream has ended.
	Until  string `json:"until"`
	IdleMs int    `json:"idleMs"`
}

// The messages in protobuf's JSON form, and the status of the call, or of the stream if HasEnded.
type outcome struct {
	Bodies   []json.RawMessage `json:"bodies"`
	Code     int               `json:"code"`
	Message  string            `json:"message"`
	HasEnded bool              `json:"hasEnded"`
	// A timeout of the driver, not an answer of the server.
	IsLate bool `json:"isLate"`
}

// Bytes in, bytes out: messages are encoded and decoded here.
type rawCodec struct{}

func (rawCodec) Marshal(value any) ([]byte, error) { return value.([]byte), nil }
func (rawCodec) Name() string                      { return "proto" }
func (rawCodec) Unmarshal(data []byte, value any) error {
	*value.(*[]byte) = append([]byte(nil), data...)
	return nil
}

type stream struct {
	grpc.ClientStream
	method   protoreflect.MethodDescriptor
	cancel   context.CancelFunc
	messages chan json.RawMessage
	// Receives once, after the last message.
	ended chan error
}

type driver struct {
	connection *grpc.ClientConn
	streams    map[string]*stream
}

func serveRequests(endpoint string, input io.Reader, output io.Writer) error {
	connection, err := grpc.NewClient(
		"passthrough:///"+endpoint,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
	)
	if err != nil {
		return err
	}
	defer connection.Close()
	d := driver{connection: connection, streams: map[string]*stream{}}
	lines := bufio.NewScanner(input)
	lines.Buffer(make([]byte, 1<<20), maxLineBytes)
	encoder := json.NewEncoder(output)
	encoder.SetEscapeHTML(false)
	for lines.Scan() {
		var one step
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return err
		}
		answer, err := d.perform(one)
		if err != nil {
			return fmt.Errorf("%s: %w", lines.Text(), err)
		}
		if answer.Bodies == nil {
			answer.Bodies = []json.RawMessage{}
		}
		if err := encoder.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (d *driver) perform(one step) (outcome, error) {
	switch {
	case one.Open != "":
		return d.open(one)
	case one.Send != "":
		return d.send(one)
	case one.HalfClose != "":
		s, err := d.stream(one.HalfClose)
		if err != nil {
			return outcome{}, err
		}
		return outcome{}, s.CloseSend()
	case one.Close != "":
		s, err := d.stream(one.Close)
		if err != nil {
			return outcome{}, err
		}
		s.cancel()
		delete(d.streams, one.Close)
		return outcome{}, nil
	case one.Await != "":
		return d.await(one)
	default:
		return d.call(one)
	}
}

func (d *driver) stream(name string) (*stream, error) {
	if s, ok := d.streams[name]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("there is no stream %q", name)
}

// A call whose answer is one message, or a stream of them until its end.
func (d *driver) call(one step) (outcome, error) {
	ctx, cancel := context.WithTimeout(withMetadata(one), timeoutOf(one))
	defer cancel()
	method := methodOf(one.Call)
	request, err := encoded(method, one)
	if err != nil {
		return outcome{}, err
	}
	description := grpc.StreamDesc{ServerStreams: method == nil || method.IsStreamingServer()}
	call, err := d.connection.NewStream(ctx, &description, "/"+one.Call)
	if err != nil {
		return late(ctx, ended(err)), nil
	}
	if err := call.SendMsg(request); err != nil && err != io.EOF {
		return late(ctx, ended(err)), nil
	}
	_ = call.CloseSend()
	var bodies []json.RawMessage
	for {
		var answer []byte
		err := call.RecvMsg(&answer)
		if err != nil {
			result := ended(err)
			result.Bodies = bodies
			return late(ctx, result), nil
		}
		body, err := decoded(method, answer)
		if err != nil {
			return outcome{}, err
		}
		bodies = append(bodies, body)
		if !description.ServerStreams {
			return outcome{Bodies: bodies}, nil
		}
	}
}

func (d *driver) open(one step) (outcome, error) {
	ctx, cancel := context.WithCancel(withMetadata(one))
	description := grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	opened, err := d.connection.NewStream(ctx, &description, "/"+one.Call)
	if err != nil {
		cancel()
		return ended(err), nil
	}
	s := &stream{
		ClientStream: opened, method: methodOf(one.Call), cancel: cancel,
		messages: make(chan json.RawMessage, maxUnreadMessages), ended: make(chan error, 1),
	}
	d.streams[one.Open] = s
	go s.receive()
	return outcome{}, nil
}

func (s *stream) receive() {
	for {
		var answer []byte
		err := s.RecvMsg(&answer)
		var body json.RawMessage
		if err == nil {
			body, err = decoded(s.method, answer)
		}
		if err != nil {
			s.ended <- err
			return
		}
		s.messages <- body
	}
}

func (d *driver) send(one step) (outcome, error) {
	s, err := d.stream(one.Send)
	if err != nil {
		return outcome{}, err
	}
	request, err := encoded(s.method, one)
	if err != nil {
		return outcome{}, err
	}
	if err := s.SendMsg(request); err != nil && err != io.EOF {
		return ended(err), nil
	}
	return outcome{}, nil
}

func (d *driver) await(one step) (outcome, error) {
	s, err := d.stream(one.Await)
	if err != nil {
		return outcome{}, err
	}
	deadline := time.After(timeoutOf(one))
	var result outcome
	for {
		var idle <-chan time.Time
		if one.IdleMs > 0 {
			idle = time.After(time.Duration(one.IdleMs) * time.Millisecond)
		}
		select {
		case body := <-s.messages:
			result.Bodies = append(result.Bodies, body)
			if one.Until != "" && strings.Contains(string(body), one.Until) {
				return result, nil
			}
		case <-idle:
			return result, nil
		case <-deadline:
			result.IsLate = true
			return result, nil
		case err := <-s.ended:
			s.ended <- err
			for len(s.messages) > 0 {
				result.Bodies = append(result.Bodies, <-s.messages)
			}
			last := ended(err)
			last.Bodies = result.Bodies
			last.HasEnded = true
			return last, nil
		}
	}
}

func ended(err error) outcome {
	if err == io.EOF {
		return outcome{}
	}
	of := status.Convert(err)
	return outcome{Code: int(of.Code()), Message: of.Message()}
}

func late(ctx context.Context, result outcome) outcome {
	result.IsLate = ctx.Err() != nil
	return result
}

func timeoutOf(one step) time.Duration {
	if one.TimeoutMs == 0 {
		return defaultTimeoutMs * time.Millisecond
	}
	return time.Duration(one.TimeoutMs) * time.Millisecond
}

func withMetadata(one step) context.Context {
	return metadata.NewOutgoingContext(context.Background(), metadata.New(one.Metadata))
}

// Returns the description of a method; nil for one that etcd does not have.
func methodOf(call string) protoreflect.MethodDescriptor {
	service, name, _ := strings.Cut(call, "/")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil
	}
	if described, ok := found.(protoreflect.ServiceDescriptor); ok {
		return described.Methods().ByName(protoreflect.Name(name))
	}
	return nil
}

func encoded(method protoreflect.MethodDescriptor, one step) ([]byte, error) {
	if one.Raw != nil || method == nil {
		return one.Raw, nil
	}
	message := dynamicpb.NewMessage(method.Input())
	if len(one.Body) > 0 {
		if err := protojson.Unmarshal(one.Body, message); err != nil {
			return nil, err
		}
	}
	return proto.Marshal(message)
}

func decoded(method protoreflect.MethodDescriptor, data []byte) (json.RawMessage, error) {
	if method == nil {
		return json.Marshal(map[string][]byte{"raw": data})
	}
	message := dynamicpb.NewMessage(method.Output())
	if err := proto.Unmarshal(data, message); err != nil {
		return nil, err
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		return nil, err
	}
	// protojson puts spaces where it likes.
	var compact bytes.Buffer
	err = json.Compact(&compact, text)
	return compact.Bytes(), err
}
